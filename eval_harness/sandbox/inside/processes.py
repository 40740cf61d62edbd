"""What a job's processes use while they run, and how all of them end."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_OWN_LIST = "/proc/thread-self/children"
_HAS_LISTS = os.path.exists(_OWN_LIST)
_CHUNK_BYTES = 1 << 12
_PAUSE_S = 0.001


class Helper:
    """A child of this process that lives until it is ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._is_ended = False

    def kill(self) -> None:
        """End it, and have `end` take its leave: only then its CPU time counts as ours."""
        if not self._is_ended:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def end(self) -> None:
        """End it."""
        if not self._is_ended:
            self._is_ended = True
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)


class Usage(NamedTuple):
    """Of a process and all below it."""

    cpu_ms: float
    memory_bytes: int
    num_processes: int


def children(pid: int) -> list[int]:
    """Return the processes that a process started, of all its threads."""
    if not _HAS_LISTS:
        return _children_by_search(pid)
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def own_children() -> list[int]:
    """Return the processes that this process started, which has one thread."""
    if not _HAS_LISTS:
        return _children_by_search(os.getpid())
    return [int(pid) for pid in _read(_OWN_LIST).split()]


def descent(pid: int) -> list[int]:
    """Return all processes below a process."""
    found = children(pid)
    for child in found:  # grows while we walk it
        found += children(child)
    return found


def are_there_others(spared: frozenset[int]) -> bool:
    """Return whether anything is below this process, but for some children that have none."""
    return any(pid not in spared for pid in own_children())


def usage(pids: list[int]) -> Usage:
    """Add up what living processes use; CPU time includes that of children they waited for."""
    cpu_ticks = pages = num = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            cpu_ticks += sum(map(int, fields[11:15]))
            num += int(fields[17])
            _, resident, shared = map(int, _read(f"/proc/{pid}/statm").split()[:3])
            pages += max(0, resident - shared)
    return Usage(cpu_ticks * 1000 / _TICKS_PER_S, pages * _PAGE_BYTES, num)


def kill_descent(spared: frozenset[int]) -> None:
    """End everything below this process, but for some children; returns when nothing is left.

    What forks without end is stopped first, as one that is killed leaves children which we have not
    seen. This process must be a child subreaper: what loses its parent becomes ours.
    """
    stopped: set[int] = set()
    while True:
        reap(spared)
        alive = {pid for pid in descent(os.getpid()) if pid not in spared}
        if not alive:
            return
        unseen = alive - stopped
        for pid in unseen:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGSTOP)
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_NPROC, (0, 0))
        stopped |= unseen
        if not unseen:
            for pid in alive:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_PAUSE_S)


def kill_user(uid: int) -> None:
    """End every process of a user that only our jobs run as, in one step."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(pid, 0)


def reap(spared: frozenset[int]) -> None:
    """Take the leave of every child that has ended, but for some."""
    for pid in own_children():
        if pid not in spared:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _children_by_search(parent: int) -> list[int]:
    """Return the children of a process where the kernel keeps no list of them."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(name))
    return found


def _read(path: str) -> bytes:
    """Return what a short file of the kernel says; `open` would ask ten times as much."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, _CHUNK_BYTES)
        while part := os.read(fd, _CHUNK_BYTES):
            text += part
        return text
    finally:
        os.close(fd)
