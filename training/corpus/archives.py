"""Members of an archive or folder, read in memory; nothing of it is ever written to a disk.

An archive is hostile until proven otherwise: paths that climb out, links, devices, bombs. Whatever
is not a plain file with a sane path comes out as a member with a reason and no content.
"""

from __future__ import annotations

import dataclasses
import hashlib
import lzma
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Self

from training.corpus.folders import UnreadableError, walk
from training.corpus.unpacked import HeaderTooLargeError, Unpacked, num_zip_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from training.corpus.limits import Limits

PATH_BYTES = 4096
"""Longest path that is kept whole, Linux's PATH_MAX."""
FROM_ARCHIVE = frozenset({
    "duplicate_path", "encrypted", "link", "no_path", "no_text", "path_too_long", "special_file",
    "too_large", "unknown_compression", "unreadable", "unsafe_path", "vanished",
})  # fmt: skip
"""Reasons about how a file came, not about what its path says."""
WITHOUT_OWN_PATH = frozenset({"duplicate_path", "no_path", "path_too_long", "unsafe_path"})
"""Reasons of members whose path may be another member's, too."""

_ZIP_SUFFIXES = (".zip", ".whl", ".jar")
_TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# zipfile unpacks other methods in one go, whatever size the member claims to have.
_ZIP_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError,
    NotImplementedError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


class ArchiveError(Exception):
    """An archive cannot be used; the message is the reason in the card."""


class Member(NamedTuple):
    """One entry of an archive that is not a folder, or one row of a table of files."""

    path: str
    """Path inside the archive, with slashes."""
    size_bytes: int
    content: bytes | None
    """None where there is a reason."""
    reason: str | None
    """Why it was not read."""
    project: str | None = None
    """Project that the row names; None where it names none."""
    licence: str | None = None
    """SPDX expression that the row names; None where it names none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a member before it is read."""

    path: str
    size_bytes: int
    reason: str | None = None
    read: Callable[[int], bytes] | None = None
    """Returns at most so many bytes; None where there is a reason."""
    project: str | None = None
    licence: str | None = None


def read_members(
    archive: Path, limits: Limits, reason_by_path: Callable[[str], str | None]
) -> Iterator[Member]:
    """Yield every plain file, link and special file of an archive, or of a folder.

    A top folder that all members of an archive share (`name-1.0/`) is cut off.

    Args:
        archive: A zip, a tar in any compression, or a folder.
        limits: What an archive may unpack to; a folder is on disk already and may be larger.
        reason_by_path: Why a path is not wanted; such a member is not unpacked.

    Raises:
        ArchiveError: The archive is damaged, of an unknown kind, or unpacks to too much.
    """
    try:
        if archive.is_dir():
            unlimited = dataclasses.replace(
                limits, archive_bytes=sys.maxsize, archive_members=sys.maxsize
            )
            files = (Entry(f.path, f.size_bytes, f.reason, f.read) for f in walk(archive))
            yield from judged(files, unlimited, reason_by_path)
        elif archive.name.endswith(_ZIP_SUFFIXES):
            yield from _zip_members(archive, limits, reason_by_path)
        elif archive.name.endswith(_TAR_SUFFIXES):
            top = _common_top(_tar_names(archive, limits))
            yield from judged(_tar_entries(archive), limits, reason_by_path, top=top)
        else:
            raise ArchiveError("unknown_archive_kind")
    except HeaderTooLargeError as error:
        raise ArchiveError("archive_too_large") from error
    except _DAMAGED as error:
        raise ArchiveError("damaged_archive") from error


def judged(
    entries: Iterable[Entry],
    limits: Limits,
    reason_by_path: Callable[[str], str | None],
    *,
    top: str = "",
) -> Iterator[Member]:
    """Turn entries into members: decide by name and size first, then read.

    Args:
        entries: What is there.
        limits: Largest file, and the most files and bytes of all entries.
        reason_by_path: Why a path is not wanted; such an entry is not read.
        top: Folder with its slash that is cut off.

    Raises:
        ArchiveError: There is more than the limits allow.
    """
    seen: set[bytes] = set()
    total_bytes = 0
    for number, entry in enumerate(entries):
        total_bytes += _counted(entry.size_bytes)
        if number >= limits.archive_members or total_bytes > limits.archive_bytes:
            raise ArchiveError("archive_too_large")
        path = _valid_unicode(entry.path.removeprefix("./").removeprefix(top))
        name = hashlib.sha256(f"{entry.project}\0{path}".encode()).digest()[:8]
        reason = (
            _reason_by_name(entry.path)
            or ("duplicate_path" if name in seen else None)
            or entry.reason
            or reason_by_path(path)
            or ("too_large" if entry.size_bytes > limits.file_bytes else None)
        )
        seen.add(name)
        content = None
        if reason is None and entry.read is not None:
            content, reason = _content(entry.read, limits.file_bytes)
        shown = path.encode()[:PATH_BYTES].decode("utf-8", "ignore")
        yield Member(shown, entry.size_bytes, content, reason, entry.project, entry.licence)


