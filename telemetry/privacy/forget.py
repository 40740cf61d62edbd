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
from telemetry.days import retired, write_rows
from telemetry.segments import read_all_now
from telemetry.texts import parquet_query
from telemetry.views import connect, not_forgotten, publish
from telemetry.warehouse import FIRST_WITH_TOMBSTONES, DayFile, Kind, Manifest, Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    import duckdb

    from fimble.clock import Clock

WORK_PREFIX = ".merge-"
"""A merge removes such folders when their process died."""


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
        days = {
            name: _without(db, warehouse, (name, day), manifest, generation)
            for name, day in manifest.days.items()
        }
    for folder in (*folders, warehouse.aside):
        for path in (*folder.glob(f"*{CLOSED_SUFFIX}"), *folder.glob(f"*{OPEN_SUFFIX}")):
            if is_forgotten(path, manifest):
                path.unlink(missing_ok=True)
    _scrub(warehouse.aside, lambda line: _is_of_forgotten(line, manifest))
    kept = {day: files for day, files in days.items() if files.num_events}
    old = retired(manifest.days, kept)
    purged = replace(
        manifest,
        generation=generation,
        days=kept,
        segments={
            name: entry
            for name, entry in manifest.segments.items()
            if digest_of(session_of(name)) not in manifest.forgotten
        },
        retired={},
        is_purge_due=False,
    )
    warehouse.save(purged)
    if old or manifest.retired:
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
    day: tuple[str, DayFile],
    manifest: Manifest,
    generation: int,
) -> DayFile:
    """Return the files of a day without what is to be forgotten; new ones where it held some."""
    name, files = day
    condition = not_forgotten(manifest.forgotten)
    present = [kind for kind in Kind if files.file(kind)]
    stored = {kind: parquet_query([warehouse.path_of(files, kind)]) for kind in present}
    held = "select exists (from ({}) where not ({}))"
    rows = [db.execute(held.format(stored[kind], condition)).fetchone() for kind in present]
    if (True,) not in rows:
        return files
    fresh = DayFile(
        name=f"{name}.{generation}.parquet",
        num_events=0,
        sessions=f"{name}.{generation}.parquet" if files.sessions else "",
        requests=f"{name}.{generation}.parquet" if files.requests else "",
        daily=f"{name}.{generation}.parquet" if files.daily else "",
    )
    counts = {
        kind: write_rows(
            db,
            f"from ({stored[kind]}) select * where {condition}",
            warehouse.path_of(fresh, kind),
            kind,
        )
        for kind in present
    }
    return replace(fresh, num_events=counts[Kind.EVENTS], num_requests=counts.get(Kind.REQUESTS, 0))
