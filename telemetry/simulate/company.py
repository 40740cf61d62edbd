"""The days of a company: every request with what becomes of it, drawn from a known truth.

Arrays have one value a request, ordered by user, then time. Categories are numbers into the tuples
below.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import numpy as np

from fimble.events import HORIZONS_S, CacheHit, NotServed, Outcome, Unit
from fimble.experiments import Assigner, Assignment, Experiment
from telemetry.experiments.sample import Floats
from telemetry.simulate.hours import Habits, active_ms, draw_habits, time_of_day_ms
from telemetry.simulate.world import People, World, daily_rates, draw_people

LANGUAGES = ("python", "typescript", "java", "go", "rust", "cpp", "sql", "")
EDITORS = ("Neovim", "Visual Studio Code", "Helix")
TEAMS = ("apps", "data", "platform", "")
REASONS = (NotServed.EMPTY, NotServed.CANCELLED, NotServed.FILTERED, NotServed.ERROR)
CACHES = tuple(CacheHit)[:3]
UNTAKEN = (Outcome.REJECTED, Outcome.MOVED_AWAY, Outcome.TYPED_THROUGH, Outcome.EXPIRED)
OUTCOMES = (Outcome.ACCEPTED, Outcome.ACCEPTED_PART, *UNTAKEN, Outcome.NOT_SHOWN)
SERVED_SHARE, SHOWN_SHARE = 0.86, 0.9
PART_SHARE = 0.12
UNDONE_SHARE = 0.02
HOPELESS_LOGPROB, HOPELESS_SHARE = -2.0, 0.3
"""What is less likely than this is never accepted; so are so many of the ones not accepted."""
_DAY_MS = 86_400_000
_NEVER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What is drawn."""

    num_users: int
    num_days: int
    start: date
    """First day, UTC."""
    seed: int
    experiment: Experiment | None = None
    effect: float = 0.0
    """What arms after the first add to the share accepted of what is shown."""
    slowdown: float = 1.0
    """Factor on the latency of arms after the first."""
    world: World = field(default_factory=World)

    def truth(self) -> dict[str, float]:
        """Return the true effects by metric, as differences to the control."""
        of_requests = self.effect * SERVED_SHARE * SHOWN_SHARE
        return {"acceptance_rate": self.effect, "taken_per_opportunity": of_requests}


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """The users of a company; arrays have one value a user."""

    keys: tuple[str, ...]
    rate: Floats
    volume: Floats
    habits: Habits
    language: np.ndarray
    editor: np.ndarray
    team: np.ndarray


class Requests(NamedTuple):
    """The requests of a day."""

    user: np.ndarray
    at_ms: np.ndarray
    active_ms: Floats
    """Time in which the user typed since the request before."""
    language: np.ndarray
    is_served: np.ndarray
    reason: np.ndarray
    cache: np.ndarray
    num_chars: np.ndarray
    num_lines: np.ndarray
    mean_logprob: np.ndarray
    total_ms: np.ndarray
    is_shown: np.ndarray
    outcome: np.ndarray
    visible_ms: np.ndarray
    accepted_chars: np.ndarray
    is_undone: np.ndarray
    kept_rate: np.ndarray
    """By request and horizon of `HORIZONS_S`; it never grows."""
    arm: np.ndarray
    """Number of the arm, -1 for none."""
    assignments: tuple[Assignment | None, ...]
    """One a request; empty without an experiment."""


def draw_users(simulation: Simulation) -> Users:
    """Return the users."""
    chance = np.random.default_rng([simulation.seed, 1])
    num_users = simulation.num_users
    people = draw_people(simulation.world, num_runs=1, num_users=num_users, chance=chance)
    keys = (f"{simulation.seed}:{number}".encode() for number in range(num_users))
    return Users(
        keys=tuple(hashlib.sha256(key).hexdigest()[:32] for key in keys),
        rate=people.rate_ru[0],
        volume=people.volume_ru[0],
        habits=draw_habits(simulation.world, seed=simulation.seed, num_users=num_users),
        language=chance.choice(
            len(LANGUAGES), num_users, p=[0.3, 0.25, 0.15, 0.1, 0.06, 0.06, 0.05, 0.03]
        ),
        editor=chance.choice(len(EDITORS), num_users, p=[0.35, 0.55, 0.1]),
        team=chance.choice(len(TEAMS), num_users, p=[0.4, 0.25, 0.25, 0.1]),
    )


