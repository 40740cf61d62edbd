"""Running the clients that download: without questions, with a time limit, and with one reason."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TIMEOUT_S = 600.0
"""Longest that one call of a client may take."""
_DISK_IS_FULL = ("No space left on device", "ENOSPC", "Disk quota exceeded", "EDQUOT")


class FetchError(Exception):
    """A source could not be had; the message is the reason in the card."""


def run_client(
    command: list[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    who: str = "registry",
) -> subprocess.CompletedProcess[str]:
    """Return how a client ended; its messages are English whatever the locale.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        environment: All variables; None means this process's own.
        who: What the reason names, for example `git`.

    Raises:
        FetchError: It takes longer than `TIMEOUT_S`.
        OSError: The disk is full, or the program cannot be started.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**(os.environ if environment is None else environment), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,  # nobody is there to answer
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{who}_timed_out") from error
    if done.returncode != 0 and any(words in done.stderr for words in _DISK_IS_FULL):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    return done
