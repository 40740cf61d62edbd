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
_PAUSE_S = 0.001


class Usage(NamedTuple):
    """Of a process and all below it."""

    cpu_ms: float
    memory_bytes: int
    num_processes: int


def children(pid: int) -> list[int]:
    """Return the processes that a process started, of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123 - hot
                found += map(int, file.read().split())
    return found


def descent(pid: int) -> list[int]:
    """Return all processes below a process."""
    found = children(pid)
    for child in found:  # grows while we walk it
        found += children(child)
    return found


def num_below(spared: frozenset[int]) -> int:
    """Return the number of living processes below this one, but for some."""
    reap(spared)
    return sum(pid not in spared for pid in descent(os.getpid()))


def usage(pids: list[int]) -> Usage:
    """Add up what living processes use; CPU time includes that of children they waited for."""
    cpu_ticks = pages = num = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - hot
                fields = file.read().rpartition(b")")[2].split()
            cpu_ticks += sum(map(int, fields[11:15]))
            num += int(fields[17])
            with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - hot
                _, resident, shared = map(int, file.read().split()[:3])
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
    for pid in children(os.getpid()):
        if pid not in spared:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