def draw_day(simulation: Simulation, users: Users, number: int) -> Requests:
    """Return the requests of one day, the same whatever else was drawn before."""
    chance = np.random.default_rng([simulation.seed, 2, number])
    user, at_ms = _when(simulation, users, number, chance)
    assignments = _assignments(simulation, users, user, at_ms)
    arm = _arms(simulation, assignments, len(user))
    is_new = arm > 0
    count = len(user)
    pace_ms = active_ms(simulation.world, users.habits, seed=simulation.seed, number=number)
    is_served = chance.random(count) < SERVED_SHARE
    is_shown = is_served & (chance.random(count) < SHOWN_SHARE)
    rate = _rates(simulation, users, chance)[user] + simulation.effect * is_new
    is_taken = is_shown & (chance.random(count) < rate)
    is_part = is_taken & (chance.random(count) < PART_SHARE)
    untaken = 2 + chance.choice(len(UNTAKEN), count, p=[0.68, 0.2, 0.08, 0.04])
    outcome = np.where(
        is_taken, is_part.astype(int), np.where(is_shown, untaken, len(OUTCOMES) - 1)
    )
    num_lines = chance.geometric(0.55, count)
    num_chars = np.maximum(2, (chance.lognormal(3.0, 0.6, count) * num_lines).astype(int))
    share = np.where(is_part, chance.uniform(0.1, 0.9, count), 1.0)
    cache = chance.choice(len(CACHES), count, p=[0.7, 0.1, 0.2])
    latency_ms = chance.lognormal(4.9, 0.5, count) * np.where(cache == 0, 1.0, 0.1)
    other = chance.choice(len(LANGUAGES), count)
    return Requests(
        user=user,
        at_ms=at_ms,
        active_ms=pace_ms[user],
        language=np.where(chance.random(count) < 0.85, users.language[user], other),
        is_served=is_served,
        reason=chance.choice(len(REASONS), count, p=[0.6, 0.32, 0.06, 0.02]),
        cache=cache,
        num_chars=num_chars,
        num_lines=num_lines,
        mean_logprob=_logprobs(simulation, number, is_taken),
        total_ms=np.round(latency_ms * np.where(is_new, simulation.slowdown, 1.0), 1),
        is_shown=is_shown,
        outcome=outcome,
        visible_ms=np.round(chance.lognormal(np.where(is_taken, 7.1, 6.6), 0.7, count), 1),
        accepted_chars=np.where(is_taken, np.maximum(1, num_chars * share).astype(int), 0),
        is_undone=is_taken & (chance.random(count) < UNDONE_SHARE),
        kept_rate=_kept(chance, count),
        arm=arm,
        assignments=assignments,
    )


def _when(
    simulation: Simulation, users: Users, number: int, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return who asks, and when: at work on weekdays, hardly on others."""
    first = date(1970, 1, 1)
    day = (simulation.start - first).days + number
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
    is_there = chance.random(simulation.num_users) < (0.92 if weekday < 5 else 0.06)
    world = simulation.world
    swing = chance.lognormal(-(world.day_volume_sd**2) / 2, world.day_volume_sd, len(is_there))
    counts = chance.poisson(users.volume * swing * is_there)
    user = np.repeat(np.arange(simulation.num_users), counts)
    of_day_ms = time_of_day_ms(chance.random(len(user)), users.habits.shift_ms[user])
    order = np.lexsort((of_day_ms, user))
    return user, day * _DAY_MS + of_day_ms[order]


def _rates(simulation: Simulation, users: Users, chance: np.random.Generator) -> Floats:
    """Return the rate of each user on a day."""
    people = People(users.rate[None, :], users.volume[None, :])
    return daily_rates(simulation.world, people, num_days=1, chance=chance)[0, :, 0]


def _logprobs(simulation: Simulation, number: int, is_taken: np.ndarray) -> Floats:
    """Return how likely the model finds what it suggests: likelier what is accepted.

    Nothing else depends on it, and it is drawn apart, so that the rest stays as it is without it.
    """
    chance = np.random.default_rng([simulation.seed, 3, number])
    count = len(is_taken)
    likely = -chance.gamma(2.0, np.where(is_taken, 0.2, 0.3), count)
    hopeless = HOPELESS_LOGPROB - chance.gamma(2.0, 0.5, count)
    is_hopeless = ~is_taken & (chance.random(count) < HOPELESS_SHARE)
    bounded = np.maximum(likely, HOPELESS_LOGPROB + 0.01)
    return np.where(is_hopeless, hopeless, bounded).round(4).astype(np.float64)


def _kept(chance: np.random.Generator, count: int) -> Floats:
    """Return what is left of accepted texts at each horizon: much, and ever less."""
    steps = np.where(
        chance.random((count, len(HORIZONS_S))) < 0.75,
        1.0,
        chance.beta(4.0, 1.5, (count, len(HORIZONS_S))),
    )
    return np.cumprod(steps, axis=1).round(4).astype(np.float64)


def _assignments(
    simulation: Simulation, users: Users, user: np.ndarray, at_ms: np.ndarray
) -> tuple[Assignment | None, ...]:
    """Return the arm of each request, drawn by the function that the server uses."""
    experiment = simulation.experiment
    if experiment is None:
        return ()
    found: list[Assignment | None] = []
    before: tuple[int, Assignment | None] = (_NEVER, None)
    assigner = Assigner([], user_id="")
    for who, when_ms in zip(user.tolist(), at_ms.tolist(), strict=True):
        if who != before[0]:
            assigner = Assigner([experiment], user_id=users.keys[who])
        if who != before[0] or experiment.unit is Unit.REQUEST:
            drawn = assigner.assign(request_id=request_id(who, when_ms), now_ms=when_ms)
            before = (who, drawn[0] if drawn else None)
        found.append(before[1])
    return tuple(found)


def request_id(user: int, at_ms: int) -> str:
    """Return the identifier of a request."""
    return f"{user:x}-{at_ms:x}"


def _arms(
    simulation: Simulation, assignments: tuple[Assignment | None, ...], count: int
) -> np.ndarray:
    if simulation.experiment is None:
        return np.full(count, _NEVER)
    number = {arm.name: n for n, arm in enumerate(simulation.experiment.arms)}
    return np.array([number[each.arm] if each else _NEVER for each in assignments], dtype=np.int64)
