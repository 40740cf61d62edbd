"""Watches one job from the worker: output as it is produced, CPU, memory, disk and time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eval_harness.sandbox.inside import folder, processes
from eval_harness.sandbox.inside.groups import Group
from eval_harness.sandbox.inside.restrict import Isolation

_CONTROL_IN = 0
_CHUNK_BYTES = 1 << 16
_FIRST_LOOK_MS, _LAST_LOOK_MS = 100, 200
_PATIENCE_S = 0.5
_MAX_FILES = 50_000
"""Entries in a job's folder: an inode costs memory of the kernel."""


class HarnessGoneError(Exception):
    """Nobody waits for the answer; end everything."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """One job while it runs, and what was found."""

    keeper: Callable[[], int]
    """Returns its first process; asked for once it must end, as it need not be known before."""
    report_end: socket.socket
    output_ends: dict[int, bytearray]
    """What comes on standard output and standard error, by descriptor."""
    isolation: Isolation
    limits: dict[str, Any]
    group: Group | None
    helpers: frozenset[int] = frozenset()
    """Processes that work for it and outlive it."""
    helpers_cpu_ms: float = 0.0
    """What they had used before it."""
    cpu_ms: Callable[[], float] = float
    """CPU time of the job so far: where no control group counts it, of what has ended."""
    started_s: float = field(default_factory=time.monotonic)
    ended: str = ""
    """Why we ended it; empty where it came to its own end."""
    report: dict[str, Any] = field(default_factory=dict)
    """What the keeper says of the program's end."""
    peak_bytes: int = 0
    _output_left: int = 0

    def until_end(self) -> None:
        """Watch until the program has ended or must be ended.

        Raises:
            HarnessGoneError: The harness has ended.
        """
        self._output_left = self.limits["output_bytes"]
        poll = select.poll()
        poll.register(_CONTROL_IN, 0)  # only its end; the keeper reads it
        poll.register(self.report_end, select.POLLIN)
        for fd in self.output_ends:
            poll.register(fd, select.POLLIN)
        pause_ms = _FIRST_LOOK_MS
        next_look_s = self.started_s + pause_ms / 1000
        while not (self.ended or self.report):
            wait_ms = max(0.0, (next_look_s - time.monotonic()) * 1000)
            for fd, event in poll.poll(wait_ms):
                self._on_event(poll, fd, event)
            if not (self.ended or self.report) and time.monotonic() >= next_look_s:
                self._look()
                pause_ms = min(_LAST_LOOK_MS, pause_ms * 2)
                next_look_s = time.monotonic() + pause_ms / 1000

    def drain(self) -> None:
        """Read what is still in the pipes of a job whose processes are all gone."""
        for fd in self.output_ends:
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                while not self.ended and self._read(fd):
                    pass

    def _on_event(self, poll: select.poll, fd: int, event: int) -> None:
        if fd == _CONTROL_IN:
            raise HarnessGoneError
        if fd == self.report_end.fileno():
            text = self.report_end.recv(_CHUNK_BYTES)
            self.report = json.loads(text) if text else {"error": "the keeper was killed"}
        elif not self._read(fd) or event & (select.POLLERR | select.POLLNVAL):
            poll.unregister(fd)

    def _read(self, fd: int) -> bool:
        """Keep what has come on one pipe; returns whether more can come."""
        data = os.read(fd, _CHUNK_BYTES)
        self.output_ends[fd] += data[: self._output_left]
        if len(data) > self._output_left:
            self.ended = "output_limit"
        self._output_left -= min(len(data), self._output_left)
        return bool(data)

    def _look(self) -> None:
        """Compare what the job has used with its limits."""
        if time.monotonic() - self.started_s > self.limits["wall_s"]:
            self.ended = "wall_limit"
            return
        pids = [] if self.group else processes.descent(os.getpid())
        used = processes.usage(pids)
        cpu_ms = self.cpu_ms() if self.group else used.cpu_ms - self.helpers_cpu_ms
        self.peak_bytes = max(self.peak_bytes, used.memory_bytes)
        disk = folder.use(
            self.isolation.folder, is_own_file_system=self.limits["is_own_file_system"]
        )
        num_bytes = disk.num_bytes
        if not self.limits["is_own_file_system"]:
            num_bytes += folder.unlinked_bytes(pids or processes.descent(os.getpid()))
        if cpu_ms > self.limits["cpu_s"] * 1000:
            self.ended = "cpu_limit"
        elif not self.group and used.memory_bytes > self.limits["memory_bytes"]:
            self.ended = "memory_limit"
        elif num_bytes > self.limits["folder_bytes"] or disk.num_entries > _MAX_FILES:
            self.ended = "output_limit"
        elif used.num_processes > 2 * self.limits["processes"] + 2:
            self.ended = "processes"


def end_first(pid: int) -> int:
    """End a job's first process, in a namespace all of it; returns how it ended, as a wait does."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def exit_code_of(pid: int) -> int | None:
    """Return how a process ended that seems to be ending; None if it had to be ended."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline_s:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_PATIENCE_S / 100)
    end_first(pid)
    return None


def end_rest(isolation: Isolation, spared: frozenset[int]) -> None:
    """End what is left of a job where no namespace does; returns when nothing is.

    Args:
        isolation: Tells by which means.
        spared: Processes that have an answer to give, or serve the next job.
    """
    if isolation.has_namespaces or not processes.are_there_others(spared):
        return
    if isolation.uid is not None:
        processes.kill_user(isolation.uid)
    elif isolation.are_signals_scoped and not spared:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    processes.kill_descent(spared)
