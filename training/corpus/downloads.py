"""The cache of downloads: a folder for each, whole or not there at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fimble.locks import try_lock
from training.corpus.clients import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PREFIX = ".part-"
_LOCK = "in-use"


def filled(place: Path, fill: Callable[[Path], None]) -> list[Path]:
    """Return the files of a folder of the cache, which is filled now if it was not before.

    Args:
        place: The folder.
        fill: Writes the files into the folder it is given, beside which it may write, too.

    Raises:
        FetchError: What `fill` raises, or `empty_download`.
    """
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with _part(place.parent) as part:
            folder = part / "whole"
            folder.mkdir()
            fill(folder)
            if not any(folder.iterdir()):
                raise FetchError("empty_download")
            try:
                folder.rename(place)
            except OSError:
                if not place.is_dir():  # else another process was faster
                    raise
    return sorted(path for path in place.iterdir() if path.is_file())


@contextmanager
def _part(parent: Path) -> Iterator[Path]:
    """Give an empty folder that goes away at the end; clear those that killed processes left."""
    with (parent / ".lock").open("w") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        for left in parent.glob(f"{_PREFIX}*"):
            if not _is_in_use(left):
                shutil.rmtree(left, ignore_errors=True)
        aside = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent)
        lock = os.open(f"{aside.name}/{_LOCK}", os.O_CREAT | os.O_RDWR)
        assert try_lock(lock), "nobody else knows the file"
    try:
        with aside:
            yield parent / os.path.basename(aside.name)  # noqa: PTH119 - it is a string
    finally:
        os.close(lock)


def _is_in_use(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        return not try_lock(lock)
    finally:
        os.close(lock)
