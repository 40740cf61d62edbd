"""From spool to warehouse: every recorded event ends up in exactly one Parquet file, once.

The order of steps makes a kill at any point harmless: new files are written under names that
nothing refers to; the manifest is replaced, which is the one instant when they begin to count and
their segments count as merged; only then are segments deleted. What a killed merger leaves behind,
the next one merges again or removes.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fimble.files import write_whole
from fimble.spool import adopt_orphans, closed_segments
from telemetry.compaction import compact
from telemetry.days import add_fresh, fold_days, write_events, write_session_parts
from telemetry.privacy.forget import drop_forgotten, is_forgotten, purge
from telemetry.schema import Flaw
from telemetry.segments import Content, read_segment
from telemetry.texts import stored_events
from telemetry.views import connect, load_records, new_events, publish
from telemetry.warehouse import (
    GRACE_MS,
    WORK_PREFIX,
    Kind,
    Manifest,
    SegmentEntry,
    Warehouse,
)

if TYPE_CHECKING:
    import duckdb

    from fimble.clock import Clock

WAIT_S = 60.0
"""How long `fimble telemetry merge` waits for another merge."""
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
    num_forgotten: int = 0
    """Events of users who asked to be forgotten; they were not taken."""
    num_adopted: int = 0
    """Segments whose writers had died."""
    unreadable: tuple[str, ...] = field(default=())
    """Segments that could not be read, with the reason; they stay in the spool."""


def merge(
    spool: Path,
    warehouse: Warehouse,
    clock: Clock,
    *,
    wait_s: float,
    max_compacted_rows: int | None = None,
) -> MergeReport | None:
    """Move every closed segment of the spool into the warehouse, then compact a month that is over.

    Args:
        spool: Where editor sessions leave their segments; need not exist.
        warehouse: Where they go.
        clock: Tells when replaced files may go.
        wait_s: Wait so long for another merge to end; None is returned if it does not.
        max_compacted_rows: Leave larger months for another merge; None means none is too large.

    Raises:
        InputError: The manifest of the warehouse is damaged.
    """
    with warehouse.merging(wait_s=wait_s) as is_ours:
        if not is_ours:
            return None
        manifest = _clean(warehouse, warehouse.manifest(), clock)
        manifest = _upgrade(warehouse, manifest, clock)
        report = MergeReport(num_adopted=adopt_orphans(spool))
        pending = [path for path in closed_segments(spool) if not _is_merged(path, manifest)]
        while pending:
            batch, pending, report = _read_batch(pending, report)
            if batch:
                manifest, num_forgotten = _merge_batch(warehouse, manifest, batch, clock)
                entries = [manifest.segments[name] for name in batch if name in manifest.segments]
                report = _added(report, entries, num_forgotten)
        if manifest.is_purge_due:
            manifest = purge([spool], warehouse, manifest)
        for path in closed_segments(spool):
            if _is_merged(path, manifest) or is_forgotten(path, manifest):
                path.unlink()
        publish(warehouse, manifest)
        publish(warehouse, compact(warehouse, manifest, clock, max_rows=max_compacted_rows))
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
    warehouse.remove_unnamed(manifest)
    for folder in (warehouse.folder, warehouse.aside):
        for path in folder.glob(".*.part"):
            path.unlink()
    for path in warehouse.folder.glob(f"{WORK_PREFIX}*"):
        shutil.rmtree(path)
    return manifest


def _upgrade(warehouse: Warehouse, manifest: Manifest, clock: Clock) -> Manifest:
    """Write what an older release left anew: all columns of this one, folded and counted."""
    unfolded = warehouse.unfolded(manifest)
    if not unfolded:
        return manifest
    generation = manifest.generation + 1
    with TemporaryDirectory(dir=warehouse.folder, prefix=WORK_PREFIX) as work, connect(work) as db:
        db.execute(f"create temp view fresh as {stored_events(unfolded)}")
        days = dict(manifest.days)
        for day, files in days.items():
            name = f"{day}.{generation}.parquet"
            written = write_events(db, warehouse, files, name)
            days[day] = write_session_parts(db, warehouse, written, name)
        folded = fold_days(db, warehouse, replace(manifest, days=days), generation)
    return warehouse.supersede(manifest, folded, now_ms=clock.wall_ms())


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
) -> tuple[Manifest, int]:
    """Write the events of a batch into new files, and make them count.

    Returns: The manifest, and how many events were left out because they are to be forgotten.
    """
    generation = manifest.generation + 1
    with TemporaryDirectory(dir=warehouse.folder, prefix=WORK_PREFIX) as work, connect(work) as db:
        records = {name: content.records for name, content in batch.items()}
        load_records(db, records, work=work, now_ms=clock.wall_ms())
        manifest, num_forgotten = drop_forgotten(db, manifest, clock)
        kept = {n: c for n, c in batch.items() if not is_forgotten(Path(n), manifest)}
        for name, content in kept.items():
            if content.aside:
                write_whole(
                    warehouse.aside / name, b"".join(_ended(line) for line in content.aside)
                )
        stored = warehouse.files(manifest, Kind.EVENTS)
        db.execute(f"create temp table fresh as {new_events(stored)}")
        fresh = add_fresh(db, warehouse, manifest, generation)
        entries = _entries(db, kept)
    fresh = replace(fresh, segments=manifest.segments | entries)
    return warehouse.supersede(manifest, fresh, now_ms=clock.wall_ms()), num_forgotten


def _entries(db: duckdb.DuckDBPyConnection, batch: dict[str, Content]) -> dict[str, SegmentEntry]:
    """Return what the manifest says about the segments of a batch."""
    per_day = "select segment, day::varchar, count(*) from {} group by all order by all"
    days: dict[str, list[str]] = {}
    num_loaded: Counter[str] = Counter()
    for name, day, count in db.execute(per_day.format("loaded")).fetchall():
        days.setdefault(name, []).append(day)
        num_loaded[name] += count
    num_new: Counter[str] = Counter()
    for name, _, count in db.execute(per_day.format("fresh")).fetchall():
        num_new[name] += count
    return {
        name: SegmentEntry(
            size_bytes=content.size_bytes,
            num_events=num_new[name],
            num_duplicates=num_loaded[name] - num_new[name],
            num_torn=content.flaws[Flaw.TORN],
            num_damaged=content.flaws[Flaw.DAMAGED],
            num_unknown=content.flaws[Flaw.UNKNOWN],
            days=tuple(days.get(name, [])),
        )
        for name, content in batch.items()
    }


def _added(report: MergeReport, entries: list[SegmentEntry], num_forgotten: int) -> MergeReport:
    """Return `report` with the counts of more segments."""
    return replace(
        report,
        num_segments=report.num_segments + len(entries),
        num_events=report.num_events + sum(entry.num_events for entry in entries),
        num_duplicates=report.num_duplicates + sum(entry.num_duplicates for entry in entries),
        num_torn=report.num_torn + sum(entry.num_torn for entry in entries),
        num_damaged=report.num_damaged + sum(entry.num_damaged for entry in entries),
        num_unknown=report.num_unknown + sum(entry.num_unknown for entry in entries),
        num_forgotten=report.num_forgotten + num_forgotten,
    )


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"
