"""The spool: where editor sessions leave their events, and how a reader tells a live writer.

A session writes segments `<session_id>-<number>.jsonl.open`. It holds the lock of a segment from
before the file gets this name until after it is renamed to `.jsonl`; then the segment is closed and
never changes again. So an open segment whose lock is free belongs to a process that died.

`seq` starts at 0 in every session, and each event, recorded or dropped, takes the next one.
"""

from __future__ import annotations

import os
import sys

CLOSED_SUFFIX = ".jsonl"
OPEN_SUFFIX = ".jsonl.open"
_FAR_BEHIND_THE_TEXT = 1 << 40  # Windows locks bytes, and nobody can read a locked one


def segment_name(session_id: str, number: int) -> str:
    """Return the name of a session's segment while it is written."""
    return f"{session_id}-{number}{OPEN_SUFFIX}"


def closed_name(name: str) -> str:
    """Return the name that a segment has once it is closed."""
    return name.removesuffix(".open")


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock of an open file; it ends with the descriptor or the process.

    Returns: Whether the lock was free. It is advice: nothing stops who does not ask for it.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _FAR_BEHIND_THE_TEXT, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
