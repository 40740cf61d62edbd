"""The process within the isolation that runs one job after the other.

Reads jobs on standard input and answers on standard output (`frames`). It sees a job's limits,
never its content: that is the keeper's, a fork that ends with the job.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from eval_harness.sandbox.inside import (
    entering,
    folder,
    frames,
    keeper,
    kernel,
    landlock,
    processes,
    seccomp,
    zygote,
)
from eval_harness.sandbox.inside.groups import Group
from eval_harness.sandbox.inside.restrict import Isolation
from eval_harness.sandbox.inside.supervise import (
    HarnessGoneError,
    Watch,
    end_first,
    end_rest,
    exit_code_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_CONTROL_OUT = 1
_SERVICE_LOOK_MS = 250


class Worker:
    """What holds here, found out once."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._score_file = entering.score_file()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        is_restricted: bool = settings["is_restricted"]
        os.makedirs(settings["folder"], 0o700, exist_ok=True)
        self.group = Group(settings["group"]) if settings["group"] else None
        self.isolation = _isolation(settings, has_group=self.group is not None)
        if self.isolation.are_signals_scoped:
            landlock.scope_signals()
        self._told_cpu_ms = 0.0
        self._counted_ms = 0.0
        self._zygote: zygote.Zygote | None = None
        self._core: int = settings["core"]
        self.is_own_file_system: bool = settings["is_own_file_system"]
        if is_restricted:
            seccomp.install(seccomp.base_filter())
        if self.isolation.uid is not None:
            os.chown(self.isolation.folder, self.isolation.uid, self.isolation.uid)
        gc.collect()
        gc.freeze()  # forks then share these pages
        self._counted_ms = self._cpu_ms()
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
                    self._become_service(head.meta)
                    return
                self._run(head.meta)
            except HarnessGoneError:
                return

    def _run(self, limits: dict[str, Any]) -> None:
        limits["is_own_file_system"] = self.is_own_file_system
        if self.group:
            self.group.set_limits(
                memory_bytes=limits["memory_bytes"], processes=limits["processes"]
            )
        cpu_before_ms = self._counted_ms
        begin, end = (
            (self._begin_python, self._end_python)
            if limits["kind"] == "python"
            else (self._begin_program, self._end_program)
        )
        watch = begin(limits)
        watch.cpu_ms = lambda: self._cpu_ms() - cpu_before_ms
        try:
            watch.until_end()
            end(watch)
        except HarnessGoneError:
            end_first(watch.keeper())
            end_rest(self.isolation, frozenset())
            folder.empty(self.isolation.folder)
            raise
        wall_ms = (time.monotonic() - watch.started_s) * 1000
        folder.empty(self.isolation.folder)
        self._counted_ms = self._cpu_ms()
        self._answer(watch, wall_ms, self._counted_ms - cpu_before_ms)
        is_in_doubt = watch.ended or "exit_code" not in watch.report or not watch.helpers
        if self._zygote and is_in_doubt:
            self._zygote.replace_helpers()
            self._counted_ms = self._cpu_ms()

    def _begin_program(self, limits: dict[str, Any]) -> Watch:
        """Start a keeper, which starts the program."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        pipes = [os.pipe(), os.pipe()]
        pid = self._fork()
        if pid == 0:
            for fd in (pipes[0][0], pipes[1][0], ours.fileno()):
                os.close(fd)
            keeper.keep(self.isolation, limits, keeper.Ends(pipes[0][1], pipes[1][1], theirs))
        theirs.close()
        for _, end in pipes:
            os.close(end)
        return self._watch(lambda: pid, limits, [start for start, _ in pipes], ours)

    def _end_program(self, watch: Watch) -> None:
        """End every process of a job, and let its keeper answer if it can."""
        if "exit_code" not in watch.report:
            end_first(watch.keeper())
            end_rest(self.isolation, watch.helpers)
            watch.drain()
        else:
            end_rest(self.isolation, frozenset({watch.keeper()}))
            watch.drain()
            with suppress(BrokenPipeError):
                if not watch.ended:
                    watch.report_end.send(b"+")
                watch.report_end.shutdown(socket.SHUT_WR)
            os.waitpid(watch.keeper(), 0)
        watch.report_end.close()
        for fd in watch.output_ends:
            os.close(fd)

    def _begin_python(self, limits: dict[str, Any]) -> Watch:
        """Fork the candidate, and give the examiner the other end of its connection."""
        self._zygote = self._zygote or zygote.Zygote(self.isolation, self._core)
        examiner, forker = self._zygote.helpers(limits)
        plan = self._zygote.plan(limits)
        helpers = frozenset({examiner.pid, forker.pid})
        used_ms = 0.0 if self.group else processes.usage(list(helpers)).cpu_ms
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        examiner.begin(ours)
        forker.begin(plan, theirs.fileno())
        theirs.close()
        ours.close()
        begun = functools.cache(forker.begun)
        watch = self._watch(begun, limits, [forker.output], examiner.worker_end)
        watch.helpers = helpers
        watch.helpers_cpu_ms = used_ms
        return watch

    def _end_python(self, watch: Watch) -> None:
        """End the candidate and all that it started, and let the examiner answer if it can."""
        assert self._zygote
        candidate = watch.keeper()
        if watch.report.get("verdict") == "gone":
            watch.report["exit_code"] = exit_code_of(candidate)
        else:
            if watch.ended:  # the examiner would say that it is gone, amid our own answer
                self._zygote.silence()
            end_first(candidate)
        if self.isolation.are_signals_scoped and processes.are_there_others(watch.helpers):
            self._zygote.end_helpers()  # what ends all of them ends these as well
            watch.helpers = frozenset()
        end_rest(self.isolation, watch.helpers)
        watch.drain()

    def _fork(self) -> int:
        """Fork what the kernel shall rather end than us when our group is out of memory."""
        self._set_killing_score(b"1000")
        pid = kernel.clone(kernel.CLONE_NEWPID if self.isolation.has_namespaces else 0)
        if pid == 0:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            return 0
        self._set_killing_score(b"0")
        return pid

    def _set_killing_score(self, score: bytes) -> None:
        if self._score_file is not None:
            os.pwrite(self._score_file, score, 0)

    def _watch(
        self,
        keeper: Callable[[], int],
        limits: dict[str, Any],
        outputs: list[int],
        report_end: socket.socket,
    ) -> Watch:
        return Watch(
            keeper=keeper,
            report_end=report_end,
            output_ends={start: bytearray() for start in outputs},
            isolation=self.isolation,
            limits=limits,
            group=self.group,
        )

    def _become_service(self, limits: dict[str, Any]) -> None:
        """Run one command that talks with the harness itself, until either ends."""
        body = frames.read_fd(0)
        files = dict(zip(body.meta["files"], body.blobs, strict=True))
        folder.fill(self.isolation.folder, files, set(body.meta["executables"]), self.isolation.uid)
        pid = keeper.start(self.isolation, limits, body.meta, (0, 1, 2))
        poll = select.poll()
        poll.register(0, 0)  # only its end
        while not poll.poll(_SERVICE_LOOK_MS) and os.waitpid(pid, os.WNOHANG)[0] == 0:
            pass
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        processes.kill_descent(frozenset())

    def _answer(self, watch: Watch, wall_ms: float, cpu_ms: float) -> None:
        peak = self.group.peak_bytes() if self.group else watch.peak_bytes
        meta = {
            "from": "worker",
            "ended": watch.ended,
            "exit_code": watch.report.get("exit_code"),
            "error": watch.report.get("error"),
            "cpu_ms": cpu_ms + (0 if self.group else watch.report.get("cpu_ms", 0)),
            "worker_cpu_ms": time.process_time() * 1000 - self._told_cpu_ms,
            "wall_ms": wall_ms,
            "peak_memory_bytes": peak,
            "was_out_of_memory": self.group.was_out_of_memory() if self.group else False,
        }
        self._told_cpu_ms += meta["worker_cpu_ms"]
        outputs = [bytes(text) for text in watch.output_ends.values()]
        outputs += [b""] * (2 - len(outputs))
        frames.write_fd(_CONTROL_OUT, frames.pack(meta, outputs))

    def _cpu_ms(self) -> float:
        """Return the CPU time of all jobs so far, without the worker's own."""
        if self.group:
            return self.group.cpu_ms() - time.process_time() * 1000
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (used.ru_utime + used.ru_stime) * 1000


def main(settings_text: str) -> NoReturn:
    """Serve until the harness has ended."""
    with suppress(BrokenPipeError):  # the harness has ended
        Worker(json.loads(settings_text)).serve()
    sys.exit(0)


def _isolation(settings: dict[str, Any], *, has_group: bool) -> Isolation:
    """Find out what holds here."""
    is_restricted: bool = settings["is_restricted"]
    has_namespaces = settings["may_use_namespaces"] and _has_namespaces()
    uid = settings["uid"] if is_restricted and _can_become(settings["uid"]) else None
    abi = min(landlock.abi(), settings["max_landlock_abi"]) if is_restricted else 0
    can_scope = abi >= landlock.SCOPED_SIGNALS_ABI
    return Isolation(
        folder=settings["folder"],
        is_restricted=is_restricted,
        has_namespaces=has_namespaces,
        uid=uid,
        landlock=landlock.Rules(abi) if abi else None,
        are_signals_scoped=can_scope and uid is None and not has_namespaces,
        is_counted_by_group=has_group,
    )


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
