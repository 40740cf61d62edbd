"""Files of a local folder: in one order, without following links, without opening devices.

A folder may change while it is read. What vanishes or cannot be read has a reason; nothing of that
stops the reading of the rest.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TO_SKIP = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules"})
_GONE = (FileNotFoundError, NotADirectoryError)
# A file may become a pipe between the look and the opening, and a pipe would block for ever.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK_BYTES = 1 << 20


class UnreadableError(Exception):
    """A file cannot be read; the message is the reason in the card."""


@dataclass(frozen=True, slots=True)
class FolderFile:
    """One file, link or special file of a folder; or a folder that cannot be listed."""

    path: str
    """Path inside the folder, with slashes."""
    size_bytes: int
    reason: str | None = None
    """Why it cannot be read."""
    read: Callable[[int], bytes] | None = None
    """Returns at most so many bytes, or raises `UnreadableError`."""


class FolderDigest(NamedTuple):
    """What a folder held when it was looked at."""

    size_bytes: int
    sha256: str
    """Hash of the paths with the hashes of the files."""


def walk(folder: Path) -> Iterator[FolderFile]:
    """Yield the files of a folder and its folders: files first, both by name.

    Folders of version control and of installed packages are left out.
    """
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(folder / inside) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            yield FolderFile(inside or ".", 0, _reason_of(error))
            continue
        folders: list[str] = []
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield _file(folder / path, path)
            elif entry.name not in _TO_SKIP:
                folders.append(path)
        waiting += reversed(folders)


def digest(folder: Path) -> FolderDigest:
    """Return the size and the hash of all files of a folder; what cannot be read counts as such."""
    total_bytes = 0
    hasher = hashlib.sha256()
    for file in walk(folder):
        outcome = file.reason
        if outcome is None:
            total_bytes += file.size_bytes
            outcome = _sha256(folder / file.path)
        hasher.update(os.fsencode(f"{file.path}\0{outcome}\n"))
    return FolderDigest(total_bytes, hasher.hexdigest())


def _file(path: Path, shown: str) -> FolderFile:
    try:
        status = path.lstat()
    except OSError as error:
        return FolderFile(shown, 0, _reason_of(error))
    if stat.S_ISLNK(status.st_mode):
        return FolderFile(shown, 0, "link")
    if not stat.S_ISREG(status.st_mode):
        return FolderFile(shown, 0, "special_file")
    return FolderFile(shown, status.st_size, None, partial(_read, path))


def _read(path: Path, limit_bytes: int) -> bytes:
    """Return at most so many bytes of a plain file, without waiting for anybody."""
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, _FLAGS)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableError("special_file")
            return file.read(limit_bytes)
    except OSError as error:
        raise UnreadableError(_reason_of(error)) from error


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, _FLAGS)) as file:
            while block := file.read(_BLOCK_BYTES):
                hasher.update(block)
    except OSError as error:
        return _reason_of(error)
    return hasher.hexdigest()


def _reason_of(error: OSError) -> str:
    return "vanished" if isinstance(error, _GONE) else "unreadable"
