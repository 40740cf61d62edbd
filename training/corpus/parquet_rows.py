"""Source files that are rows of a Parquet file, in the layouts of the public code datasets.

A Parquet file is hostile, too: before anything of a row group is decoded, the headers of its pages
are read, and so many rows are decoded at once as cannot outgrow a batch whatever their encoding.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.corpus.archives import ArchiveError, Entry, Member, judged
from training.corpus.parquet_pages import PagesError, pages_of
from training.corpus.source import UNKNOWN_LICENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from training.corpus.limits import Limits
    from training.corpus.source import Columns

PAGE_BYTES = 64_000_000
"""Largest page of the wanted columns; writers aim at 1 MB."""
BATCH_BYTES = 64_000_000
"""Most that one batch of rows can decode to."""
BATCH_ROWS = 1024
RATIO = 100
"""Most times that the texts may be larger than the file; Zstandard brings code to a fifth."""
ROW_BYTES = 16
"""Least bytes that a row takes in the file; below it the rows are a bomb."""
LIST_PAGE_BYTES = 4_000_000
"""Largest page of a list of licences."""
LIST_VALUES = 64
"""Most licences that the rows of a group have on average."""
LICENCE_CHARS = 1000
_DAMAGED = (pa.ArrowException, OSError, ValueError, NotImplementedError, OverflowError, KeyError)


class Layout(NamedTuple):
    """Names of columns in one family of datasets."""

    text: str
    path: str
    project: str
    licence: str


LAYOUTS = (
    # The Stack v1 and its deduplicated form; starcoderdata is the same without licences.
    Layout("content", "max_stars_repo_path", "max_stars_repo_name", "max_stars_repo_licenses"),
    # The Stack v2 once its contents are downloaded.
    Layout("content", "path", "repo_name", "detected_licenses"),
    Layout("text", "path", "repo_name", "detected_licenses"),
    # What this pipeline writes.
    Layout("text", "path", "project", "licence"),
    Layout("content", "path", "project", "licence"),
)
"""Known layouts; the first whose text and path are there, with most of the rest, is taken."""


@dataclass(frozen=True, slots=True)
class _Table:
    """An open file and the columns that are used; an empty name is a column it lacks."""

    file: pq.ParquetFile
    path: Path
    layout: Layout

    @property
    def columns(self) -> list[str]:
        return [name for name in self.layout if name]


def read_rows(
    path: Path, columns: Columns, limits: Limits, reason_by_path: Callable[[str], str | None]
) -> Iterator[Member]:
    """Yield every row of a Parquet file as a member with its project and licence.

    Args:
        path: The file.
        columns: Names that go before those of the known layouts.
        limits: Largest text. The file may hold more texts and bytes than an archive may, since
            they grow with its size on disk.
        reason_by_path: Why a path is not wanted; such a text is not looked at.

    Raises:
        ArchiveError: The file is damaged, lacks a column, or unpacks to too much.
    """
    try:
        size_bytes = path.stat().st_size
        bounds = dataclasses.replace(
            limits,
            archive_bytes=max(limits.archive_bytes, RATIO * size_bytes),
            archive_members=max(limits.archive_members, size_bytes // ROW_BYTES),
        )
        # Bounded by a buffer instead of by what the file says of a row group.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            if file.metadata.num_rows > bounds.archive_members:
                raise ArchiveError("archive_too_large")
            table = _Table(file, path, _layout(file.schema_arrow, columns))
            yield from judged(_entries(table), bounds, reason_by_path)
    except PagesError as error:
        raise ArchiveError(str(error)) from error
    except _DAMAGED as error:
        raise ArchiveError("damaged_archive") from error
    except MemoryError as error:
        raise ArchiveError("archive_too_large") from error


def _layout(schema: pa.Schema, columns: Columns) -> Layout:
    """Return the columns to use; the recipe's names go before those of the layouts."""
    known = [each for each in LAYOUTS if {each.text, each.path} <= set(schema.names)]
    # Of layouts that share a beginning, the one that fits best; the first of equals.
    best = max(known, key=lambda each: len(set(each) & set(schema.names)), default=LAYOUTS[0])
    asked = Layout(columns.text, columns.path, columns.project, columns.licence)
    chosen = [
        name or (given if given in schema.names else "")
        for name, given in zip(asked, best, strict=True)
    ]
    for role, name in zip(Layout._fields, chosen, strict=True):
        if not name and role in {"text", "path"}:
            raise ArchiveError(f"no_{role}_column")
        if name and schema.names.count(name) != 1:
            raise ArchiveError(f"no_such_column: {name}")
        if name and not _fits(schema.field(name).type, is_list_allowed=role == "licence"):
            raise ArchiveError(f"wrong_column_type: {name} is {schema.field(name).type}"[:200])
    return Layout(*chosen)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _fits(kind: pa.DataType, *, is_list_allowed: bool) -> bool:
    if is_list_allowed and _is_list(kind):
        kind = kind.value_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    data = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(is_kind(kind) for is_kind in (*text, *data))


