"""What a process of a job may keep: its folder, and little else (`entering` does it)."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from eval_harness.sandbox.inside import kernel
from eval_harness.sandbox.inside.entering import Plan
from eval_harness.sandbox.inside.landlock import Rules

_OPEN_FILES = 1024
_STACK_BYTES = 8 << 20
"""As most machines have it; where there is no limit, endless recursion would fill the memory."""
_OWN_PROCESSES = 6
"""Ours that run as the same user: a keeper, an examiner, those of bubblewrap."""
_SLACK_PROCESSES = 256
"""Where RLIMIT_NPROC counts all processes of a user: those that others start meanwhile."""

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What holds in this worker, for every job."""

    folder: str
    """Where jobs have their folder."""
    is_restricted: bool = True
    """False in the tier `none`: limits and nothing else."""
    has_namespaces: bool = False
    """Jobs get a namespace of processes each."""
    uid: int | None = None
    """A user that only jobs of this worker run as; None: they run as the worker's user."""
    landlock: Rules | None = None
    are_signals_scoped: bool = False
    """The worker may signal nothing but its jobs: `kill(-1)` there ends all of them at once."""
    is_counted_by_group: bool = False
    """A control group limits memory and processes."""


def plan(isolation: Isolation, limits: dict[str, Any], readable: Sequence[str]) -> Plan:
    """Plan the restrictions of a job.

    Args:
        isolation: What the worker offers.
        limits: Of the job, as in `Limits`.
        readable: Paths that the job may read.
    """
    rules = isolation.landlock
    is_hidden = isolation.uid is not None and not all(map(is_open_to_all, readable))
    wanted = dict(_resource_limits(isolation, limits))
    own = {resource.RLIMIT_CPU, *([resource.RLIMIT_NPROC] if isolation.uid is None else [])}
    return Plan(
        limits=tuple((kind, pair) for kind, pair in wanted.items() if kind not in own),
        own_limits=tuple((kind, pair) for kind, pair in wanted.items() if kind in own),
        is_restricted=isolation.is_restricted,
        uid=isolation.uid,
        # Toolchains in the home of root; Landlock still holds.
        capabilities=kernel.CAPABILITY_READ if rules and is_hidden else 0,
        landlock_abi=rules.abi if rules else 0,
        is_among_others=isolation.uid is None and not isolation.has_namespaces,
    )


@functools.cache
def is_open_to_all(path: str) -> bool:
    """Return whether every user may go to a path; missing ones stop nobody."""
    try:
        folders = [path, *map(str, PurePosixPath(path).parents)]
        return all(os.stat(folder).st_mode & 0o001 for folder in folders)
    except OSError:
        return True


def reset_signals() -> None:
    """Undo what Python ignores, which programs would inherit."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _resource_limits(
    isolation: Isolation, limits: dict[str, Any]
) -> Iterator[tuple[int, tuple[int, int]]]:
    cpu_s = math.ceil(limits["cpu_s"])
    yield resource.RLIMIT_CPU, _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
    processes = limits["processes"] + _OWN_PROCESSES
    if isolation.uid is None and not isolation.has_namespaces:
        processes += _tasks_of_user() + _SLACK_PROCESSES
    wanted = {
        resource.RLIMIT_FSIZE: limits["files_bytes"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_STACK: _STACK_BYTES,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NPROC: processes,
    }
    if not isolation.is_counted_by_group or limits["kind"] == "python":
        # Python raises where it runs out, so that its programs end alike on every machine.
        wanted[resource.RLIMIT_AS] = limits["address_space_bytes"] or limits["memory_bytes"]
    for kind, value in wanted.items():
        yield kind, _lower(kind, value, value)


def _lower(kind: int, soft: int, hard: int) -> tuple[int, int]:
    """Return a limit, or the one that is lower already."""
    highest = resource.getrlimit(kind)[1]
    if highest == resource.RLIM_INFINITY:
        return soft, hard
    return min(soft, highest), min(hard, highest)


def _tasks_of_user() -> int:
    uid = os.getuid()
    total = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid:
                    total += len(os.listdir(f"/proc/{entry.name}/task"))
    return total
