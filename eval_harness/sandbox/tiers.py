"""Which tiers of isolation this machine offers, and the best of them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from eval_harness.sandbox.inside import kernel, landlock
from eval_harness.sandbox.job import SandboxError
from eval_harness.sandbox.launch import (
    ENGINE_VARIABLE,
    IMAGE_VARIABLE,
    LAUNCHES,
    container_program,
)
from eval_harness.sandbox.pool import WorkerPool
from fimble.errors import InputError

if TYPE_CHECKING:
    from eval_harness.sandbox.job import Sandbox

TIERS = ("bubblewrap", "landlock", "container")
"""From the strictest that costs little to the one that needs the most."""
UNSAFE = "none"
_SECONDS_TO_ANSWER = 20


def open_sandbox(tier: str | None = None, *, is_unsafe_allowed: bool = False) -> Sandbox:
    """Open the best tier that this machine offers, or the one that is named.

    Args:
        tier: `bubblewrap`, `landlock`, `container` or `none`; None takes the first that works.
        is_unsafe_allowed: Run programs without isolation where there is no other way.

    Raises:
        InputError: The tier is not to be had here; says what is missing.
    """
    if tier is not None and tier not in LAUNCHES:
        raise InputError(f"there is no tier {tier!r} of isolation; there are {', '.join(LAUNCHES)}")
    if tier == UNSAFE or (tier is None and is_unsafe_allowed and not _first_available()):
        if not is_unsafe_allowed:
            raise InputError("without isolation programs of a model run only if you say --unsafe")
        return WorkerPool(LAUNCHES[UNSAFE])
    if tier is None:
        tier = _first_available()
    if tier is None or available_tiers()[tier]:
        wanted = TIERS if tier is None else (tier,)
        missing = "; ".join(f"{name}: {available_tiers()[name]}" for name in wanted)
        raise InputError(
            f"programs of a model run only in isolation, and this machine offers none ({missing}); "
            "run `fimble eval doctor` for what to install, or say --unsafe in a machine of no value"
        )
    return WorkerPool(LAUNCHES[tier])


@functools.cache
def available_tiers() -> dict[str, str]:
    """Return for each tier an empty text, or why this machine does not offer it."""
    return {
        "bubblewrap": _why_no_bubblewrap(),
        "landlock": _why_no_landlock(),
        "container": _why_no_container(),
    }


def describe_tier(tier: str) -> dict[str, object]:
    """Start a worker of a tier and return what holds in it.

    Raises:
        SandboxError: It does not start.
    """
    pool = WorkerPool(LAUNCHES[tier])
    try:
        return pool.holds()
    finally:
        pool.close()


def _first_available() -> str | None:
    return next((tier for tier, why_not in available_tiers().items() if not why_not), None)


def _why_no_bubblewrap() -> str:
    if not kernel.is_supported():
        return "needs Linux on x86_64 or aarch64"
    if not shutil.which("bwrap"):
        return "there is no `bwrap`: install the package bubblewrap"
    return _why_no_worker("bubblewrap")


def _why_no_landlock() -> str:
    if not kernel.is_supported():
        return "needs Linux on x86_64 or aarch64"
    if not landlock.abi():
        return "the kernel has no Landlock (Linux 5.13 or newer, with `landlock` among its LSMs)"
    return _why_no_worker("landlock")


def _why_no_container() -> str:
    program = container_program()
    if not program and (wanted := os.environ.get(ENGINE_VARIABLE)):
        return f"there is no `{wanted}`, which {ENGINE_VARIABLE} asks for"
    if not program:
        return "there is neither `podman` nor `docker`"
    image = os.environ.get(IMAGE_VARIABLE, "python:3.11-slim")
    try:
        answer = subprocess.run(
            [program, "image", "inspect", "--format", "{{.Id}}", image],
            capture_output=True,
            text=True,
            timeout=_SECONDS_TO_ANSWER,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} does not answer: {error}"
    if answer.returncode != 0:
        said = answer.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return f"{program} has no image {image} ({IMAGE_VARIABLE} names another): {said[0]}"
    return _why_no_worker("container")


def _why_no_worker(tier: str) -> str:
    try:
        describe_tier(tier)
    except SandboxError as error:
        return str(error)
    return ""
