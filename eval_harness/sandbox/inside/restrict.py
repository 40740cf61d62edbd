"""How a process of a job gives up everything but its folder."""

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

from eval_harness.sandbox.inside import kernel, landlock, seccomp

_OPEN_FILES = 1024
_STACK_BYTES = 8 << 20
"""As most machines have it; where there is no limit, endless recursion would fill the memory."""
_SLACK_PROCESSES = 256
"""Where RLIMIT_NPROC counts all processes of a user: those that others start meanwhile."""

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    landlock: landlock.Rules | None = None
    are_signals_scoped: bool = False
    """The worker may signal nothing but its jobs: `kill(-1)` there ends all of them at once."""
    is_counted_by_group: bool = False
    """A control group limits memory and processes."""


def enter(
    isolation: Isolation, limits: dict[str, Any], rules: int | None, readable: Sequence[str]
) -> None:
    """Restrict this process; what it starts later is under the same rules.

    Args:
        isolation: What the worker offers.
        limits: Of the job, as in `Limits`.
        rules: Descriptor of the Landlock rules, None where there are none.
        readable: Paths that the job may read.

    Raises:
        OSError: The kernel refused: the job must not run.
    """
    os.umask(0o077)
    _set_limits(isolation, limits)
    if not isolation.is_restricted:
        return
    if rules is not None:
        landlock.restrict_self(rules)
    kept = 0
    if isolation.uid is not None:
        if rules is not None and not all(map(is_open_to_all, readable)):
            kept = kernel.CAPABILITY_READ  # within the rules: toolchains in the home of root
            kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(isolation.uid, isolation.uid, isolation.uid)
        os.setresuid(isolation.uid, isolation.uid, isolation.uid)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_capabilities(kept)
    if isolation.uid is None and not isolation.has_namespaces:
        version = isolation.landlock.abi if isolation.landlock else 0
        seccomp.install(seccomp.same_user_filter(own_pid=os.getpid(), landlock_abi=version))


@functools.cache
def is_open_to_all(path: str) -> bool:
    """Return whether every user may go to a path; missing ones stop nobody."""
    try:
        folders = [path, *map(str, PurePosixPath(path).parents)]
        return all(os.stat(folder).st_mode & 0o001 for folder in folders)  # noqa: PTH116
    except OSError:
        return True


def limit_address_space(limit_bytes: int) -> None:
    """Limit the memory that this process may map; running out raises where it can be caught."""
    _limit(resource.RLIMIT_AS, limit_bytes)


def reset_signals() -> None:
    """Undo what Python ignores, which programs would inherit."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _set_limits(isolation: Isolation, limits: dict[str, Any]) -> None:
    cpu_s = math.ceil(limits["cpu_s"])
    _limit(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
    _limit(resource.RLIMIT_FSIZE, limits["files_bytes"])
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_STACK, _STACK_BYTES)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_MSGQUEUE, 0)
    if not isolation.is_counted_by_group:
        _limit(resource.RLIMIT_AS, limits["address_space_bytes"] or limits["memory_bytes"])
    if isolation.uid is None and not isolation.has_namespaces:
        running = _tasks_of_user()
        _limit(resource.RLIMIT_NPROC, running + limits["processes"] + _SLACK_PROCESSES)
    else:
        # The keeper and the judge run as the same user.
        _limit(resource.RLIMIT_NPROC, limits["processes"] + 6)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit; one that is lower already stays."""
    highest = resource.getrlimit(kind)[1]
    hard = soft if hard is None else hard
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.setrlimit(kind, (soft, hard))


def _tasks_of_user() -> int:
    uid = os.getuid()
    total = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid:
                    total += len(os.listdir(f"/proc/{entry.name}/task"))
    return total
