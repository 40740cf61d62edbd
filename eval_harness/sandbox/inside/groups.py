"""The control group that a worker and its jobs are in, through descriptors opened outside."""

from __future__ import annotations

import contextlib
import functools
import os

JOIN = "join "
"""Before the name of a folder, it stands for the list of the processes in it."""
_HEADROOM_BYTES = 8 << 20
"""What the worker may grow by during a job."""


class Group:
    """Version 1 (three hierarchies) or 2 (one), by what the folders hold."""

    def __init__(self, folders: dict[str, int]) -> None:
        """Join.

        Args:
            folders: Open folders by controller: `memory`, `pids`, `cpuacct`, or `unified`; and
                their lists of processes, see `JOIN`.
        """
        for name, fd in folders.items():
            if name.startswith(JOIN):
                os.write(fd, b"0")
                os.close(fd)
        self._is_unified = "unified" in folders
        both = folders.get("unified", -1)
        self._memory = folders.get("memory", both)
        self._pids = folders.get("pids", both)
        self._cpu = folders.get("cpuacct", both)
        self._own_bytes = self._read_number(
            self._memory, "memory.current" if self._is_unified else "memory.usage_in_bytes"
        )
        self._memory_limit = 0
        self._processes_limit = 0
        self._num_kills = 0

    def set_limits(self, *, memory_bytes: int, processes: int) -> None:
        """Limit the next job."""
        if memory_bytes != self._memory_limit:
            limit = str(memory_bytes + self._own_bytes + _HEADROOM_BYTES)
            if self._is_unified:
                _write(self._memory, "memory.max", limit)
                _try_write(self._memory, "memory.swap.max", "0")
            else:
                self._set_v1_memory(limit)
            self._memory_limit = memory_bytes
        if processes != self._processes_limit:
            _write(self._pids, "pids.max", str(processes + 4))
            self._processes_limit = processes
        peak = "memory.peak" if self._is_unified else "memory.max_usage_in_bytes"
        _try_write(self._memory, peak, "0")

    def cpu_ms(self) -> float:
        """Return the CPU time that all of the group has used so far."""
        if not self._is_unified:
            return self._read_number(self._cpu, "cpuacct.usage") / 1e6
        for line in _read(self._cpu, "cpu.stat").splitlines():
            if line.startswith("usage_usec"):
                return int(line.split()[1]) / 1e3
        return 0.0

    def peak_bytes(self) -> int:
        """Return the peak of memory since the limits were set, without the worker's own."""
        name = "memory.peak" if self._is_unified else "memory.max_usage_in_bytes"
        try:
            return max(0, self._read_number(self._memory, name) - self._own_bytes)
        except OSError:  # version 2 before Linux 5.19
            return 0

    def was_out_of_memory(self) -> bool:
        """Return whether the kernel killed for memory since this was last asked."""
        before, self._num_kills = self._num_kills, self._kills()
        return self._num_kills > before

    def _set_v1_memory(self, limit: str) -> None:
        # Memory with swap may never be the lower one of the two, on the way up or down.
        for _ in range(2):
            _try_write(self._memory, "memory.limit_in_bytes", limit)
            _try_write(self._memory, "memory.memsw.limit_in_bytes", limit)

    def _kills(self) -> int:
        name = "memory.events" if self._is_unified else "memory.oom_control"
        for line in _read(self._memory, name).splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    @staticmethod
    def _read_number(folder: int, name: str) -> int:
        return int(_read(folder, name))


@functools.cache
def _opened(folder: int, name: str) -> int:
    """Return a file of the group; it stays open, as every job uses the same ones.

    Where it can be written, too: version 2 resets a peak for that descriptor alone.
    """
    try:
        return os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)


def _read(folder: int, name: str) -> str:
    return os.pread(_opened(folder, name), 1 << 12, 0).decode()


def _write(folder: int, name: str, value: str) -> None:
    os.pwrite(_opened(folder, name), value.encode(), 0)


def _try_write(folder: int, name: str, value: str) -> None:
    with contextlib.suppress(OSError):
        _write(folder, name, value)
