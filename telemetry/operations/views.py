"""What backends said, as views beside those of the events."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from fimble.clock import SystemClock
from fimble.paths import spool_dir
from telemetry.operations.store import COLUMNS, OperationsStore
from telemetry.reader import reading
from telemetry.texts import parquet_query, query, quoted
from telemetry.views import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from fimble.clock import Clock
    from telemetry.warehouse import Warehouse

VIEWS = ("backends", "serving")
"""Over the view `samples`, in this order."""
SHOWN_DAYS = 7
"""So many days of backends stand in the report and the notebook."""
_DAY_MS = 86_400_000
_SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Which days of samples count, UTC."""

    first: str = ""
    """ISO; empty means no limit."""
    last: str = "9999"
    has_buckets: bool = True
    """Whether histograms are wanted: nine in ten samples, and no view reads them."""

    @classmethod
    def until(cls, last: date | None, num_days: int, *, clock: Clock = _SYSTEM_CLOCK) -> Days:
        """Return so many days that end with one, without histograms.

        Args:
            last: That day; None means today.
            num_days: How many.
            clock: Says which day it is.
        """
        last = last or date(1970, 1, 1) + timedelta(days=clock.wall_ms() // _DAY_MS)
        first = last - timedelta(days=num_days - 1)
        return cls(first=first.isoformat(), last=last.isoformat(), has_buckets=False)


class BackendTotals(NamedTuple):
    """A row of `backend_totals.sql`."""

    backend: str
    num_minutes: int
    last_minute: datetime
    up_share: float | None
    requests_per_s: float | None
    error_share: float | None
    queue_mean: float | None
    queue_max: float | None
    generated_tokens_per_s: float | None
    latency_ms: float | None
    waiting_ms: float | None
    gpu_use_share: float | None
    gpu_memory_mib: float | None


class BackendHour(NamedTuple):
    """A row of `backend_hours.sql`."""

    hour: datetime
    up_share: float | None
    requests_per_s: float | None
    error_share: float | None
    queue_max: float | None
    generated_tokens_per_s: float | None
    latency_ms: float | None
    gpu_use_share: float | None
    editor_p95_ms: float | None


class Serving(NamedTuple):
    """What the report and the notebook show of backends."""

    totals: list[BackendTotals]
    hours: list[BackendHour]


@contextlib.contextmanager
def asking(
    warehouse: Warehouse, days: Days, *, clock: Clock = _SYSTEM_CLOCK
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with all views of events, and those of operations.

    Args:
        warehouse: Where both are.
        days: Of the samples.
        clock: Dates events whose own clock says what cannot be.
    """
    paths = _paths(warehouse, days)
    with TemporaryDirectory(prefix="fimble-") as work:
        # The connection reads the files of events and one more, so the samples become that one.
        gathered = Path(work) / "samples.parquet"
        columns = ", ".join(f"null::{kind} as {name}" for name, kind in COLUMNS.items())
        rows = parquet_query(paths) if paths else f"select {columns} where false"
        wanted = "true" if days.has_buckets else "not ends_with(metric, '_bucket')"
        with connect(work) as db:
            db.execute(
                f"copy (from ({rows}) where {wanted}) to {quoted(os.fspath(gathered))} "
                "(format parquet)"
            )
        with reading(spool_dir(), warehouse, output=gathered, clock=clock) as connection:
            connection.execute(f"create view samples as {parquet_query([gathered])}")
            for name in VIEWS:
                connection.execute(f"create view {name} as {query(name)}")
            yield connection


def _paths(warehouse: Warehouse, days: Days) -> Sequence[Path]:
    files = OperationsStore(warehouse.folder).files()
    return [path for path in files if days.first <= path.name[:10] <= days.last]


def serving(connection: duckdb.DuckDBPyConnection) -> Serving:
    """Return what backends said in the days of a connection of `asking`."""
    row = connection.execute("select min(at_ms), max(at_ms) from samples").fetchone()
    if row is None or row[0] is None:
        return Serving([], [])
    first_ms, last_ms = row
    totals = connection.execute(query("backend_totals")).fetchall()
    asked = {"first_ms": first_ms, "last_ms": last_ms}
    hours = connection.execute(query("backend_hours"), asked).fetchall()
    return Serving(
        [BackendTotals(*each) for each in totals], [BackendHour(*each) for each in hours]
    )
