"""Samples as Parquet files: one an hour, then one a day, until they are too old.

    operations/<day>T<hour>.<generation>.parquet   while the day lasts
    operations/<day>.<generation>.parquet          the whole day, once it is over

A file is written once and never changed: a newer generation takes its place, a day takes that of
its hours, and the old file stays for `GRACE_MS`, so that a query which started before goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import defaultdict
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fimble.errors import InputError
from fimble.locks import try_lock
from telemetry.texts import parquet_query, quoted
from telemetry.views import connect
from telemetry.warehouse import GRACE_MS, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from telemetry.operations.scrape import Sample

FOLDER = "operations"
"""In the warehouse."""
COLUMNS = {
    "at_ms": "bigint",
    "backend": "varchar",
    "metric": "varchar",
    "labels": "map(varchar, varchar)",
    "value": "double",
}
_DAY_MS = 86_400_000
_PERIOD = re.compile(r"(\d{4}-\d\d-\d\d)(?:T\d\d)?")


class OperationsStore:
    """The samples of a warehouse."""

    def __init__(self, warehouse: Path) -> None:
        self.folder = warehouse.absolute() / FOLDER

    def files(self) -> list[Path]:
        """Return the files that count, by time."""
        newest = self._newest()
        days = {period for period in newest if len(period) == len("2026-01-01")}
        return [newest[p] for p in sorted(newest) if p in days or p[:10] not in days]

    def add(self, samples: Sequence[Sample]) -> None:
        """Write samples; each lands in the file of its hour, or of its day if that is whole.

        Raises:
            OSError: The folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        by_period: defaultdict[str, list[Sample]] = defaultdict(list)
        newest = self._newest()
        for sample in samples:
            hour = _period(sample.at_ms)
            by_period[hour[:10] if hour[:10] in newest else hour].append(sample)
        for period, added in by_period.items():
            with TemporaryDirectory(prefix="fimble-") as work:
                lines = os.path.join(work, "samples.jsonl")  # noqa: PTH118 - DuckDB takes text
                with open(lines, "w", encoding="utf-8") as file:  # noqa: PTH123 - as above
                    file.writelines(f"{json.dumps(each._asdict())}\n" for each in added)
                typed = ", ".join(f"{name}: {quoted(kind)}" for name, kind in COLUMNS.items())
                fresh = f"from read_json({quoted(lines)}, format = 'newline_delimited', "
                fresh += f"columns = {{{typed}}})"
                before = [newest[period]] if period in newest else []
                self._write(work, period, [*([parquet_query(before)] if before else []), fresh])

    def tidy(self, *, now_ms: int, keep_days: int) -> None:
        """Put the hours of days that are over into one file each; delete what is too old.

        Args:
            now_ms: The time.
            keep_days: Older days go.
        """
        today, first = _period(now_ms)[:10], _period(max(0, now_ms - keep_days * _DAY_MS))[:10]
        hours: defaultdict[str, list[Path]] = defaultdict(list)
        for path in self.files():
            period = path.name.partition(".")[0]
            if len(period) > len(today) and first <= period[:10] < today:
                hours[period[:10]].append(path)
        for day, paths in hours.items():
            with TemporaryDirectory(prefix="fimble-") as work:
                self._write(work, day, [parquet_query(paths)])
        counting = {path.name for path in self.files()}
        for path in self._all():
            with contextlib.suppress(FileNotFoundError):
                is_replaced = path.name not in counting
                is_old = path.name[:10] < first
                if is_old or (is_replaced and path.stat().st_mtime * 1000 < now_ms - GRACE_MS):
                    path.unlink()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock of the one process that writes.

        Raises:
            InputError: Another process does.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / "scrape.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not try_lock(descriptor):
                raise InputError(f"another process already fetches metrics into {self.folder}")
            yield
        finally:
            os.close(descriptor)

    def _all(self) -> list[Path]:
        return [p for p in self.folder.glob("*.parquet") if _PERIOD.match(p.name)]

    def _newest(self) -> dict[str, Path]:
        """Return the newest file of each period."""
        found: dict[str, Path] = {}
        for path in sorted(self._all(), key=_generation):
            found[path.name.partition(".")[0]] = path
        return found

    def _write(self, work: str, period: str, queries: Sequence[str]) -> None:
        """Write the next file of a period, whole, in a way that survives a power loss."""
        of_period = [p for p in self._all() if p.name.partition(".")[0] == period]
        number = max((_generation(path) for path in of_period), default=0) + 1
        path = self.folder / f"{period}.{number}.parquet"
        part = path.with_name(f".{path.name}.part")
        rows = " union all by name ".join(f"({query})" for query in queries)
        with connect(work) as db:
            db.execute(
                f"copy (from ({rows}) order by backend, metric, at_ms, labels::varchar) "
                f"to {quoted(os.fspath(part))} (format parquet, compression zstd)"
            )
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(self.folder)


def _period(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H")


def _generation(path: Path) -> int:
    number = path.name.split(".")[1]
    return int(number) if number.isdecimal() else 0