def _entries(table: _Table) -> Iterator[Entry]:
    for group in range(table.file.metadata.num_row_groups):
        num_rows = _num_rows_at_once(table, group)
        batches = table.file.iter_batches(
            batch_size=num_rows, row_groups=[group], columns=table.columns, use_threads=False
        )
        for batch in batches:
            yield from _batch_entries(batch, table.layout)


def _num_rows_at_once(table: _Table, group: int) -> int:
    """Return how many rows of a group can be decoded together, by what its pages can hold.

    Raises:
        ArchiveError: A page is a bomb.
    """
    metadata = table.file.metadata.row_group(group)
    largest_bytes = 0
    for index in range(metadata.num_columns):
        chunk = metadata.column(index)
        name = chunk.path_in_schema.partition(".")[0]
        if name not in table.columns:
            continue
        pages = pages_of(table.path, chunk)
        is_list = name != chunk.path_in_schema
        if pages.largest_bytes > (LIST_PAGE_BYTES if is_list else PAGE_BYTES):
            raise ArchiveError("archive_too_large")
        if is_list and pages.num_values > LIST_VALUES * (metadata.num_rows + 1):
            raise ArchiveError("archive_too_large")
        largest_bytes += pages.largest_bytes
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, largest_bytes)))


def _batch_entries(batch: pa.RecordBatch, layout: Layout) -> Iterator[Entry]:
    texts = _as_bytes(batch.column(layout.text))
    paths, projects = (_strings(batch, name) for name in (layout.path, layout.project))
    licences = _licences(batch, layout.licence)
    for row, size_bytes in enumerate(pc.call_function("binary_length", [texts]).to_pylist()):
        yield Entry(
            path=paths[row] or "",
            size_bytes=size_bytes or 0,
            reason="no_text" if size_bytes is None else None,
            read=partial(_read, texts[row]),
            project=projects[row],
            licence=licences[row],
        )


def _read(value: pa.LargeBinaryScalar, limit_bytes: int) -> bytes:
    return bytes(memoryview(value.as_buffer())[:limit_bytes])


def _as_bytes(column: pa.Array) -> pa.LargeBinaryArray:
    """Return strings of any type as bytes: what is no UTF-8 is a matter of a later stage."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.large_binary())


def _strings(batch: pa.RecordBatch, name: str) -> list[str | None]:
    """Return the strings of a column; None for what is missing, empty or longer than any name."""
    if not name:
        return [None] * batch.num_rows
    values = _as_bytes(batch.column(name)).to_pylist()
    return [value.decode("utf-8", "replace") if value else None for value in values]


def _licences(batch: pa.RecordBatch, name: str) -> list[str | None]:
    """Return one SPDX expression a row."""
    if not name or not _is_list(batch.column(name).type):
        stated = _strings(batch, name)
        return [_all_of([each]) if each else None for each in stated]
    column = batch.column(name)
    values = _as_bytes(column.flatten()).to_pylist()
    # `flatten` leaves out the values behind null lists, as the lengths do.
    lengths = [
        length or 0 for length in pc.call_function("list_value_length", [column]).to_pylist()
    ]
    ends = accumulate((length or 0 for length in lengths), initial=0)
    return [
        _all_of([each.decode("utf-8", "replace") for each in values[start:end] if each])
        for start, end in pairwise(ends)
    ]


def _all_of(licences: list[str]) -> str | None:
    """Return the SPDX expression that asks for every licence of a list; None for an empty list.

    A detector that found several licences in a file or project does not know which one holds for
    what, so all must pass.
    """
    stated = sorted({each.strip() for each in licences if each.strip()})
    if not stated:
        return None
    parts = [f"({each})" if " " in each and len(stated) > 1 else each for each in stated]
    expression = " AND ".join(parts)
    return expression if len(expression) <= LICENCE_CHARS else UNKNOWN_LICENCE