def _counted(size_bytes: int) -> int:
    if size_bytes < 0:
        raise ValueError("a header gives a negative size")
    return size_bytes


def _content(read: Callable[[int], bytes], limit_bytes: int) -> tuple[bytes | None, str | None]:
    """Return the content of a file, or the reason why there is none."""
    try:
        content = read(limit_bytes + 1)
    except UnreadableError as error:
        return None, str(error)
    return (content, None) if len(content) <= limit_bytes else (None, "too_large")


def _tar_names(archive: Path, limits: Limits) -> Iterator[str]:
    """Yield the names in a tar; stops a bomb before its end."""
    total_bytes = 0
    for number, (info, _) in enumerate(_tar_infos(archive)):
        total_bytes += _counted(info.size)
        if number >= limits.archive_members or total_bytes > limits.archive_bytes:
            raise ArchiveError("archive_too_large")
        if not info.isdir():
            yield info.name


def _tar_entries(archive: Path) -> Iterator[Entry]:
    for info, opened in _tar_infos(archive):
        if info.isdir():
            continue
        if info.issym() or info.islnk():
            yield Entry(info.name, 0, "link")
        elif not info.isreg() or info.sparse is not None:
            yield Entry(info.name, 0, "special_file")
        else:
            yield Entry(info.name, info.size, None, _tar_reader(opened, info))


def _tar_infos(archive: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Yield the headers of a tar in their order, each before its content is skipped."""
    stream = Unpacked(archive)
    with stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_WholeHeader) as opened:
        for info in opened:
            # A stream never goes back; without this every header stays in memory.
            opened.members.clear()  # pyrefly: ignore[missing-attribute] - not in its stubs
            stream.allow_header_after(opened.offset)
            yield info, opened


class _WholeHeader(tarfile.TarInfo):
    """A header that must be there in full; tarfile takes half a one for the end."""

    @classmethod
    def frombuf(  # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
        cls, buf: bytes | bytearray, encoding: str, errors: str
    ) -> Self:
        """See `tarfile.TarInfo.frombuf`."""
        if 0 < len(buf) < tarfile.BLOCKSIZE:
            raise EOFError("the archive ends in a header")
        return super().frombuf(buf, encoding, errors)


def _tar_reader(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[int], bytes]:
    def read(limit_bytes: int) -> bytes:
        file = opened.extractfile(info)
        assert file is not None, "only regular files come here"
        return file.read(limit_bytes)

    return read


def _zip_members(
    archive: Path, limits: Limits, reason_by_path: Callable[[str], str | None]
) -> Iterator[Member]:
    # zipfile makes an object of every entry before it says how many there are.
    if num_zip_entries(archive, most=limits.archive_members) > limits.archive_members:
        raise ArchiveError("archive_too_large")
    with zipfile.ZipFile(archive) as opened:
        top = _common_top(opened.namelist())
        yield from judged(_zip_entries(opened), limits, reason_by_path, top=top)


def _zip_entries(opened: zipfile.ZipFile) -> Iterator[Entry]:
    for info in opened.infolist():
        if info.is_dir():
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            yield Entry(info.filename, 0, "link")
        elif kind not in {0, stat.S_IFREG}:
            yield Entry(info.filename, 0, "special_file")
        elif info.flag_bits & 1:
            yield Entry(info.filename, info.file_size, "encrypted")
        elif info.compress_type not in _ZIP_METHODS:
            yield Entry(info.filename, info.file_size, "unknown_compression")
        else:
            yield Entry(info.filename, info.file_size, None, _zip_reader(opened, info))


def _zip_reader(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
    def read(limit_bytes: int) -> bytes:
        with opened.open(info) as file:
            return file.read(limit_bytes)

    return read


def _common_top(names: Iterable[str]) -> str:
    """Return the first folder with its slash if all names lie in it, else an empty string."""
    top: str | None = None
    for name in names:
        first, slash, _ = name.removeprefix("./").partition("/")
        if not slash or top not in {None, first} or first == "..":
            top = ""
        elif top is None:
            top = first
    return f"{top}/" if top else ""


def _reason_by_name(path: str) -> str | None:
    """Return what is wrong with a path as the archive spells it, or None."""
    if not path:
        return "no_path"
    pure = PurePosixPath(path.replace("\\", "/"))
    climbs = pure.is_absolute() or ".." in pure.parts or "\0" in path or path[1:2] == ":"
    if climbs or not pure.parts:
        return "unsafe_path"
    return "path_too_long" if len(path.encode("utf-8", "surrogateescape")) > PATH_BYTES else None


def _valid_unicode(path: str) -> str:
    """Return a path that can be written as UTF-8; bytes of other encodings become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
