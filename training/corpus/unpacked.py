"""Streams that unpack as they are read, in bounded memory, whatever their headers claim."""

from __future__ import annotations

import bz2
import io
import lzma
import mmap
import struct
import zlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer as Buffer

HEADER_BYTES = 256_000
"""Most bytes of all headers of one member of a tar: names, attributes and maps of holes."""
DICTIONARY_BYTES = 256_000_000
"""Most memory that an xz stream may ask for; `xz -9` asks for 65 MB."""
_MAGIC = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0"}
_MAGIC_BYTES = 6
_BLOCK_BYTES = 1 << 16
_TAR_BUFFER_BYTES = 20 * 512  # what tarfile reads at once
_ZIP_END = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR = struct.Struct("<4sLQL")
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")
_ZIP_ENTRY_BYTES = 46


class HeaderTooLargeError(Exception):
    """The headers of one member of a tar are larger than any honest one's."""


class _Decompressor(Protocol):
    """What Python's decompressors share."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What follows the end."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most so many bytes, none if it needs more data."""
        ...


class Unpacked(io.RawIOBase):
    """The content of a file that is compressed with gzip, bzip2 or xz, or not at all."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._kind = _kind_of(self._file.read(_MAGIC_BYTES))
        self._file.seek(0)
        self._decompressor = _new_decompressor(self._kind)
        self._is_at_end = False
        self._num_read_bytes = 0
        self._allowed_bytes = 0
        self.allow_header_after(0)

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def readable(self) -> bool:
        """Return True."""
        return True

    def allow_header_after(self, offset_bytes: int) -> None:
        """Let reading go on until the header that starts at an offset must have ended."""
        self._allowed_bytes = offset_bytes + HEADER_BYTES + _TAR_BUFFER_BYTES

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer with some bytes, and return how many; none only at the end.

        Raises:
            HeaderTooLargeError: More than `allow_header_after` allows was read.
            EOFError: The file is cut off.
        """
        view = memoryview(buffer)
        part = self._some(len(view))
        view[: len(part)] = part
        self._num_read_bytes += len(part)
        if self._num_read_bytes > self._allowed_bytes:
            raise HeaderTooLargeError
        return len(part)

    def _some(self, most_bytes: int) -> bytes:
        """Return some bytes; none only at the end."""
        if self._decompressor is None:
            return self._file.read(most_bytes)
        packed = b""
        while not self._is_at_end:
            if self._decompressor.eof:
                packed = self._decompressor.unused_data
                packed += self._file.read(_BLOCK_BYTES) if len(packed) < _MAGIC_BYTES else b""
                # What is no further stream is padding, as the programs themselves see it.
                self._is_at_end = _kind_of(packed) != self._kind
                self._decompressor = _new_decompressor(self._kind)
                continue
            part = self._decompressor.decompress(packed, most_bytes)
            if part:
                return part
            packed = b""
            if not self._decompressor.eof:
                packed = self._file.read(_BLOCK_BYTES)
                if not packed:
                    raise EOFError("the compressed data end too early")
        return b""


class _Gunzip:
    """zlib's decompressor with the manners of the other two: it keeps what it did not use."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._rest = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        part = self._inner.decompress(self._rest + data, max_length)
        self._rest = self._inner.unconsumed_tail
        return part


def _kind_of(start: bytes) -> str:
    """Return how a file is compressed, by its first bytes; empty if it is not."""
    return next((kind for kind, magic in _MAGIC.items() if start.startswith(magic)), "")


def _new_decompressor(kind: str) -> _Decompressor | None:
    if kind == "gzip":
        return _Gunzip()
    if kind == "bzip2":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(memlimit=DICTIONARY_BYTES) if kind == "xz" else None


def num_zip_entries(path: Path, *, most: int) -> int:
    """Return the number of entries of a zip's directory; counting stops above `most`.

    What is no zip has none; the numbers that the directory gives of itself are not believed.

    Source: APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16
    """
    if path.stat().st_size < _ZIP_END.size:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = data.rfind(b"PK\5\6", max(0, len(data) - _ZIP_END.size - 0xFFFF))
        if end < 0 or end + _ZIP_END.size > len(data):
            return 0
        size_bytes, stop = _ZIP_END.unpack_from(data, end)[5], end
        locator = end - _ZIP64_LOCATOR.size
        if locator >= _ZIP64_END.size and data[locator : locator + 4] == b"PK\6\7":
            stop = locator - _ZIP64_END.size
            size_bytes = _ZIP64_END.unpack_from(data, stop)[8]
        offset, num_entries = stop - size_bytes, 0
        while 0 <= offset <= stop - _ZIP_ENTRY_BYTES and num_entries <= most:
            num_entries += 1
            offset += _ZIP_ENTRY_BYTES + sum(struct.unpack_from("<3H", data, offset + 28))
        return num_entries
