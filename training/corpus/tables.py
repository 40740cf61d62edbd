"""Tables of the pipeline: one explicit Arrow schema, and the two ways a stage changes a table.

A stage is a pure function `Table -> Table`. It never removes a row: it writes the reason into
`stage` and `reason`, so that every count of the card is one GROUP BY over the same table.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Value = TypeVar("Value", str, bytes)

ANNOTATED = pa.schema([
    pa.field("id", pa.string(), nullable=False),  # 64 bits in hexadecimal
    pa.field("file", pa.int64()),  # the id as a number, see `as_int64`
    pa.field("source", pa.string(), nullable=False),
    pa.field("project", pa.string(), nullable=False),
    pa.field("version", pa.string(), nullable=False),
    pa.field("path", pa.string(), nullable=False),
    pa.field("language", pa.string()),
    pa.field("licence", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("size_bytes", pa.int64(), nullable=False),  # of the text once there is one
    pa.field("num_lines", pa.int64()),
    pa.field("blob_sha1", pa.string()),  # git's hash of the content as it was read
    pa.field("sha256", pa.string()),  # of the final text
    pa.field("num_secrets", pa.int64()),  # that stand-ins replaced
    pa.field("num_emails", pa.int64()),
    pa.field("num_ips", pa.int64()),
    pa.field("quality", pa.float64()),  # share of labels that hold, see `quality.py`; null if off
    pa.field("folder_rank", pa.string(), nullable=False),  # hash order of folders, for the caps
    pa.field("signature", pa.binary()),  # see `minhash.py`; of what is kept
    pa.field("content", pa.binary()),  # as read; null once it is text
    pa.field("text", pa.string()),
    pa.field("stage", pa.string()),  # null while the file is kept
    pa.field("reason", pa.string()),
    pa.field("detail", pa.string()),  # what the reason is about: a problem, the copy that is kept
])  # fmt: skip
"""What flows between the stages."""

FILES = pa.schema([
    ANNOTATED.field(name)
    for name in ("id", "source", "project", "version", "path", "language", "licence", "split",
                 "sha256", "blob_sha1", "size_bytes", "num_lines", "quality", "text")
])  # fmt: skip
"""A kept file, as `files/*.parquet` holds it. `text` has LF line ends."""

DROPPED = pa.schema([
    ANNOTATED.field(name)
    for name in ("id", "path", "source", "project", "language", "licence", "size_bytes", "stage",
                 "reason", "detail")
])  # fmt: skip
"""A dropped file, as `dropped/*.parquet` holds it."""

BANDS = pa.schema([
    pa.field("file", pa.int64(), nullable=False),
    pa.field("band", pa.int64(), nullable=False),
])  # fmt: skip
"""Buckets of similar files: two files that share one may be near duplicates."""


def short_hash(*parts: str) -> str:
    """Return 64 bits in hexadecimal that depend on `parts` alone; ids and orders come from it."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def as_int64(file_id: str) -> int:
    """Return an id as a signed integer of the same order; half the bytes in a shuffle."""
    return int(file_id, 16) - 2**63


def as_id(number: int) -> str:
    """Return the id that `as_int64` made a number of."""
    return f"{number + 2**63:016x}"


def live(table: pa.Table, column: str, kind: type[Value]) -> list[Value | None]:
    """Return the values of a column, with None for every row that is already dropped.

    Args:
        table: Rows of `ANNOTATED`.
        column: Name of the column.
        kind: Python type of its values.
    """
    assert kind in {str, bytes}, "what the stages look at"
    values, reasons = table[column].to_pylist(), table["reason"].to_pylist()
    return [value if why is None else None for value, why in zip(values, reasons, strict=True)]


def replace(table: pa.Table, column: str, values: Sequence[object]) -> pa.Table:
    """Return the table with other values in one column."""
    index = table.schema.get_field_index(column)
    field = table.schema.field(index)
    return table.set_column(index, field, pa.array(values, type=field.type))


class Drop(NamedTuple):
    """A reason with what it is about."""

    reason: str
    detail: str


def judge(
    table: pa.Table,
    stage: str,
    columns: tuple[str, ...],
    reason_to_drop: Callable[..., str | Drop | None],
) -> pa.Table:
    """Return the table with a reason for each live row that `reason_to_drop` rejects.

    Args:
        table: Rows of `ANNOTATED`.
        stage: Name of the stage in cards.
        columns: Whose values are the arguments of `reason_to_drop`.
        reason_to_drop: Returns the reason, or None to keep the row.
    """
    stages, reasons, details = (table[name].to_pylist() for name in ("stage", "reason", "detail"))
    values = [table[column].to_pylist() for column in columns]
    for row, arguments in enumerate(zip(*values, strict=True)):
        if reasons[row] is not None:
            continue
        verdict = reason_to_drop(*arguments)
        if verdict is None:
            continue
        stages[row] = stage
        reasons[row], details[row] = verdict if isinstance(verdict, Drop) else (verdict, None)
    for name, column in (("stage", stages), ("reason", reasons), ("detail", details)):
        table = replace(table, name, column)
    return table


def write_table(table: pa.Table, out: Path) -> None:
    """Write a table to a Parquet file, whole."""
    aside = out.with_name(f".{out.name}.{os.getpid()}.part")
    pq.write_table(table, aside, compression="zstd")
    aside.replace(out)
