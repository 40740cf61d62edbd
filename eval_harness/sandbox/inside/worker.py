"""The process within the isolation that runs one job after the other.

Reads jobs on standard input and answers on standard output (`frames`). It sees a job's limits,
never its content: that is the keeper's, a fork that ends with the job.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

from eval_harness.sandbox.inside import folder, frames, keeper, kernel, landlock, processes, seccomp
from eval_harness.sandbox.inside.groups import Group
from eval_harness.sandbox.inside.restrict import Isolation
from eval_harness.sandbox.inside.supervise import HarnessGoneError, Watch, end_all

_CONTROL_OUT = 1


class WorkerBrokenError(Exception):
    """This worker cannot vouch for the next job."""


class Worker:
    """What holds here, found out once."""

    def __init__(self, settings: dict[str, Any]) -> None:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        is_restricted: bool = settings["is_restricted"]
        os.makedirs(settings["folder"], 0o700, exist_ok=True)  # noqa: PTH103
        self.group = Group(settings["group"]) if settings["group"] else None
        self.isolation = Isolation(
            folder=settings["folder"],
            is_restricted=is_restricted,
            has_namespaces=settings["may_use_namespaces"] and _has_namespaces(),
            uid=settings["uid"] if is_restricted and _can_become(settings["uid"]) else None,
            landlock=landlock.Rules() if is_restricted and landlock.abi() else None,
            is_counted_by_group=self.group is not None,
        )
        self.is_own_file_system: bool = settings["is_own_file_system"]
        if is_restricted:
            seccomp.install(seccomp.base_filter())
        if self.isolation.uid is not None:
            os.chown(self.isolation.folder, self.isolation.uid, self.isolation.uid)
        frames.write_fd(_CONTROL_OUT, frames.pack({"from": "worker", "holds": self.holds()}))

    def holds(self) -> dict[str, object]:
        """Return what isolates jobs here, for those who want to know."""
        rules = self.isolation.landlock
        return {
            "landlock": rules.abi if rules else 0,
            "seccomp": self.isolation.is_restricted,
            "namespaces": self.isolation.has_namespaces,
            "own_user": self.isolation.uid is not None,
            "group": self.group is not None,
        }

    def serve(self) -> None:
        """Run jobs until the harness has ended."""
        while True:
            try:
                head = frames.read_fd(0)
            except frames.EndOfStreamError:
                return
            try:
                if head.meta["kind"] == "service":
                    return self._become_service(head.meta)
                self._run(head.meta)
            except HarnessGoneError:
                return

    def _run(self, limits: dict[str, Any]) -> None:
        limits["is_own_file_system"] = self.is_own_file_system
        if self.group:
            self.group.set_limits(
                memory_bytes=limits["memory_bytes"], processes=limits["processes"]
            )
        cpu_before_ms = self._cpu_ms()
        watch = self._start(limits, cpu_before_ms)
        try:
            watch.until_end()
            exit_code = watch.report.get("exit_code")
            is_clean = end_all(self.isolation, watch.keeper, is_keeper_spared=exit_code is not None)
            watch.drain()
            wall_ms = (time.monotonic() - watch.started_s) * 1000
            if exit_code is not None:
                with suppress(BrokenPipeError):
                    if not watch.ended:
                        watch.report_end.send(b"+")
                    watch.report_end.shutdown(socket.SHUT_WR)
                os.waitpid(watch.keeper, 0)
        except HarnessGoneError:
            end_all(self.isolation, watch.keeper, is_keeper_spared=False)
            folder.empty(self.isolation.folder)
            raise
        finally:
            watch.report_end.close()
            for fd in watch.output_ends:
                os.close(fd)
        folder.empty(self.isolation.folder)
        self._answer(watch, wall_ms, self._cpu_ms() - cpu_before_ms)
        if not is_clean:
            raise WorkerBrokenError("a process of a job could not be ended")

    def _become_service(self, limits: dict[str, Any]) -> None:
        """Run one command that talks with the harness itself, until either ends."""
        body = frames.read_fd(0)
        files = dict(zip(body.meta["files"], body.blobs, strict=True))
        folder.fill(self.isolation.folder, files, set(body.meta["executables"]), self.isolation.uid)
        pid = keeper.start(self.isolation, limits, body.meta, (0, 1, 2))
        poll = select.poll()
        poll.register(0, 0)
        ended = os.pidfd_open(pid)
        poll.register(ended, select.POLLIN)
        poll.poll()
        end_all(self.isolation, pid, is_keeper_spared=False)
        processes.kill_descent(0)

    def _start(self, limits: dict[str, Any], cpu_before_ms: float) -> Watch:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        flags = kernel.CLONE_NEWPID if self.isolation.has_namespaces else 0
        pid = kernel.clone(flags)
        if pid == 0:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
            for fd in (out, err, ours.fileno()):
                os.close(fd)
            keeper.keep(self.isolation, limits, keeper.Ends(out_end, err_end, theirs))
        for fd in (out_end, err_end):
            os.close(fd)
        theirs.close()
        return Watch(
            keeper=pid,
            report_end=ours,
            output_ends={out: bytearray(), err: bytearray()},
            isolation=self.isolation,
            limits=limits,
            group=self.group,
            cpu_ms=lambda: self._cpu_ms() - cpu_before_ms,
        )

    def _answer(self, watch: Watch, wall_ms: float, cpu_ms: float) -> None:
        peak = self.group.peak_bytes() if self.group else watch.peak_bytes
        meta = {
            "from": "worker",
            "ended": watch.ended,
            "exit_code": watch.report.get("exit_code"),
            "error": watch.report.get("error"),
            "cpu_ms": cpu_ms,
            "wall_ms": wall_ms,
            "peak_memory_bytes": peak,
            "was_out_of_memory": self.group.was_out_of_memory() if self.group else False,
        }
        outputs = [bytes(text) for text in watch.output_ends.values()]
        frames.write_fd(_CONTROL_OUT, frames.pack(meta, outputs))

    def _cpu_ms(self) -> float:
        """Return the CPU time of all jobs so far, without the worker's own."""
        if self.group:
            return self.group.cpu_ms() - time.process_time() * 1000
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (used.ru_utime + used.ru_stime) * 1000


def main(settings_text: str) -> NoReturn:
    """Serve until the harness has ended."""
    try:
        Worker(json.loads(settings_text)).serve()
    except BrokenPipeError:
        pass  # the harness has ended
    sys.exit(0)


def _has_namespaces() -> bool:
    """Return whether a process can be started in a namespace of its own."""
    try:
        pid = kernel.clone(kernel.CLONE_NEWPID)
    except OSError:
        return False
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def _can_become(uid: int | None) -> bool:
    """Return whether a process can become another user, and the worker still end it."""
    if uid is None or os.geteuid() != 0:
        return False
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0
