"""A lock between processes that ends with its holder, however the holder ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fimble.locks import try_lock

if TYPE_CHECKING:
    from pathlib import Path


class FileLock:
    """Exclusive while it is held; the file stays when it is released."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it, and say whether that worked."""
        assert self._descriptor is None
        descriptor = _open(self._path)
        if not try_lock(descriptor):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let others take the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(path: Path) -> bool:
    """Return whether some process holds the lock `path`; for an instant, nobody can take it."""
    if not path.exists():
        return False
    descriptor = _open(path)
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
