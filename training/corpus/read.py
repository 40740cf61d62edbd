"""The first stage: the files of a source become rows of a Parquet file, wherever they lie."""

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
from training.corpus.archives import FROM_ARCHIVE, WITHOUT_OWN_PATH, Member, read_members
from training.corpus.filters import reason_by_path
from training.corpus.limits import Limits
from training.corpus.parquet_rows import read_rows
from training.corpus.source import Projects, Source, Splits
from training.corpus.tables import ANNOTATED, short_hash

if TYPE_CHECKING:
    from collections.abc import Iterator


BATCH_BYTES = 32_000_000
BATCH_ROWS = 20_000

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
    keep_out: frozenset[str] = frozenset()
    """Projects of which nothing is read; a name also stands for `owner/name`."""


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
        if reading.source.is_table:
            members = read_rows(archive, reading.source.columns, reading.limits, judge)
        else:
            members = read_members(archive, reading.limits, judge)
        for number, member in enumerate(members):
            row = _row(reading, f"{prefix}{member.path}", member)
            if member.reason in WITHOUT_OWN_PATH:  # only the first of a name has the plain id
                row["id"] = short_hash(str(row["id"]), str(number))
            yield row


def _reason_not_to_open(path: str, *, excluded: list[re.Pattern[str]], prefix: str) -> str | None:
    path = f"{prefix}{path}"
    # With the slash, `*/testdata/*` also matches a folder at the top.
    if any(pattern.match(path) or pattern.match(f"/{path}") for pattern in excluded):
        return "excluded"
    return reason_by_path(path)


def _row(reading: Reading, path: str, member: Member) -> dict[str, object]:
    source = reading.source
    project = _project_of(source, path, member)
    language = by_path(path)
    reason, content = member.reason, member.content
    if reason is None and {project, project.rpartition("/")[2]} & reading.keep_out:
        reason, content = "kept_out", None
    stage = "read" if reason in FROM_ARCHIVE else "path"
    # In a table many projects have a file of the same path.
    owner = (source.key, project) if source.is_table else (source.key,)
    return {
        "id": short_hash(*owner, path),
        "source": source.key,
        "project": project,
        "version": source.version,
        "path": path,
        "language": language.name if language else None,
        "licence": member.licence or source.licence,
        "split": reading.splits.of(project).value,
        "size_bytes": member.size_bytes,
        "folder_rank": short_hash(*owner, PurePosixPath(path).parent.as_posix()),
        "content": content,
        "stage": stage if reason else None,
        "reason": reason,
    }


def _project_of(source: Source, path: str, member: Member) -> str:
    """Return what the split of a file goes by."""
    if source.projects == Projects.TOP_FOLDERS:
        folder, slash, _ = path.partition("/")
        return folder if slash else source.project_name
    return member.project or source.project_name
