"""Headers of Parquet pages: what a column can unpack to, before anything is unpacked.

The footer of a file tells sizes, too, but nothing holds a hostile file to them; a reader allocates
what the header of each page says.

Source: Apache Parquet format 2.11, parquet.thrift (PageHeader), and the Thrift compact protocol,
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow.parquet as pq

_HEADER_BYTES = 1 << 12
_MOST_HEADER_BYTES = 1 << 20
_DEEPEST = 8
_MOST_ITEMS = 1 << 12
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(
    13
)
_UNPACKED, _PACKED, _DATA, _DICTIONARY, _DATA_V2 = 2, 3, 5, 7, 8
_NUM_VALUES = 1


class PagesError(Exception):
    """The pages of a column cannot be walked; the message is the reason in the card."""


class Pages(NamedTuple):
    """What the pages of one column in one row group claim."""

    largest_bytes: int
    """Of a page once it is unpacked."""
    num_values: int
    """Of all data pages."""


def pages_of(path: Path, chunk: pq.ColumnChunkMetaData) -> Pages:
    """Return what the headers of a column's pages say.

    Args:
        path: The file.
        chunk: The column in one row group.

    Raises:
        PagesError: A header is broken or lies outside of the file.
    """
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        start = min(start, chunk.dictionary_page_offset)
    end = start + chunk.total_compressed_size
    largest_bytes = num_values = 0
    with path.open("rb") as file:
        if not 0 <= start <= end <= path.stat().st_size:
            raise PagesError("damaged_archive")
        while start < end:
            header = _header_at(file, start)
            largest_bytes = max(largest_bytes, header.unpacked_bytes, header.packed_bytes)
            num_values += header.num_values
            start += header.size_bytes + header.packed_bytes
    return Pages(largest_bytes, num_values)


class _Header(NamedTuple):
    size_bytes: int
    unpacked_bytes: int
    packed_bytes: int
    num_values: int


def _header_at(file: IO[bytes], offset: int) -> _Header:
    size_bytes = _HEADER_BYTES
    while True:
        file.seek(offset)
        data = file.read(size_bytes)
        try:
            return _header(_Compact(data))
        except IndexError as error:
            # Statistics can make a header longer than most.
            if len(data) < size_bytes or size_bytes >= _MOST_HEADER_BYTES:
                raise PagesError("damaged_archive") from error
            size_bytes *= 16


def _header(compact: _Compact) -> _Header:
    sizes = {_UNPACKED: -1, _PACKED: -1}
    num_values = 0
    for field, kind in compact.fields():
        if field in sizes and kind == _I32:
            sizes[field] = compact.integer()
        elif field in {_DATA, _DATA_V2} and kind == _STRUCT:
            num_values = _num_values(compact)
        else:
            compact.skip(kind)
    if min(sizes.values()) < 0 or num_values < 0:
        raise PagesError("damaged_archive")
    return _Header(compact.offset, sizes[_UNPACKED], sizes[_PACKED], num_values)


def _num_values(compact: _Compact) -> int:
    found = 0
    for field, kind in compact.fields():
        if field == _NUM_VALUES and kind == _I32:
            found = compact.integer()
        else:
            compact.skip(kind)
    return found


class _Compact:
    """Reader of Thrift's compact protocol; raises `IndexError` where the data end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field of a struct; the caller reads the value."""
        number = 0
        while (first := self._byte()) != _STOP:
            delta, kind = first >> 4, first & 15
            number = number + delta if delta else self.integer()
            yield number, kind

    def integer(self) -> int:
        """Read a signed integer."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def skip(self, kind: int, depth: int = 0) -> None:
        """Read over a value."""
        if depth > _DEEPEST:
            raise PagesError("damaged_archive")
        if kind in {_BYTE, _I16, _I32, _I64}:
            self._varint()
        elif kind == _DOUBLE:
            self._advance(8)
        elif kind == _BINARY:
            self._advance(self._varint())
        elif kind in {_LIST, _SET}:
            self._skip_list(depth)
        elif kind == _STRUCT:
            self._skip_struct(depth)
        elif kind not in {_TRUE, _FALSE}:
            raise PagesError("damaged_archive")

    def _skip_struct(self, depth: int) -> None:
        for _, kind in self.fields():
            self.skip(kind, depth + 1)

    def _skip_list(self, depth: int) -> None:
        first = self._byte()
        num_items = first >> 4 if first >> 4 < 15 else self._varint()
        if num_items > _MOST_ITEMS:
            raise PagesError("damaged_archive")
        for _ in range(num_items):
            self.skip(first & 15, depth + 1)

    def _byte(self) -> int:
        value = self._data[self.offset]
        self.offset += 1
        return value

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise PagesError("damaged_archive")

    def _advance(self, num_bytes: int) -> None:
        self.offset += num_bytes
        if self.offset > len(self._data):
            raise IndexError(self.offset)
