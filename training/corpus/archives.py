"""Members of an archive or folder, read in memory; nothing of it is ever written to a disk.

An archive is hostile until proven otherwise: paths that climb out, links, devices, bombs. Whatever
is not a plain file with a sane path comes out as a member with a reason and no content.
"""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.corpus.recipe import Limits

_ZIP_SUFFIXES = (".zip", ".whl", ".jar")
_TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError,
    OSError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
_FOLDERS_TO_SKIP = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules"})


class ArchiveError(Exception):
    """An archive cannot be used; the message is the reason in the card."""


class Member(NamedTuple):
    """One entry of an archive that is not a folder."""

    path: str
    """Path inside the archive, with slashes."""
    size_bytes: int
    content: bytes | None
    """None where there is a reason."""
    reason: str | None
    """Why it was not read."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a tar and a zip say about a member."""

    path: str
    size_bytes: int
    reason: str | None
    open: Callable[[], IO[bytes]] | None


def read_members(
    archive: Path, limits: Limits, reason_by_path: Callable[[str], str | None]
) -> Iterator[Member]:
    """Yield every plain file, link and special file of an archive, or of a folder.

    A top folder that all members share (`name-1.0/`) is cut off.

    Args:
        archive: A zip, a tar in any compression, or a folder.
        limits: What an archive may unpack to.
        reason_by_path: Why a path is not wanted; such a member is not unpacked.

    Raises:
        ArchiveError: The archive is damaged, of an unknown kind, or unpacks to too much.
    """
    try:
        if archive.is_dir():
            yield from _judged(_folder_entries(archive), limits, reason_by_path, top="")
        elif archive.name.endswith(_ZIP_SUFFIXES):
            with zipfile.ZipFile(archive) as opened:
                top = _common_top(opened.namelist())
                yield from _judged(_zip_entries(opened), limits, reason_by_path, top=top)
        elif archive.name.endswith(_TAR_SUFFIXES):
            top = _common_top(_tar_names(archive, limits))
            with tarfile.open(archive, "r|*") as opened:
                yield from _judged(_tar_entries(opened), limits, reason_by_path, top=top)
        else:
            raise ArchiveError("unknown_archive_kind")
    except _DAMAGED as error:
        raise ArchiveError("damaged_archive") from error


def _judged(
    entries: Iterator[_Entry],
    limits: Limits,
    reason_by_path: Callable[[str], str | None],
    *,
    top: str,
) -> Iterator[Member]:
    """Turn entries into members: decide by name and size first, then read."""
    seen: set[str] = set()
    total_bytes = 0
    for number, entry in enumerate(entries):
        total_bytes += entry.size_bytes
        if number >= limits.archive_members or total_bytes > limits.archive_bytes:
            raise ArchiveError("archive_too_large")
        path = _valid_unicode(entry.path.removeprefix("./").removeprefix(top))
        reason = (
            _unsafe(entry.path)
            or entry.reason
            or ("duplicate_path" if path in seen else None)
            or reason_by_path(path)
            or ("too_large" if entry.size_bytes > limits.file_bytes else None)
        )
        seen.add(path)
        content = None
        if reason is None and entry.open is not None:
            content, reason = _content(entry.open, limits.file_bytes)
        yield Member(path, entry.size_bytes, content, reason)


def _content(
    open_file: Callable[[], IO[bytes]], limit_bytes: int
) -> tuple[bytes | None, str | None]:
    """Return the content of a file, or the reason why there is none."""
    try:
        with open_file() as file:
            content = file.read(limit_bytes + 1)
    except PermissionError:
        return None, "unreadable"
    return (content, None) if len(content) <= limit_bytes else (None, "too_large")


def _tar_names(archive: Path, limits: Limits) -> Iterator[str]:
    """Yield the names in a tar; stops a bomb before its end."""
    total_bytes = 0
    with tarfile.open(archive, "r|*") as opened:
        for number, info in enumerate(opened):
            total_bytes += info.size
            if number >= limits.archive_members or total_bytes > limits.archive_bytes:
                raise ArchiveError("archive_too_large")
            if not info.isdir():
                yield info.name


def _tar_entries(opened: tarfile.TarFile) -> Iterator[_Entry]:
    for info in opened:
        # A stream never goes back; without this every header stays in memory.
        opened.members = []  # pyrefly: ignore[missing-attribute] - documented only as getmembers()
        if info.isdir():
            continue
        if info.issym() or info.islnk():
            yield _Entry(info.name, 0, "link", None)
        elif not info.isreg() or info.sparse is not None:
            yield _Entry(info.name, 0, "special_file", None)
        else:
            yield _Entry(info.name, info.size, None, lambda i=info: _extracted(opened, i))


def _extracted(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = opened.extractfile(info)
    assert file is not None, "only regular files come here"
    return file


def _zip_entries(opened: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in opened.infolist():
        if info.is_dir():
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            yield _Entry(info.filename, 0, "link", None)
        elif info.flag_bits & 1:
            yield _Entry(info.filename, info.file_size, "encrypted", None)
        else:
            yield _Entry(info.filename, info.file_size, None, lambda i=info: opened.open(i))


def _folder_entries(folder: Path) -> Iterator[_Entry]:
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(set(folders) - _FOLDERS_TO_SKIP)
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(parent) / name
            shown = path.relative_to(folder).as_posix()
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                yield _Entry(shown, 0, "link", None)
            elif not stat.S_ISREG(status.st_mode):
                yield _Entry(shown, 0, "special_file", None)
            else:
                yield _Entry(shown, status.st_size, None, lambda p=path: p.open("rb"))


def _common_top(names: Iterator[str] | list[str]) -> str:
    """Return the first folder with its slash if all names lie in it, else an empty string."""
    top: str | None = None
    for name in names:
        first, slash, _ = name.removeprefix("./").partition("/")
        if not slash or top not in {None, first} or first == "..":
            top = ""
        elif top is None:
            top = first
    return f"{top}/" if top else ""


def _unsafe(path: str) -> str | None:
    pure = PurePosixPath(path.replace("\\", "/"))
    climbs = pure.is_absolute() or ".." in pure.parts or "\0" in path or path[1:2] == ":"
    return "unsafe_path" if climbs or not pure.parts else None


def _valid_unicode(path: str) -> str:
    """Return a path that can be written as UTF-8; bytes of other encodings become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
