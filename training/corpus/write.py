"""The last stage: kept files and dropped files of one source, each in a Parquet file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.corpus.tables import DROPPED, FILES, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """One source, ready to be written; travels to a worker process."""

    key: str
    annotated: tuple[Path, ...]
    decisions: tuple[Path, ...]
    """Parquet files of (id, source, stage, reason, detail) of the files that relations drop."""
    files: Path
    dropped: Path


class Written(NamedTuple):
    """Rows in the two files of a source."""

    num_kept: int
    num_dropped: int


def write_source(writing: Writing) -> Written:
    """Write the files of one source; a file without rows is not written."""
    decisions = _decisions_of(writing)
    kept_writer = dropped_writer = None
    num_kept = num_dropped = 0
    for path in writing.annotated:
        table = _decided(pq.read_table(path), decisions)
        is_kept = pc.field("reason").is_null()
        kept, dropped = table.filter(is_kept), table.filter(~is_kept)
        if kept.num_rows:
            kept_writer = kept_writer or _writer(writing.files, FILES)
            kept_writer.write_table(kept.select(FILES.names).cast(FILES))
        if dropped.num_rows:
            dropped_writer = dropped_writer or _writer(writing.dropped, DROPPED)
            dropped_writer.write_table(dropped.select(DROPPED.names).cast(DROPPED))
        num_kept += kept.num_rows
        num_dropped += dropped.num_rows
    for writer in (kept_writer, dropped_writer):
        if writer is not None:
            writer.close()
    return Written(num_kept, num_dropped)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd")


def _decisions_of(writing: Writing) -> dict[str, tuple[str, str, str | None]]:
    decisions: dict[str, tuple[str, str, str | None]] = {}
    for path in writing.decisions:
        found = pq.read_table(path, filters=[("source", "=", writing.key)])
        names = ("id", "stage", "reason", "detail")
        for file_id, *what in zip(*(found[name].to_pylist() for name in names), strict=True):
            decisions[file_id] = (what[0], what[1], what[2])
    return decisions


def _decided(table: pa.Table, decisions: dict[str, tuple[str, str, str | None]]) -> pa.Table:
    """Return the table with stage, reason and detail of every file that a relation drops."""
    stages, reasons, details = (table[name].to_pylist() for name in ("stage", "reason", "detail"))
    for row, file_id in enumerate(table["id"].to_pylist()):
        if file_id in decisions and reasons[row] is None:
            stages[row], reasons[row], details[row] = decisions[file_id]
    for name, column in (("stage", stages), ("reason", reasons), ("detail", details)):
        table = replace(table, name, column)
    return table
