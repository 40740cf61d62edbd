"""What an experiment's users did, read from the views: one row a user, day and arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fimble.events import Unit
from telemetry.experiments.metrics import METRICS
from telemetry.experiments.sample import Floats, Sample
from telemetry.texts import query

if TYPE_CHECKING:
    import duckdb

    from fimble.experiments import Experiment

DRAWS = "draws"
"""Bursts of typing, whose requests share an arm where each request is drawn."""
COUNTS = sorted(
    {DRAWS} | {name for each in METRICS.values() for name in (each.numerator, each.denominator)}
)
BEFORE = -1
"""Number of the arm in rows from before the start."""
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDays:
    """Rows of `experiment_days.sql` as columns; all arrays have one value a row."""

    user: np.ndarray
    """Number of the user, 0 to `num_users` - 1."""
    day: np.ndarray
    """Number of the day since 1970."""
    arm: np.ndarray
    """Number of the arm, or `BEFORE`."""
    counts: dict[str, Floats]
    num_users: int
    num_arms: int
    num_keyless: int = 0
    """Requests that took part, but nobody can say whose; they are left out."""
    num_crossed: int = 0
    """Users with several arms although the user was the unit; they are left out."""
    num_strange: int = 0
    """Requests with an arm that is not registered; they are left out."""

    def sample(self, metric: str) -> Sample:
        """Return the sums by user of one metric."""
        return Sample(
            num_ua=self._by_arm(METRICS[metric].numerator),
            den_ua=self._by_arm(METRICS[metric].denominator),
            num_exposed_ua=self._by_arm("requests"),
            before_num_u=self._before(METRICS[metric].numerator),
            before_den_u=self._before(METRICS[metric].denominator),
        )

    def num_units(self, unit: Unit) -> list[int]:
        """Return how many units took part in each arm."""
        is_in = [self.arm == arm for arm in range(self.num_arms)]
        match unit:
            case Unit.USER:
                return [len(np.unique(self.user[rows])) for rows in is_in]
            case Unit.USER_DAY:
                return [int(rows.sum()) for rows in is_in]
            case Unit.REQUEST:
                return [int(self.counts[DRAWS][rows].sum()) for rows in is_in]

    def _by_arm(self, count: str) -> Floats:
        sums = np.zeros((self.num_users, self.num_arms))
        is_in = self.arm != BEFORE
        np.add.at(sums, (self.user[is_in], self.arm[is_in]), self.counts[count][is_in])
        return sums

    def _before(self, count: str) -> Floats:
        rows = self.arm == BEFORE
        sums = np.zeros(self.num_users)
        np.add.at(sums, self.user[rows], self.counts[count][rows])
        return sums


class Span(NamedTuple):
    """From when to when, Unix time."""

    before_ms: int
    """Where the history begins."""
    since_ms: int
    """Where the experiment begins."""
    until_ms: int

    @classmethod
    def of(cls, experiment: Experiment, now_ms: int) -> Span:
        """Return the days of an experiment that are over now, and those before it."""
        since_ms = experiment.start_ms
        before_ms = since_ms - experiment.before_days * DAY_MS
        return cls(before_ms, since_ms, min(now_ms, experiment.stop_ms))


class ArmLosses(NamedTuple):
    """What is missing of the sessions of one arm; a row of `experiment_losses.sql`."""

    arm: str
    num_sessions: int
    num_lossy: int
    num_not_ended: int
    num_expected: int
    num_lost: int


def read_days(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, span: Span
) -> UserDays:
    """Return what the users of an experiment did, and what they did before it."""
    parameters = {
        "experiment": experiment.name,
        **span._asdict(),
        "slow_ms": experiment.slow_ms,
    }
    columns = connection.execute(query("experiment_days"), parameters).fetchnumpy()
    names = [arm.name for arm in experiment.arms]
    keys = np.ma.filled(np.ma.asarray(columns["user_key"], dtype=object), "").astype(str)
    arms = np.ma.filled(np.ma.asarray(columns["arm"], dtype=object), "").astype(str)
    number = {"": BEFORE, **{name: n for n, name in enumerate(names)}}
    arm = np.array([number.get(name, len(names)) for name in arms], dtype=np.int64)
    counts = {name: np.asarray(columns[name], dtype=np.float64) for name in COUNTS}
    is_known, is_registered = keys != "", arm < len(names)
    is_crossed = np.zeros(len(keys), dtype=bool)
    if experiment.unit is Unit.USER:
        is_crossed = _of_several_arms(keys, arm)
    kept = is_known & is_registered & ~is_crossed
    users, user = np.unique(keys[kept], return_inverse=True)
    in_time = arm != BEFORE
    return UserDays(
        user=user,
        day=np.asarray(columns["day"], dtype="datetime64[D]").astype(np.int64)[kept],
        arm=arm[kept],
        counts={name: values[kept] for name, values in counts.items()},
        num_users=len(users),
        num_arms=len(names),
        num_keyless=int(counts["requests"][~is_known & in_time].sum()),
        num_crossed=len(np.unique(keys[is_crossed & is_known])),
        num_strange=int(counts["requests"][~is_registered].sum()),
    )


def _of_several_arms(keys: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Return for each row whether its user was in more than one arm."""
    pairs = {(key, number) for key, number in zip(keys, arm, strict=True) if number != BEFORE}
    seen: set[str] = set()
    several: set[str] = set()
    for key, _ in pairs:
        (several if key in seen else seen).add(key)
    return np.array([key in several for key in keys], dtype=bool)


def read_losses(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, span: Span
) -> list[ArmLosses]:
    """Return what is missing of the sessions of each arm that was drawn."""
    parameters = {
        "experiment": experiment.name,
        "since_ms": span.since_ms,
        "until_ms": span.until_ms,
    }
    rows = connection.execute(query("experiment_losses"), parameters).fetchall()
    return [ArmLosses(*row) for row in rows]
