"""A job's folder: filled, watched, brought back in part, and emptied."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

_MAX_ENTRIES = 100_000
_LONGEST_PATH = 3500
"""Nothing honest lies deeper; the kernel takes no path beyond 4096 bytes."""
_NO_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC
_AS_FOLDER = os.O_RDONLY | os.O_DIRECTORY | _NO_FOLLOW


class FolderUse(NamedTuple):
    """What a folder holds, or more: the count stops at the limits."""

    num_bytes: int
    num_entries: int


class Collected(NamedTuple):
    """What was brought back."""

    files: dict[str, bytes]
    is_whole: bool
    """False where it was too much."""


def fill(folder: str, files: dict[str, bytes], executables: set[str], uid: int | None) -> None:
    """Write a job's files.

    Raises:
        OSError: There is no room, or a path leads outside.
    """
    made: set[str] = set()
    for path, content in files.items():
        parts = path.split("/")
        if path.startswith("/") or {"", ".", ".."} & set(parts):
            raise OSError(f"{path!r} does not name a file below the job's folder")
        for end in range(1, len(parts)):
            parent = "/".join(parts[:end])
            if parent not in made:
                os.mkdir(f"{folder}/{parent}", 0o700)
                _give(f"{folder}/{parent}", uid)
                made.add(parent)
        mode = 0o700 if path in executables else 0o600
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
        fd = os.open(f"{folder}/{path}", flags, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        _give(f"{folder}/{path}", uid)


def use(folder: str, *, is_own_file_system: bool) -> FolderUse:
    """Return what a folder holds: at once where it is a file system of its own."""
    if is_own_file_system:
        facts = os.statvfs(folder)
        used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize
        return FolderUse(used, facts.f_files - facts.f_ffree)
    num_bytes = num_entries = 0
    waiting = [folder]
    while waiting and num_entries < _MAX_ENTRIES:
        path = waiting.pop()
        if len(path) >= _LONGEST_PATH:
            return FolderUse(num_bytes, _MAX_ENTRIES)  # what is below can not be counted
        with contextlib.suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                num_entries += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    num_bytes += entry.stat(follow_symlinks=False).st_blocks * 512
    return FolderUse(num_bytes, num_entries)


def unlinked_bytes(pids: list[int]) -> int:
    """Return what open files hold that no folder names any more."""
    seen: dict[tuple[int, int], int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                facts = os.stat(f"/proc/{pid}/fd/{fd}")
                if facts.st_nlink == 0 and stat.S_ISREG(facts.st_mode):
                    seen[facts.st_dev, facts.st_ino] = facts.st_blocks * 512
    return sum(seen.values())


def collect(folder: str, wanted: list[str], limit_bytes: int) -> Collected:
    """Read what a job left, by relative path; never through a symbolic link."""
    files: dict[str, bytes] = {}
    left = limit_bytes
    waiting = list(reversed(wanted))
    num_seen = 0
    while waiting:
        path = waiting.pop().rstrip("/")
        num_seen += 1
        content, below = _read_entry(folder, path, left)
        waiting += [f"{path}/{name}" for name in below]
        if content is not None:
            files[path] = content
            left -= len(content)
        if left < 0 or num_seen > _MAX_ENTRIES:
            return Collected({}, is_whole=False)
    return Collected(files, is_whole=True)


def empty(folder: str) -> None:
    """Remove everything in a folder, however deep, whatever its modes.

    Folders are moved to the top one by one, so that no path gets too long and nothing recurses.
    """
    if not os.listdir(folder):
        return
    top = os.open(folder, _AS_FOLDER)
    try:
        waiting = [""]
        secret = os.urandom(8).hex()  # the job may have left names of any kind
        for name in waiting:  # grows while we walk it
            here = os.open(name, _AS_FOLDER, dir_fd=top) if name else os.dup(top)
            try:
                os.fchmod(here, 0o700)
                for entry in os.listdir(here):
                    if _is_folder(entry, here):
                        moved = f"{secret}{len(waiting)}"
                        os.chmod(entry, 0o700, dir_fd=here)
                        os.rename(entry, moved, src_dir_fd=here, dst_dir_fd=top)
                        waiting.append(moved)
                    else:
                        os.unlink(entry, dir_fd=here)
            finally:
                os.close(here)
        for name in waiting[1:]:
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _give(path: str, uid: int | None) -> None:
    if uid is not None:
        os.chown(path, uid, uid)


def _is_folder(name: str, dir_fd: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)


def _read_entry(folder: str, path: str, limit_bytes: int) -> tuple[bytes | None, list[str]]:
    """Return a file's content and the names in a folder; neither for anything else."""
    here = os.open(folder, _AS_FOLDER)
    parts = path.split("/")
    try:
        for part in parts[:-1]:
            below = os.open(part, _AS_FOLDER, dir_fd=here)
            os.close(here)
            here = below
        mode = os.stat(parts[-1], dir_fd=here, follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or ".." in parts:
            return None, []
        fd = os.open(parts[-1], os.O_RDONLY | os.O_NONBLOCK | _NO_FOLLOW, dir_fd=here)
    except OSError:
        return None, []
    finally:
        os.close(here)
    if stat.S_ISDIR(mode):
        try:
            return None, sorted(os.listdir(fd))
        finally:
            os.close(fd)
    with os.fdopen(fd, "rb") as file:
        return file.read(max(0, limit_bytes) + 1), []
