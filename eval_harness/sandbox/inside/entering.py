"""The last steps into a job's restrictions: what a fork does, and no module that it could spare."""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from eval_harness.sandbox.inside import kernel


class Plan(NamedTuple):
    """What a process will give up; made before it is forked, as that is cheaper."""

    limits: tuple[tuple[int, tuple[int, int]], ...]
    """For `setrlimit`: what a process may hand on to its forks."""
    own_limits: tuple[tuple[int, tuple[int, int]], ...]
    """Those that would count what others use, too."""
    is_restricted: bool
    uid: int | None
    capabilities: int
    landlock_abi: int
    is_among_others: bool
    """It runs as a user who has other processes within its sight."""


def prepare(plan: Plan) -> None:
    """Take those restrictions that a process can hand on to its forks and still do its own work.

    Reads what the other restrictions need, too, as they leave nothing to read.

    Raises:
        OSError: The kernel refused.
    """
    if plan.is_among_others:
        from eval_harness.sandbox.inside import seccomp  # noqa: F401 - for `enter`
    os.umask(0o077)
    for kind, pair in plan.limits:
        resource.setrlimit(kind, pair)
    if plan.uid is not None and plan.is_restricted:
        os.setgroups([])
        os.setresgid(plan.uid, plan.uid, plan.uid)
    if plan.is_restricted:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def enter(plan: Plan, rules: int | None) -> None:
    """Restrict this process, which is prepared; what it starts later is under the same rules.

    Args:
        plan: What to give up.
        rules: Descriptor of the Landlock rules, None where there are none.

    Raises:
        OSError: The kernel refused: the job must not run.
    """
    for kind, pair in plan.own_limits:
        resource.setrlimit(kind, pair)
    if not plan.is_restricted:
        return
    if rules is not None:
        kernel.restrict_self(rules)
    uid = plan.uid
    if uid is not None:
        if plan.capabilities:
            kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
        os.setresuid(uid, uid, uid)
    kernel.drop_capabilities(plan.capabilities)
    if plan.is_among_others:
        from eval_harness.sandbox.inside import seccomp

        own_pid = os.getpid()
        program = seccomp.same_user_filter(own_pid=own_pid, landlock_abi=plan.landlock_abi)
        seccomp.install(program)


def score_file() -> int | None:
    """Open what sets a process's rank among those to be killed; None where it is set for good."""
    if os.geteuid() != 0:
        return None
    fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(fd, b"1", 0)
        os.pwrite(fd, b"0", 0)
    except OSError:
        os.close(fd)
        return None
    return fd
