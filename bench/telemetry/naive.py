"""The same answers the slow way: every request of a day, counted row by row in plain Python."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from telemetry.metrics.histogram import MAX_ERROR_RATE, PERCENTILES
from telemetry.metrics.question import Question, ask_spread
from telemetry.reader import reading

if TYPE_CHECKING:
    from datetime import date

    import duckdb

    from telemetry.warehouse import Warehouse

TAKEN = {"accepted", "accepted_part"}
SEEN_MS = 750
_COUNTS = ("requests", "taken", "seen", "accepted_chars", "shown_chars")


class _Request(NamedTuple):
    """What a request says of itself, before anything was made of it."""

    user_key: str
    language: str
    model: str
    completion_id: str | None
    shown_source: str | None
    outcome: str | None
    visible_ms: float | None
    num_chars: int | None
    accepted_chars: int | None
    total_ms: float

    @property
    def is_taken(self) -> bool:
        return self.outcome in TAKEN

    @property
    def is_shown(self) -> bool:
        told = self.outcome not in {None, "not_shown", "unresolved"}
        return self.completion_id is not None and (self.shown_source is not None or told)

    @property
    def is_seen(self) -> bool:
        return self.is_shown and (self.is_taken or (self.visible_ms or 0) >= SEEN_MS)


class _Day(NamedTuple):
    """What was counted by hand."""

    counts: dict[tuple[str, str], Counter[str]]
    """By language and model, under the names of `_COUNTS`."""
    total_ms: dict[str, list[float]]
    """Of completions, by model."""
    completions: dict[str, set[str]]
    """By user."""


def agreement(warehouse: Warehouse, *, num_days: int, seed: int) -> str:
    """Compare answers for some days, and return what was compared.

    Raises:
        AssertionError: An answer differs.
    """
    spool = warehouse.folder / "no-spool"
    with reading(spool, warehouse) as connection:
        rows = connection.execute("select distinct day from daily_facts order by day").fetchall()
        days = sorted(random.Random(seed).sample([day for (day,) in rows], num_days))
        found = {day: _by_hand(connection, day) for day in days}
        for day, counted in found.items():
            assert _told(connection, day) == counted.counts, day
            _compare_percentiles(connection, day, counted.total_ms)
        user = min(found[days[0]].completions)
        sql = "select day, completion_id from completions where user_key = ?"
        told: defaultdict[date, set[str]] = defaultdict(set)
        for day, completion_id in connection.execute(sql, [user]).fetchall():
            told[day].add(completion_id)
    assert all(told[day] == each.completions.get(user, set()) for day, each in found.items())
    num_requests = sum(c["requests"] for each in found.values() for c in each.counts.values())
    return (
        f"{num_requests:,} requests of {', '.join(map(str, days))} counted in plain Python: the "
        "same counts by language and model, the same completions of a user, percentiles within 1%"
    )


def _by_hand(connection: duckdb.DuckDBPyConnection, day: date) -> _Day:
    """Count the requests of a day."""
    sql = f"select {', '.join(_Request._fields)} from opportunities where day = ?"  # noqa: S608 - our own names
    found = _Day(defaultdict(Counter), defaultdict(list), defaultdict(set))
    rows = connection.execute(sql, [day])
    while some := rows.fetchmany(10_000):
        for request in map(_Request._make, some):
            _count(request, found)
    return found


def _count(request: _Request, found: _Day) -> None:
    """Add one request."""
    counts = found.counts[request.language, request.model]
    counts["requests"] += 1
    counts["taken"] += request.is_taken
    counts["seen"] += request.is_seen
    counts["accepted_chars"] += request.accepted_chars or 0
    counts["shown_chars"] += (request.num_chars or 0) if request.is_shown else 0
    if request.completion_id is not None:
        found.completions[request.user_key].add(request.completion_id)
        if request.total_ms > 0:
            found.total_ms[request.model].append(request.total_ms)


def _told(connection: duckdb.DuckDBPyConnection, day: date) -> dict[tuple[str, str], Counter[str]]:
    """Return the counts that the stored ones add up to."""
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in _COUNTS)
    of_day = "from daily_facts where day = ? and requests > 0 group by all"
    rows = connection.execute(f"select language, model, {sums} {of_day}", [day]).fetchall()
    return {
        (language, model): Counter(dict(zip(_COUNTS, map(int, counts), strict=True)))
        for language, model, *counts in rows
    }


def _compare_percentiles(
    connection: duckdb.DuckDBPyConnection, day: date, total_ms: dict[str, list[float]]
) -> None:
    """Compare percentiles of histograms with those of all values."""
    question = Question(metric="total_ms", by=("model",), since=day, until=day, min_users=1)
    for row in ask_spread(connection, question):
        values = sorted(total_ms[str(row.group[0])])
        for share, told in zip(PERCENTILES, row.percentiles, strict=True):
            exact = values[ceil(share * len(values)) - 1]
            assert told is not None
            assert abs(told / exact - 1) <= MAX_ERROR_RATE + 1e-9, (day, row.group, share)
