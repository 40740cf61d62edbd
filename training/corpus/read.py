"""The first stage: the members of a source's archives become rows of a Parquet file."""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from fimble.languages import by_path
from training.corpus.archives import Member, read_members
from training.corpus.filters import reason_by_path
from training.corpus.recipe import Limits
from training.corpus.source import Source, Splits
from training.corpus.tables import ANNOTATED, short_hash

if TYPE_CHECKING:
    from collections.abc import Iterator


BATCH_BYTES = 32_000_000
BATCH_ROWS = 20_000

_FROM_ARCHIVE = frozenset(
    {
        "unsafe_path",
        "link",
        "special_file",
        "encrypted",
        "unreadable",
        "duplicate_path",
        "too_large",
    }
)
# Debian splits some upstreams into several tarballs: name_1.0.orig-COMPONENT.tar.xz
_COMPONENT = re.compile(r"\.orig-([^.]+)\.tar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One source, ready to be read; travels to a worker process."""

    source: Source
    splits: Splits
    exclude: tuple[str, ...]
    limits: Limits
    archives: tuple[Path, ...]


def read_source(reading: Reading, out: Path) -> None:
    """Write every member of a source's archives to `out`, in row groups of some 32 MB.

    Raises:
        ArchiveError: An archive is damaged or unpacks to too much; `out` is not written.
    """
    aside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with pq.ParquetWriter(aside, ANNOTATED, compression="zstd") as writer:
            for batch in _batches(_rows(reading)):
                writer.write_table(pa.Table.from_pylist(batch, schema=ANNOTATED))
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)


def _batches(rows: Iterator[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    batch: list[dict[str, object]] = []
    num_bytes = 0
    for row in rows:
        content = row["content"]
        num_bytes += len(content) if isinstance(content, bytes) else 0
        batch.append(row)
        if num_bytes >= BATCH_BYTES or len(batch) >= BATCH_ROWS:
            yield batch
            batch = []
            num_bytes = 0
    if batch:
        yield batch


def _rows(reading: Reading) -> Iterator[dict[str, object]]:
    excluded = [re.compile(fnmatch.translate(pattern)) for pattern in reading.exclude]
    for archive in reading.archives:
        component = _COMPONENT.search(archive.name)
        prefix = f"{component[1]}/" if component else ""
        judge = partial(_reason_not_to_open, excluded=excluded, prefix=prefix)
        for number, member in enumerate(read_members(archive, reading.limits, judge)):
            row = _row(reading.source, reading.splits, f"{prefix}{member.path}", member)
            if member.reason == "duplicate_path":  # only the first of a name has the plain id
                row["id"] = short_hash(str(row["id"]), str(number))
            yield row


def _reason_not_to_open(path: str, *, excluded: list[re.Pattern[str]], prefix: str) -> str | None:
    path = f"{prefix}{path}"
    # With the slash, `*/testdata/*` also matches a folder at the top.
    if any(pattern.match(path) or pattern.match(f"/{path}") for pattern in excluded):
        return "excluded"
    return reason_by_path(path)


def _row(source: Source, splits: Splits, path: str, member: Member) -> dict[str, object]:
    language = by_path(path)
    stage = "read" if member.reason in _FROM_ARCHIVE else "path"
    return {
        "id": short_hash(source.key, path),
        "source": source.key,
        "project": source.project_name,
        "version": source.version,
        "path": path,
        "language": language.name if language else None,
        "licence": source.licence,
        "split": splits.of(source.project_name).value,
        "size_bytes": member.size_bytes,
        "folder_rank": short_hash(source.key, PurePosixPath(path).parent.as_posix()),
        "content": member.content,
        "stage": stage if member.reason else None,
        "reason": member.reason,
    }
