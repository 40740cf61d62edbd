"""From spool to warehouse: every recorded event ends up in exactly one Parquet file, once.

The order of steps makes a kill at any point harmless: new files are written under names that
nothing refers to; the manifest is replaced, which is the one instant when they begin to count and
their segments count as merged; only then are segments deleted. What a killed merger leaves behind,
the next one merges again or removes.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fimble.files import write_whole
from telemetry.schema import Flaw
from telemetry.segments import Content, adopt_orphans, closed_segments, read_segment
from telemetry.views import (
    connect,
    load_records,
    new_events,
    publish,
    quoted,
    stored_events,
)
from telemetry.warehouse import GRACE_MS, DayFile, Manifest, SegmentEntry, Warehouse, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from fimble.clock import Clock

WAIT_S = 60.0
"""How long `fimble telemetry merge` waits for another merge."""
WORK_PREFIX = ".merge-"
BATCH_EVENTS = 50_000
"""Segments are merged in batches of about so many events, so that memory stays bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeReport:
    """What one merge did."""

    num_segments: int = 0
    num_events: int = 0
    """Events that were not there before."""
    num_duplicates: int = 0
    num_torn: int = 0
    num_damaged: int = 0
    num_unknown: int = 0
    num_adopted: int = 0
    """Segments whose writers had died."""
    unreadable: tuple[str, ...] = field(default=())
    """Segments that could not be read, with the reason; they stay in the spool."""


def merge(spool: Path, warehouse: Warehouse, clock: Clock, *, wait_s: float) -> MergeReport | None:
    """Move every closed segment of the spool into the warehouse.

    Args:
        spool: Where editor sessions leave their segments; need not exist.
        warehouse: Where they go.
        clock: Tells when replaced files may go.
        wait_s: Wait so long for another merge to end; None is returned if it does not.

    Raises:
        InputError: The manifest of the warehouse is damaged.
    """
    with warehouse.merging(wait_s=wait_s) as is_ours:
        if not is_ours:
            return None
        manifest = _clean(warehouse, warehouse.manifest(), clock)
        report = MergeReport(num_adopted=adopt_orphans(spool))
        pending = [path for path in closed_segments(spool) if not _is_merged(path, manifest)]
        while pending:
            batch, pending, report = _read_batch(pending, report)
            if batch:
                manifest = _merge_batch(warehouse, manifest, batch, clock)
                report = _added(report, [manifest.segments[name] for name in batch])
        for path in closed_segments(spool):
            if _is_merged(path, manifest):
                path.unlink()
        publish(warehouse.database, warehouse.files(manifest), manifest.generation)
        return report


def _is_merged(path: Path, manifest: Manifest) -> bool:
    entry = manifest.segments.get(path.name)
    return entry is not None and entry.size_bytes == path.stat().st_size


def _clean(warehouse: Warehouse, manifest: Manifest, clock: Clock) -> Manifest:
    """Remove files that nothing refers to, and those replaced long ago."""
    expired_ms = clock.wall_ms() - GRACE_MS
    kept = {name: since for name, since in manifest.retired.items() if since > expired_ms}
    if kept != manifest.retired:
        manifest = replace(manifest, retired=kept)
        warehouse.save(manifest)
    named = {day.name for day in manifest.days.values()} | set(manifest.retired)
    for path in warehouse.events.glob("*"):
        if path.name not in named:
            path.unlink()
    for folder in (warehouse.folder, warehouse.aside):
        for path in folder.glob(".*.part"):
            path.unlink()
    for path in warehouse.folder.glob(f"{WORK_PREFIX}*"):
        shutil.rmtree(path)
    return manifest


def _read_batch(
    pending: list[Path], report: MergeReport
) -> tuple[dict[str, Content], list[Path], MergeReport]:
    """Read segments up to the size of a batch; return it, what is left, and what went wrong."""
    batch: dict[str, Content] = {}
    num_events = 0
    for number, path in enumerate(pending):
        try:
            batch[path.name] = read_segment(path)
        except OSError as error:
            reason = f"{path.name}: {error.strerror}"
            report = replace(report, unreadable=(*report.unreadable, reason))
            continue
        num_events += len(batch[path.name].records)
        if num_events >= BATCH_EVENTS:
            return batch, pending[number + 1 :], report
    return batch, [], report


