"""Locks on open files that end with their holder, however the holder ends."""

from __future__ import annotations

import os
import sys

_FAR_BEHIND_THE_TEXT = 1 << 40  # Windows locks bytes, and nobody can read a locked one


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file; it ends with the descriptor or the process.

    Args:
        descriptor: The open file.
        shared: Take it together with other sharers; on Windows, where all locks are exclusive, as
            if it were not.

    Returns: Whether the lock was free. It is advice: nothing stops who does not ask for it.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _FAR_BEHIND_THE_TEXT, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
