"""What the report and the notebooks show, asked from the views."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from fimble.events import HORIZONS_S, SESSION_END_S
from telemetry.metrics.question import (
    LEVEL,
    Question,
    Spread,
    Value,
    ask_ratio,
    ask_spread,
    is_of_one,
)
from telemetry.texts import query

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

ACCEPTANCE = "acceptance_rate_750"
TILES = (
    ACCEPTANCE,
    "taken_per_opportunity",
    "kept_chars_rate",
    "kept_chars_per_active_hour",
    "completed_share",
)
"""What the page begins with; the time to the answer follows."""
COLUMNS = {
    ACCEPTANCE: "Accepted of read",
    "acceptance_rate": "of shown",
    "taken_per_opportunity": "of requests",
    "accepted_chars_rate": "of characters",
    "kept_chars_rate": "Kept",
    "undone_rate": "Undone",
}
"""What the tables of groups tell, and what stands above."""
LATENCY = "total_ms"
GROUPS = ("language", "model", "editor", "version", "team")
TREND = (
    ACCEPTANCE,
    "taken_per_opportunity",
    "kept_chars_rate",
    "kept_chars_per_active_hour",
    "completed_share",
    "requests_per_active_hour",
)
CACHES = ("miss", "cache", "stream", "typed")
"""Where answers come from, in the order in which a plot draws them: new generations first."""
LATENCIES_BY = ("cache", "model", "backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which days count, UTC; None means no limit."""

    since: date | None = None
    until: date | None = None

    def parameters(self) -> dict[str, str | None]:
        """Return the days as the query files take them."""
        return {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
        }


class Totals(NamedTuple):
    """How much there is."""

    num_users: int
    """Pseudonyms; sessions without one are not counted."""
    num_sessions: int
    num_requests: int
    num_days: int
    first_day: date | None
    last_day: date | None


class Group(NamedTuple):
    """One value of a dimension, with what the metrics say of it."""

    name: str | None
    num_users: int
    is_withheld: bool
    values: Mapping[str, Value]
    """By name of the metric."""
    latency: Spread | None


class Horizon(NamedTuple):
    """What is left of accepted texts after a while."""

    horizon_s: int
    num_users: int
    num_texts: int
    """Texts that were looked at."""
    num_kept: int
    """Of which half or more stands."""
    num_unknown: int
    kept: Value
    """Share of the characters, with its interval."""

    @property
    def label(self) -> str:
        """Return the horizon as people say it."""
        if self.horizon_s == SESSION_END_S:
            return "end"
        minutes, seconds = divmod(self.horizon_s, 60)
        return f"{minutes} min" if not seconds else f"{self.horizon_s} s"


class Moments(NamedTuple):
    """Sums over users of a numerator, a denominator, their squares and their product."""

    num: float
    den: float
    num_sq: float
    num_den: float
    den_sq: float


class Quality(NamedTuple):
    """A row of `quality.sql`."""

    editor: str | None
    server_version: str | None
    num_sessions: int
    num_not_ended: int
    num_clock_jumps: int
    num_lossy: int
    num_events: int
    num_expected: int
    num_completions: int
    num_unresolved: int
    num_taken: int
    num_taken_told: int


class Ending(NamedTuple):
    """A row of `outcomes.sql`."""

    ended: str
    is_served: bool
    num_requests: int
    num_told: int


class Asker:
    """Asks one set of days."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, span: Span) -> None:
        self._connection = connection
        self._span = span
        self._of_one = is_of_one(connection)

    def totals(self) -> Totals:
        """Return how much there is."""
        row = self._connection.execute(query("span"), self._span.parameters()).fetchone()
        assert row is not None
        return Totals(*row)

    def ratio(self, metric: str, *by: str) -> list[Value]:
        """Return a ratio by some dimensions."""
        return ask_ratio(self._connection, self._question(metric, by), of_one=self._of_one)

    def spread(self, metric: str, *by: str) -> list[Spread]:
        """Return percentiles by some dimensions."""
        return ask_spread(self._connection, self._question(metric, by), of_one=self._of_one)

    def tiles(self) -> dict[str, Value]:
        """Return the metrics that the page begins with, where something was counted."""
        found = {name: self.ratio(name) for name in TILES}
        return {name: rows[0] for name, rows in found.items() if rows and rows[0].value is not None}

    def groups(self, dimension: str) -> list[Group]:
        """Return what the metrics say of each value of a dimension, the most frequent first."""
        values = {name: _by_name(self.ratio(name, dimension)) for name in COLUMNS}
        latencies = {row.group[0]: row for row in self.spread(LATENCY, dimension)}
        requests = _by_name(self.ratio("served_rate", dimension))
        ordered = sorted(requests, key=lambda name: -(requests[name].denominator or 0))
        return [
            Group(
                name=name,
                num_users=requests[name].num_users,
                is_withheld=requests[name].is_withheld,
                values={metric: rows[name] for metric, rows in values.items() if name in rows},
                latency=latencies.get(name),
            )
            for name in ordered
        ]

    def retention(self) -> list[Horizon]:
        """Return what is left of accepted texts at each horizon."""
        rows = self._connection.execute(query("retention"), self._span.parameters()).fetchall()
        found = [
            Horizon(*row[:5], kept=kept_share(row[1], Moments(*row[5:])))  # the order of the query
            for row in rows
        ]
        order = (*HORIZONS_S, SESSION_END_S)
        return sorted((h for h in found if h.num_texts), key=lambda h: order.index(h.horizon_s))

    def quality(self) -> list[Quality]:
        """Return what is missing, by editor and version."""
        rows = self._connection.execute(query("quality"), self._span.parameters()).fetchall()
        return [Quality(*row) for row in rows]

    def endings(self) -> list[Ending]:
        """Return how requests ended."""
        rows = self._connection.execute(query("outcomes"), self._span.parameters()).fetchall()
        return [Ending(*row) for row in rows]

    def histograms(self) -> dict[str, dict[int, int]]:
        """Return the histogram of the time to the answer by where it came from, as in `CACHES`."""
        found: dict[str, dict[int, int]] = {}
        rows = self._connection.execute(query("latencies"), self._span.parameters()).fetchall()
        for cache, bucket, _, count in rows:
            found.setdefault(cache or "", {})[bucket] = count
        return {name: found[name] for name in CACHES if name in found}

    def _question(self, metric: str, by: tuple[str, ...]) -> Question:
        return Question(metric=metric, by=by, since=self._span.since, until=self._span.until)


def _by_name(rows: list[Value]) -> dict[str | None, Value]:
    return {None if row.group[0] is None else str(row.group[0]): row for row in rows}


def kept_share(num_users: int, moments: Moments) -> Value:
    """Return a ratio of sums over users with its interval, as `telemetry.metrics.question` has it.

    Args:
        num_users: How many there are.
        moments: Of their numerators and denominators.
    """
    from scipy.special import stdtrit  # not `scipy.stats`, which takes a second to import

    num, den, num_sq, num_den, den_sq = moments
    value = num / den if den else None
    low = high = None
    if value is not None and num_users > 1:
        spread = max(num_sq - 2 * value * num_den + value * value * den_sq, 0.0)
        error = math.sqrt(spread * num_users / (num_users - 1)) / den
        reach = error * float(stdtrit(num_users - 1, (1 + LEVEL) / 2))
        low, high = max(value - reach, 0.0), min(value + reach, 1.0)
    return Value((), num_users, num, den, value, low, high, is_withheld=False)
