"""The process that holds the tests of Python problems and calls candidates from outside.

It lives as long as its worker, under the same restrictions as a candidate but as another user where
there is one, and gets a connection to each candidate. What it finds goes straight to the harness;
no candidate has a way to it, and only data comes back from them.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import random
import select
import signal
import socket
import sys
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

from eval_harness.sandbox.inside import entering, frames, kernel, restrict
from eval_harness.sandbox.inside.candidate import FILE
from eval_harness.sandbox.inside.link import Link, LinkClosedError
from eval_harness.sandbox.inside.processes import Helper
from eval_harness.sandbox.inside.remote import Calls

if TYPE_CHECKING:
    import types

    from eval_harness.sandbox.inside.restrict import Isolation

_CONTROL_IN, _CONTROL_OUT = 0, 1
_TESTS_FILE = "tests.py"
_MAX_DETAIL_CHARS = 1500
_MAX_COMPILED = 256
_ADDRESS_SPACE_BYTES = 2 << 30
_FOREVER_S = 1 << 30
_COMPILE_ERRORS = (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError)
_SEED = 0
_MAGIC = importlib.util.MAGIC_NUMBER.hex()


def start(isolation: Isolation, rules: int | None, limits: dict[str, Any]) -> Examiner:
    """Fork the examiner of a worker.

    Args:
        isolation: With the user that the examiner runs as.
        rules: Landlock's.
        limits: Of jobs; those on time are not the examiner's.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = kernel.clone()
    if pid == 0:
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            body_from, answer_to = _hide_control()
            kept = {body_from, answer_to, theirs.fileno()}
            for fd in range(3, 256):
                if fd not in kept and fd != rules:
                    _close(fd)
            own = {**limits, "cpu_s": _FOREVER_S, "address_space_bytes": _ADDRESS_SPACE_BYTES}
            plan = restrict.plan(isolation, own, (sys.base_prefix,))
            entering.prepare(plan)
            entering.enter(plan, rules)
            _serve(theirs, body_from, answer_to)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    theirs.close()
    return Examiner(pid, ours)


class Examiner(Helper):
    """The worker's side."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        super().__init__(pid)
        self.worker_end = end
        """Jobs are announced there, and reports come from there."""

    def begin(self, link: socket.socket) -> None:
        """Have it read the next job and judge the candidate at the other end of the link."""
        socket.send_fds(self.worker_end, [b"?"], [link.fileno()])

    def close(self) -> None:
        """End it, and what is between it and the worker."""
        self.end()
        self.worker_end.close()


def _serve(worker: socket.socket, body_from: int, answer_to: int) -> NoReturn:
    compiled: dict[str, types.CodeType] = {}
    last: list[int] = []
    warnings.simplefilter("ignore")
    while True:
        _, links, _, _ = socket.recv_fds(worker, 1, 1)
        if not links:
            os._exit(0)
        for fd in last:  # not before: its candidate would wake up only to be ended
            os.close(fd)
        last = links
        before_s = time.process_time()
        body = frames.read_fd(body_from)
        found = _judge(Link(links[0]), body, compiled)
        os.write(answer_to, _packed(found))
        cpu_ms = (time.process_time() - before_s) * 1000
        report = {"exit_code": 0, "verdict": found["verdict"], "cpu_ms": cpu_ms}
        worker.sendall(json.dumps(report).encode())


def _packed(found: dict[str, Any]) -> bytes:
    """Return an answer so short that it is written whole or not at all, even if we are ended."""
    while True:
        answer = frames.pack({"from": "keeper", "files": [], **found})
        if len(answer) <= select.PIPE_BUF:
            return answer
        found["detail"] = found["detail"][len(found["detail"]) // 4 + 1 :]


def _judge(link: Link, frame: frames.Frame, compiled: dict[str, types.CodeType]) -> dict[str, Any]:
    """Return `verdict` (passed, wrong, compile_error, memory, gone) and `detail`."""
    body = frame.meta
    calls = Calls(link)
    random.seed(_SEED)  # tests that draw draw the same every time
    try:
        # Compiling runs nothing of it; here all that it needs is in memory already.
        program = compile(body["candidate"], FILE, "exec", dont_inherit=True)
    except _COMPILE_ERRORS as error:
        text = "".join(traceback.format_exception_only(error))
        return {"verdict": "compile_error", "detail": text[-_MAX_DETAIL_CHARS:]}
    try:
        calls.begin(marshal.dumps(program))
        namespace: dict[str, Any] = {"__name__": "tests"}
        trusted = _compiled(body["trusted"], compiled)
        is_ours = body["magic"] == _MAGIC
        tests = marshal.loads(frame.blobs[0]) if is_ours else _compiled(body["tests"], compiled)  # noqa: S302
        calls.wait()
        exec(trusted, namespace)  # noqa: S102 - a benchmark's, restricted like a candidate
        namespace |= {name: calls.function(name) for name in body["remote"]}
        exec(tests, namespace)  # noqa: S102
    except LinkClosedError as error:
        return {"verdict": "gone", "detail": str(error)}
    except BaseException as error:  # noqa: BLE001 - tests raise what they will
        return calls.broken or _verdict_on(error, body["tests"])
    return calls.broken or {"verdict": "passed", "detail": ""}


def _compiled(source: str, compiled: dict[str, types.CodeType]) -> types.CodeType:
    code = compiled.get(source)
    if code is None:
        if len(compiled) >= _MAX_COMPILED:
            del compiled[next(iter(compiled))]
        code = compiled[source] = compile(source, _TESTS_FILE, "exec", dont_inherit=True)
    return code


def _verdict_on(error: BaseException, tests: str) -> dict[str, Any]:
    if isinstance(error, MemoryError):
        return {"verdict": "memory", "detail": str(error)}
    lines = tests.splitlines()
    places = [
        lines[frame.lineno - 1].strip()
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == _TESTS_FILE and frame.lineno and frame.lineno <= len(lines)
    ]
    said = "".join(traceback.format_exception_only(error))
    where = vars(error).get("where", "")
    detail = "\n".join(part for part in (where, *places[-1:], said) if part)
    return {"verdict": "wrong", "detail": detail[-_MAX_DETAIL_CHARS:]}


def _hide_control() -> tuple[int, int]:
    """Return where jobs come from and where answers go: tests that print must not print there."""
    body_from, answer_to = os.dup(_CONTROL_IN), os.dup(_CONTROL_OUT)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    return body_from, answer_to


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return
