"""What a command costs with everything it starts: processor time, wall time and peak memory.

Processor time comes from the kernel's own accounts of ended processes, so nothing is missed between
two samples: this process adopts what the command leaves behind (a subreaper) and waits for all of
it. Memory is the proportional set size, in which a page that processes share counts once.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
SAMPLE_S = 0.2
_PR_SET_CHILD_SUBREAPER = 36
_ENDING_S = 30.0


class Usage(NamedTuple):
    """What a command took."""

    cpu_s: float
    """User and system time of all its processes."""
    wall_s: float
    peak_bytes: int
    """Most memory of all its processes at one moment."""
    role_bytes: dict[str, int]
    """Most memory of a single process by its place in the tree: `parent`, `child`, `grandchild`."""


class CommandFailedError(Exception):
    """A measured command did not end well; the message has the end of its output."""


class Run(NamedTuple):
    """A build that ended well."""

    usage: Usage
    num_files: dict[str, int]
    """Files after each step, as the build prints them in its last line."""


def measured_build(command: Sequence[str], out: Path) -> Run:
    """Run a build into an empty folder; return what it took and gave.

    Args:
        command: Program and arguments; the last line it prints is JSON.
        out: The folder it fills; removed before.

    Raises:
        CommandFailedError: See `measured`.
    """
    shutil.rmtree(out, ignore_errors=True)
    log = out.with_name(f"{out.name}.log")
    # No library is to look for anything on a network.
    usage = measured(command, log=log, environment={"HF_HUB_OFFLINE": "1"})
    return Run(usage, json.loads(log.read_text("utf-8", errors="replace").splitlines()[-1]))


def measured(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> Usage:
    """Run a command to its end; return what it took.

    Args:
        command: Program and arguments.
        log: File for what it prints.
        environment: Variables on top of this process's own.

    Raises:
        CommandFailedError: Its exit status is not 0, or processes of it do not end.
    """
    if not sys.platform.startswith("linux"):
        raise CommandFailedError(f"runs on {sys.platform}; memory is measured on Linux only")
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    peak_bytes, roles = 0, Counter[str]()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
        while process.poll() is None:
            sizes = list(_sizes(process.pid))
            peak_bytes = max(peak_bytes, sum(size for _, size in sizes))
            for role, size in sizes:
                roles[role] = max(roles[role], size)
            time.sleep(SAMPLE_S)
    wall_s = time.perf_counter() - started
    _wait_for_the_rest()
    if process.returncode != 0:
        end = log.read_text("utf-8", errors="replace")[-2000:]
        raise CommandFailedError(f"{' '.join(command)} gave {process.returncode}:\n{end}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Usage(cpu_s, wall_s, peak_bytes, dict(roles))


def _sizes(main: int) -> Iterator[tuple[str, int]]:
    """Yield role and memory of every process of a command; what ends meanwhile is left out."""
    mine = psutil.Process().children(recursive=True)
    parents = {process.pid: process.ppid() for process in mine if process.is_running()}
    for process in mine:
        try:
            size = pss_bytes(process.pid)
        except OSError:
            continue
        generation, pid = 0, process.pid
        while pid != main and pid in parents:
            pid = parents[pid]
            generation += 1
        yield ("parent", "child", "grandchild")[min(generation, 2)], size


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process.

    Raises:
        OSError: The process has ended.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _wait_for_the_rest() -> None:
    """Wait for processes that the command started and did not wait for itself."""
    deadline = time.perf_counter() + _ENDING_S
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if time.perf_counter() > deadline:
                raise CommandFailedError("processes of the command did not end")
            time.sleep(SAMPLE_S)