def _merge_batch(
    warehouse: Warehouse, manifest: Manifest, batch: dict[str, Content], clock: Clock
) -> Manifest:
    """Write the events of a batch into new files, and make them count."""
    for name, content in batch.items():
        if content.aside:
            write_whole(warehouse.aside / name, b"".join(_ended(line) for line in content.aside))
    warehouse.events.mkdir(parents=True, exist_ok=True, mode=0o700)
    generation = manifest.generation + 1
    with TemporaryDirectory(dir=warehouse.folder, prefix=WORK_PREFIX) as work, connect(work) as db:
        load_records(db, {name: content.records for name, content in batch.items()}, work)
        db.execute(f"create temp table fresh as {new_events(warehouse.files(manifest))}")
        days = _write_days(db, warehouse, manifest, generation)
        entries = _entries(db, batch)
    sync_folder(warehouse.events)
    replaced = {manifest.days[day].name: clock.wall_ms() for day in days if day in manifest.days}
    merged = replace(
        manifest,
        generation=generation,
        days=manifest.days | days,
        segments=manifest.segments | entries,
        retired=manifest.retired | replaced,
    )
    warehouse.save(merged)
    return merged


def _write_days(
    db: duckdb.DuckDBPyConnection, warehouse: Warehouse, manifest: Manifest, generation: int
) -> dict[str, DayFile]:
    """Write one file for each day that has new events: those it had, and the new ones."""
    days: dict[str, DayFile] = {}
    for (day,) in db.execute("select distinct day::varchar from fresh order by all").fetchall():
        name = f"{day}.{generation}.parquet"
        path = warehouse.events / name
        old = [warehouse.events / manifest.days[day].name] if day in manifest.days else []
        fresh = "select * exclude (segment) from fresh where day = $day"
        events = f"{stored_events(old)} union all by name {fresh} order by session_id, seq"
        to_file = f"copy ({events}) to {quoted(os.fspath(path))} (format parquet, compression zstd)"
        (count,) = db.execute(to_file, {"day": day}).fetchone() or (0,)
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        days[day] = DayFile(name=name, num_events=count)
    return days


def _entries(db: duckdb.DuckDBPyConnection, batch: dict[str, Content]) -> dict[str, SegmentEntry]:
    """Return what the manifest says about the segments of a batch."""
    per_day = "select segment, day::varchar, count(*) from {} group by all order by all"
    days: dict[str, list[str]] = {}
    for name, day, _ in db.execute(per_day.format("loaded")).fetchall():
        days.setdefault(name, []).append(day)
    num_new: Counter[str] = Counter()
    for name, _, count in db.execute(per_day.format("fresh")).fetchall():
        num_new[name] += count
    return {
        name: SegmentEntry(
            size_bytes=content.size_bytes,
            num_events=num_new[name],
            num_duplicates=len(content.records) - num_new[name],
            num_torn=content.flaws[Flaw.TORN],
            num_damaged=content.flaws[Flaw.DAMAGED],
            num_unknown=content.flaws[Flaw.UNKNOWN],
            days=tuple(days.get(name, [])),
        )
        for name, content in batch.items()
    }


def _added(report: MergeReport, entries: list[SegmentEntry]) -> MergeReport:
    """Return `report` with the counts of more segments."""
    return replace(
        report,
        num_segments=report.num_segments + len(entries),
        num_events=report.num_events + sum(entry.num_events for entry in entries),
        num_duplicates=report.num_duplicates + sum(entry.num_duplicates for entry in entries),
        num_torn=report.num_torn + sum(entry.num_torn for entry in entries),
        num_damaged=report.num_damaged + sum(entry.num_damaged for entry in entries),
        num_unknown=report.num_unknown + sum(entry.num_unknown for entry in entries),
    )


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"
