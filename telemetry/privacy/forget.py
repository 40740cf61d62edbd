"""Forgetting a user: at once for every reader, then from every file.

Lines that wait are deleted first. Then a tombstone in the manifest hides the sessions from all
views at the instant when the manifest is replaced; at last the files that hold them are written
anew without them, and the old ones deleted. A kill in between is made good by the next merge. The
manifest keeps only SHA-256 of the sessions' and the user's random names, so that a segment that
comes late does not bring anything back.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fimble.files import write_whole
from fimble.spool import CLOSED_SUFFIX, OPEN_SUFFIX, session_of
from telemetry.blocks import block_file, requests_of, without_day
from telemetry.days import sync_kinds, write_counts, write_rows
from telemetry.segments import read_all_now
from telemetry.texts import parquet_query
from telemetry.views import connect, not_forgotten, publish
from telemetry.warehouse import (
    FIRST_WITH_TOMBSTONES,
    MONTH_CHARS,
    WORK_PREFIX,
    Block,
    Kind,
    Manifest,
    Warehouse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    import duckdb

    from fimble.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was forgotten."""

    num_sessions: int
    num_events: int
    """Of those that were merged; events in the spool are deleted uncounted."""


def digest_of(name: str) -> str:
    """Return the SHA-256 of a random name, in hexadecimal."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def is_forgotten(path: Path, manifest: Manifest) -> bool:
    """Return whether a segment belongs to a session that is to be forgotten."""
    return bool(manifest.forgotten) and digest_of(session_of(path.name)) in manifest.forgotten


def forget(
    folders: Sequence[Path],
    warehouse: Warehouse,
    clock: Clock,
    *,
    user_keys: Collection[str],
    wait_s: float,
) -> Forgotten | None:
    """Forget every session of a user.

    Args:
        folders: Spools and other folders of segments that are named for their sessions.
        warehouse: Where merged events are.
        clock: Dates the tombstones.
        user_keys: The user's pseudonyms.
        wait_s: Wait so long for a merge to end; None is returned if it does not.

    Raises:
        InputError: The manifest of the warehouse is damaged.
    """
    with warehouse.merging(wait_s=wait_s) as is_ours:
        if not is_ours:
            return None
        manifest = warehouse.manifest()
        sessions, num_events = _sessions_of(warehouse, manifest, user_keys)
        for folder in folders:
            sessions |= _sessions_in(folder, user_keys)
        now_ms = clock.wall_ms()
        manifest = replace(
            manifest,
            format_version=max(manifest.format_version, FIRST_WITH_TOMBSTONES),
            generation=manifest.generation + 1,
            forgotten=manifest.forgotten | {digest_of(name): now_ms for name in sessions},
            forgotten_users=manifest.forgotten_users
            | {digest_of(name): now_ms for name in user_keys},
            is_purge_due=True,
        )
        names = {*sessions, *user_keys}
        for folder in (*folders, warehouse.aside):
            _scrub(folder, lambda line: _names_one(line, names))
        warehouse.save(manifest)
        publish(warehouse, manifest)
        publish(warehouse, purge(folders, warehouse, manifest))
        return Forgotten(num_sessions=len(sessions), num_events=num_events)


def drop_forgotten(
    db: duckdb.DuckDBPyConnection, manifest: Manifest, clock: Clock
) -> tuple[Manifest, int]:
    """Take events that are to be forgotten out of the table `loaded`.

    Returns: The manifest with sessions that turned out to be a forgotten user's, and how many
        events were taken out.
    """
    if manifest.forgotten_users:
        theirs = db.execute(
            "select distinct session_id from loaded where user_key is not null "
            "and list_contains($digests, sha256(user_key))",
            {"digests": list(manifest.forgotten_users)},
        ).fetchall()
        fresh = {digest_of(name): clock.wall_ms() for (name,) in theirs}
        if fresh.keys() - manifest.forgotten.keys():
            forgotten = fresh | manifest.forgotten
            manifest = replace(manifest, forgotten=forgotten, is_purge_due=True)
    if not manifest.forgotten:
        return manifest, 0
    (count,) = db.execute(
        "delete from loaded where list_contains($digests, sha256(session_id))",
        {"digests": list(manifest.forgotten)},
    ).fetchone() or (0,)
    return manifest, count


def purge(folders: Iterable[Path], warehouse: Warehouse, manifest: Manifest) -> Manifest:
    """Write every file that holds what is to be forgotten anew without it; delete the old ones."""
    generation = manifest.generation + 1
    with TemporaryDirectory(dir=warehouse.folder, prefix=WORK_PREFIX) as work, connect(work) as db:
        kept = manifest
        for month, block in manifest.blocks.items():
            names = _block_without(db, warehouse, block, manifest, generation)
            kept = replace(kept, blocks=kept.blocks | {month: replace(block, names=names)})
        for name in manifest.days:
            kept = _without(db, warehouse, kept, name, generation)
    sync_kinds(warehouse)
    for folder in (*folders, warehouse.aside):
        for path in (*folder.glob(f"*{CLOSED_SUFFIX}"), *folder.glob(f"*{OPEN_SUFFIX}")):
            if is_forgotten(path, manifest):
                path.unlink(missing_ok=True)
    _scrub(warehouse.aside, lambda line: _is_of_forgotten(line, manifest))
    purged = replace(
        kept,
        generation=generation,
        segments={
            name: entry
            for name, entry in manifest.segments.items()
            if digest_of(session_of(name)) not in manifest.forgotten
        },
        retired={},
        is_purge_due=False,
    )
    warehouse.save(purged)
    if manifest.named() - purged.named() or manifest.retired:
        warehouse.remove_unnamed(purged)
    return purged


def _sessions_of(
    warehouse: Warehouse, manifest: Manifest, user_keys: Collection[str]
) -> tuple[set[str], int]:
    """Return the merged sessions of a user, and how many events they have."""
    parts = warehouse.files(manifest, Kind.SESSIONS)
    if not parts:
        return set(), 0
    with TemporaryDirectory() as work, connect(work) as db:
        rows = db.execute(
            f"with parts as ({parquet_query(parts)}) "  # noqa: S608 - literals by `quoted`
            "select session_id, sum(num_events) from parts where session_id in "
            "(select session_id from parts where list_contains($keys, user_key)) group by all",
            {"keys": list(user_keys)},
        ).fetchall()
    return {name for name, _ in rows}, sum(int(count) for _, count in rows)


def _sessions_in(folder: Path, user_keys: Collection[str]) -> set[str]:
    """Return the sessions of a user in a folder of segments."""
    return {
        str(record["session_id"])
        for records in read_all_now(folder).values()
        for record in records
        if record.get("user_key") in user_keys
    }


def _names_one(line: bytes, names: Collection[str]) -> bool:
    """Return whether a line, damaged or not, holds one of the names as a text."""
    return any(json.dumps(name).encode() in line for name in names)


def _is_of_forgotten(line: bytes, manifest: Manifest) -> bool:
    """Return whether a line is an event of a session that is to be forgotten."""
    try:
        session_id = json.loads(line)["session_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return isinstance(session_id, str) and digest_of(session_id) in manifest.forgotten


def _scrub(folder: Path, is_gone: Callable[[bytes], bool]) -> None:
    """Take lines out of the closed segments of a folder."""
    for path in sorted(folder.glob(f"*{CLOSED_SUFFIX}")):
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not is_gone(line)]
        if not kept:
            path.unlink()
        elif len(kept) < len(lines):
            write_whole(path, b"".join(kept))


def _without(
    db: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    manifest: Manifest,
    day: str,
    generation: int,
) -> Manifest:
    """Return a manifest that names files of a day without what is to be forgotten.

    They are new ones where it held some; a day of which nothing is left is left out. Requests in
    blocks were seen to before.
    """
    files = manifest.days[day]
    condition = not_forgotten(manifest.forgotten)
    of_sessions = [kind for kind in Kind if kind is not Kind.LATENCY and files.file(kind)]
    stored = {kind: parquet_query([warehouse.path_of(files, kind)]) for kind in of_sessions}
    if not any(_holds(db, rows, condition) for rows in stored.values()):
        return manifest
    name = f"{day}.{generation}.parquet"
    fresh = replace(
        files,
        name=name,
        sessions=files.sessions and name,
        requests=files.requests and name,
        daily=files.daily and name,
    )
    counts = {
        kind: write_rows(
            db,
            f"from ({stored[kind]}) select * where {condition}",
            warehouse.path_of(fresh, kind),
            kind,
        )
        for kind in of_sessions
    }
    others = {name: each for name, each in manifest.days.items() if name != day}
    if not counts[Kind.EVENTS]:
        return replace(manifest, days=others, blocks=without_day(manifest.blocks, day))
    fresh = replace(fresh, num_events=counts[Kind.EVENTS])
    kept = replace(manifest, days=dict(sorted((others | {day: fresh}).items())))
    (num_requests,) = db.execute(
        f"select count(*) from ({requests_of(warehouse, kept, day)})"  # noqa: S608 - our own queries
    ).fetchone() or (0,)
    kept.days[day] = replace(fresh, num_requests=num_requests)
    if files.latency:
        kept.days[day] = write_counts(db, warehouse, kept, day, generation=generation)
    return kept


def _block_without(
    db: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    block: Block,
    manifest: Manifest,
    generation: int,
) -> tuple[str, ...]:
    """Return the files of a block, new ones for those that held something to be forgotten."""
    condition = not_forgotten(manifest.forgotten)
    names = []
    for number, path in enumerate(warehouse.files_of(block)):
        rows = parquet_query([path])
        if not _holds(db, rows, condition):
            names.append(path.name)
            continue
        names.append(block_file(block.days[0][:MONTH_CHARS], generation, number))
        kept = f"from ({rows}) select * where {condition}"
        write_rows(db, kept, path.with_name(names[-1]), Kind.REQUESTS)
    return tuple(names)


def _holds(db: duckdb.DuckDBPyConnection, rows: str, condition: str) -> bool:
    """Return whether some rows do not meet a condition."""
    held = f"select exists (from ({rows}) where not ({condition}))"
    return db.execute(held).fetchone() == (True,)
