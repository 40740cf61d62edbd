"""The warehouse: Parquet files, five a day, and the manifest that names them.

    manifest.json      which files count, and which segments are in them; replaced whole
    events/*.parquet   <day>.<generation>.parquet; written once, never changed, as all of these
    requests/*.parquet the same events, folded to one row a request, in the file of its first day
    sessions/*.parquet what each day says about each session
    daily/*.parquet  the requests of a day as counts, by session and what metrics are asked by
    latency/*.parquet  how long the requests of a day took, as histograms
    aside/*.jsonl    lines that are no events of this release, by segment
    fimble.duckdb    views and metrics over the files, for any DuckDB client; replaced whole
    merge.lock       held by the one process that merges

Nothing counts before the manifest says so. A file that a newer one replaces stays for
`GRACE_MS`, so that a query which started before goes on.

Requests of a month that is over lie together in a few files by user, <month>.<generation>-<n>,
which `telemetry.compaction` makes of the files of its days.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from fimble.config import from_table
from fimble.errors import ConfigError, InputError
from fimble.files import write_json
from fimble.locks import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT_VERSION = 5
READABLE_FORMATS = (1, 2, 3, 4, 5)
"""The first one had no folded files, others fewer columns: the next merge folds them anew."""
FIRST_WITH_TOMBSTONES = 2
"""Older releases would show what is forgotten, so they must not read on."""
FIRST_THAT_COUNTS = 3
"""Requests of older formats lack columns that counts are made of."""
GRACE_MS = 3_600_000
"""Longer than the longest query."""
LOCK_POLL_S = 0.05
MONTH_CHARS = len("2026-11")
WORK_PREFIX = ".merge-"
"""A merge removes such folders when their process died."""


class Kind(StrEnum):
    """What a file of a day holds, and the folder it lies in."""

    EVENTS = "events"
    REQUESTS = "requests"
    SESSIONS = "sessions"
    DAILY = "daily"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFile:
    """The files of one day, UTC."""

    name: str
    """Of the events."""
    num_events: int
    sessions: str = ""
    """Name of the parts of sessions; empty in a warehouse of format 1."""
    requests: str = ""
    """Empty also where a block holds them."""
    num_requests: int = 0
    daily: str = ""
    """Name of the counts; empty in warehouses of formats 1 to 3."""
    latency: str = ""
    """Name of the histograms; empty in warehouses of formats 1 to 4."""

    def file(self, kind: Kind) -> str:
        """Return the name of the file of a kind, within its folder."""
        match kind:
            case Kind.EVENTS:
                return self.name
            case Kind.SESSIONS:
                return self.sessions
            case Kind.REQUESTS:
                return self.requests
            case Kind.DAILY:
                return self.daily
            case Kind.LATENCY:
                return self.latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Requests of several days in files by user."""

    names: tuple[str, ...]
    days: tuple[str, ...]
    """Those whose requests are here and count."""
    replaced: tuple[str, ...] = ()
    """Days whose requests are in these files, too, but count from a file of their own, or are
    gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEntry:
    """A segment that was merged."""

    size_bytes: int
    num_events: int
    num_duplicates: int
    """Events that were there already."""
    num_torn: int
    num_damaged: int
    num_unknown: int
    """Events of another schema version or kind, kept aside."""
    days: tuple[str, ...]
    """Its events are in the files of these days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the warehouse holds."""

    format_version: int = FORMAT_VERSION
    generation: int = 0
    """Grows by one with every merge."""
    days: dict[str, DayFile] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    """By month, as 2026-11."""
    segments: dict[str, SegmentEntry] = field(default_factory=dict)
    retired: dict[str, int] = field(default_factory=dict)
    """Files that were replaced, as `folder/name`, with the time when (Unix ms)."""
    forgotten: dict[str, int] = field(default_factory=dict)
    """SHA-256 of sessions that were forgotten and must not come back, with the time when."""
    forgotten_users: dict[str, int] = field(default_factory=dict)
    """The same of `user_key`: their sessions are forgotten as they arrive."""
    is_purge_due: bool = False
    """Some file may still hold what is forgotten; views leave it out until it is gone."""

    def __post_init__(self) -> None:
        if self.format_version not in READABLE_FORMATS:
            readable = " and ".join(map(str, READABLE_FORMATS))
            raise ConfigError(
                f"format_version is {self.format_version}; this release reads {readable}"
            )

    def block_of(self, day: str) -> Block | None:
        """Return the block that holds the requests of a day, if one does."""
        block = self.blocks.get(day[:MONTH_CHARS])
        return block if block and day in block.days else None

    def named(self) -> set[str]:
        """Return the files that count, as `folder/name`."""
        days = self.days.values()
        of_days = {f"{kind}/{day.file(kind)}" for day in days for kind in Kind if day.file(kind)}
        blocks = self.blocks.values()
        return of_days | {f"{Kind.REQUESTS}/{name}" for block in blocks for name in block.names}


class Warehouse:
    """The files of one warehouse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = folder / Kind.EVENTS
        self.aside = folder / "aside"
        self.database = folder / "fimble.duckdb"
        self._manifest = folder / "manifest.json"
        self._lock = folder / "merge.lock"

    def manifest(self) -> Manifest:
        """Return the manifest; an empty one where nothing was merged yet.

        Raises:
            InputError: The manifest is damaged, or of another release.
        """
        try:
            table = json.loads(self._manifest.read_text(encoding="utf-8"))
            return from_table(Manifest, table, where=str(self._manifest))
        except FileNotFoundError:
            return Manifest()
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{self._manifest} is damaged: {error}") from error

    def save(self, manifest: Manifest) -> None:
        """Make `manifest` the one that counts."""
        write_json(self._manifest, dataclasses.asdict(manifest))
        sync_folder(self.folder)

    def supersede(self, before: Manifest, after: Manifest, *, now_ms: int) -> Manifest:
        """Make the files that `after` names count; those that only `before` names stay a while.

        Returns: The manifest that says so.
        """
        gone = dict.fromkeys(sorted(before.named() - after.named()), now_ms)
        manifest = dataclasses.replace(
            after,
            format_version=FORMAT_VERSION,
            generation=before.generation + 1,
            retired=before.retired | gone,
        )
        self.save(manifest)
        return manifest

    def unfolded(self, manifest: Manifest) -> list[Path]:
        """Return the files of events that an older release left unfolded, or folded otherwise."""
        days = (day for _, day in sorted(manifest.days.items()))
        is_old = manifest.format_version < FORMAT_VERSION
        return [self.path_of(day, Kind.EVENTS) for day in days if is_old or not day.sessions]

    def path_of(self, day: DayFile, kind: Kind) -> Path:
        """Return the path of a file of a day."""
        return self.folder.absolute() / kind / day.file(kind)

    def files(self, manifest: Manifest, kind: Kind) -> list[Path]:
        """Return the files of a kind that count, by day; a day may have none."""
        days = (day for _, day in sorted(manifest.days.items()))
        of_days = [self.path_of(day, kind) for day in days if day.file(kind)]
        if kind is not Kind.REQUESTS:
            return of_days
        blocks = (block for _, block in sorted(manifest.blocks.items()))
        return [*(path for block in blocks for path in self.files_of(block)), *of_days]

    def files_of(self, block: Block) -> list[Path]:
        """Return the files of a block."""
        return [self.folder.absolute() / Kind.REQUESTS / name for name in block.names]

    def remove_unnamed(self, manifest: Manifest) -> None:
        """Remove files that no manifest refers to any more."""
        named = manifest.named()
        # The first format named only files of events.
        named |= {n if "/" in n else f"{Kind.EVENTS}/{n}" for n in manifest.retired}
        for kind in Kind:
            for path in (self.folder / kind).glob("*"):
                if f"{kind}/{path.name}" not in named:
                    path.unlink()

    @contextlib.contextmanager
    def merging(self, *, wait_s: float) -> Iterator[bool]:
        """Hold the lock of the one process that merges.

        Args:
            wait_s: Wait for another process so long; 0 tries once.

        Yields: Whether we have it.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        deadline_s = time.monotonic() + wait_s
        try:
            while not (is_ours := try_lock(descriptor)) and time.monotonic() < deadline_s:
                time.sleep(LOCK_POLL_S)
            yield is_ours
        finally:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power loss, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
