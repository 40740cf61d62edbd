"""The first process of a job: fills the folder, starts the program, and waits for its end.

In a namespace of processes it is the init, so that nothing in there outlives it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from eval_harness.sandbox.inside import entering, folder, frames, kernel, landlock, restrict

if TYPE_CHECKING:
    import socket

    from eval_harness.sandbox.inside.restrict import Isolation

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CONTROL_IN, _CONTROL_OUT = 0, 1
_PIPE_BYTES = 1 << 16
_COULD_NOT_START = 127


class Ends(NamedTuple):
    """The keeper's ends of what connects it with the worker."""

    stdout: int
    stderr: int
    worker: socket.socket


def keep(isolation: Isolation, limits: dict[str, Any], ends: Ends) -> NoReturn:
    """Run one program; never returns.

    The body of the job comes on the control stream, where the worker does not read it: what a
    worker knew, every later job could find in its memory.
    """
    try:
        if isolation.are_signals_scoped:
            landlock.scope_signals()
        body = frames.read_fd(_CONTROL_IN)
        names: list[str] = body.meta["files"]
        files = dict(zip(names, body.blobs[1:], strict=True))
        uid = isolation.uid if isolation.is_restricted else None
        folder.fill(isolation.folder, files, set(body.meta["executables"]), uid)
        stdin = _as_input(body.blobs[0], isolation.folder)
        del files
        pid = start(isolation, limits, body.meta, (stdin, ends.stdout, ends.stderr))
        for fd in (stdin, ends.stdout, ends.stderr):
            os.close(fd)
        status = os.waitpid(pid, 0)[1]
        end_others(isolation)
        tell(ends.worker, {"exit_code": os.waitstatus_to_exitcode(status)})
        if not ends.worker.recv(1):
            os._exit(0)  # the worker counted too much of something
        wanted: list[str] = body.meta["collect"]
        found = folder.collect(isolation.folder, wanted, limits["folder_bytes"])
        meta = {"from": "keeper", "is_whole": found.is_whole, "files": list(found.files)}
        frames.write_fd(_CONTROL_OUT, frames.pack(meta, list(found.files.values())))
    except BaseException as error:  # noqa: BLE001 - the edge of a process
        with contextlib.suppress(OSError):
            tell(ends.worker, {"error": f"{type(error).__name__}: {error}"})
    os._exit(0)


def start(
    isolation: Isolation, limits: dict[str, Any], what: dict[str, Any], stdio: tuple[int, int, int]
) -> int:
    """Start a job's command in its folder, restricted; return its process.

    Args:
        isolation: What the worker offers.
        limits: Of the job.
        what: `argv`, `env` and `readable` of the job.
        stdio: Become descriptors 0, 1 and 2.
    """
    plan = restrict.plan(isolation, limits, what["readable"])
    pid = kernel.clone()
    if pid:
        return pid
    try:
        os.setsid()
        for target, fd in enumerate(stdio):
            os.dup2(_above(fd), target)
        os.chdir(isolation.folder)
        rules = None
        if isolation.landlock:
            rules = isolation.landlock.rule_set(
                readable=what["readable"], writable=(isolation.folder,)
            )
            isolation.landlock.allow_own_facts(rules)
        entering.prepare(plan)
        entering.enter(plan, rules)
        restrict.reset_signals()
        kernel.close_from(3)
    except BaseException as error:  # noqa: BLE001 - the edge of a process
        os.write(2, f"the sandbox could not be entered: {error}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(_COULD_NOT_START)
    environment = {"PATH": _PATH, "HOME": isolation.folder, "TMPDIR": isolation.folder}
    environment |= what["env"]
    argv: list[str] = what["argv"]
    try:
        os.execve(argv[0], argv, environment)  # noqa: S606 - there is no shell on purpose
    except (OSError, ValueError) as error:
        os.write(2, f"{argv[0]}: {error}\n".encode())
    os._exit(_COULD_NOT_START)


def end_others(isolation: Isolation) -> None:
    """End what the program left behind; where this process cannot do so, the worker will."""
    if isolation.has_namespaces or isolation.are_signals_scoped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # everything that we may signal, but ourselves
    with contextlib.suppress(ChildProcessError):
        while isolation.has_namespaces:
            os.waitpid(-1, 0)


def tell(worker: socket.socket, report: dict[str, object]) -> None:
    """Send the worker one report."""
    worker.sendall(json.dumps(report).encode())


def _above(fd: int) -> int:
    """Return a copy that no descriptor of standard input and output is in the way of."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _as_input(content: bytes, path: str) -> int:
    """Return a descriptor that reads `content` and then ends."""
    if len(content) <= _PIPE_BYTES:
        end, start_of_pipe = os.pipe()
        frames.write_fd(start_of_pipe, content)
        os.close(start_of_pipe)
        return end
    name = f"{path}/{os.urandom(8).hex()}"
    with open(name, "xb") as file:
        file.write(content)
    fd = os.open(name, os.O_RDONLY)
    os.unlink(name)
    return fd
