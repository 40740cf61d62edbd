"""A company that does not exist: users differ, days differ, and the truth is known.

Defaults are those of published acceptance rates: a mean of 28 % with a standard deviation of 10
points between users, some 43 suggestions a user and day, and few users who get most of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fimble.errors import InputError

if TYPE_CHECKING:
    from telemetry.experiments.sample import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How users are drawn."""

    mean_rate: float = 0.28
    """Share of suggestions that the average user accepts."""
    rate_sd: float = 0.10
    """Standard deviation of users' rates; 0 to `sqrt(mean_rate (1 - mean_rate))`."""
    day_sd: float = 0.05
    """Standard deviation of a user's rate between days."""
    requests_per_day: float = 43.0
    """Of the average user, on a day."""
    volume_sd: float = 0.7
    """Standard deviation of the logarithm of users' volumes."""
    day_volume_sd: float = 0.5
    """The same between the days of a user."""
    company_day_sd: float = 0.02
    """Standard deviation of what a day does to everybody's rate."""
    shift_sd_h: float = 1.0
    """Standard deviation of when users' days start, hours."""
    active_s_per_request: float = 25.0
    """Seconds of typing between two requests of the average user."""
    pace_sd: float = 0.35
    """Standard deviation of the logarithm of users' seconds between requests."""
    day_pace_sd: float = 0.2
    """The same between the days of a user."""

    def __post_init__(self) -> None:
        if not 0 < self.mean_rate < 1 or self.rate_sd**2 >= self.mean_rate * (1 - self.mean_rate):
            raise InputError(
                f"a mean rate of {self.mean_rate} with a standard deviation of {self.rate_sd} does "
                "not exist; the mean must lie between 0 and 1, the deviation below "
                "sqrt(mean (1 - mean))"
            )


class People(NamedTuple):
    """Users as they are; r = runs, u = users."""

    rate_ru: Floats
    volume_ru: Floats
    """Requests on an average day."""


class Days(NamedTuple):
    """What users did on each day; d = days."""

    num_rud: Floats
    """Accepted."""
    den_rud: Floats
    """Suggested."""


def draw_people(
    world: World, *, num_runs: int, num_users: int, chance: np.random.Generator
) -> People:
    """Return the users of `num_runs` companies."""
    shape = (num_runs, num_users)
    if world.rate_sd > 0:
        spread = world.mean_rate * (1 - world.mean_rate) / world.rate_sd**2 - 1
        rates = chance.beta(world.mean_rate * spread, (1 - world.mean_rate) * spread, shape)
    else:
        rates = np.full(shape, world.mean_rate)
    half_variance = world.volume_sd**2 / 2
    volumes = world.requests_per_day * chance.lognormal(-half_variance, world.volume_sd, shape)
    return People(rates, volumes)


def draw_days(
    world: World,
    people: People,
    *,
    num_days: int,
    chance: np.random.Generator,
    effect_rud: Floats | float = 0.0,
) -> Days:
    """Return the days of users.

    Args:
        world: How they are drawn.
        people: Whose days.
        num_days: How many.
        chance: Source of randomness.
        effect_rud: Added to the rate of the user on the day; an arm's true effect.
    """
    rate_rud = daily_rates(world, people, num_days=num_days, chance=chance) + effect_rud
    shape = rate_rud.shape
    half_variance = world.day_volume_sd**2 / 2
    swing_rud = chance.lognormal(-half_variance, world.day_volume_sd, shape)
    den_rud = chance.poisson(people.volume_ru[:, :, None] * swing_rud)
    num_rud = chance.binomial(den_rud, np.clip(rate_rud, 0.0, 1.0))
    return Days(num_rud.astype(np.float64), den_rud.astype(np.float64))


def daily_rates(
    world: World, people: People, *, num_days: int, chance: np.random.Generator
) -> Floats:
    """Return the rate of each user on each day, 2 to 98 %, before any arm's effect."""
    num_runs, num_users = people.rate_ru.shape
    own_rud = chance.normal(0.0, world.day_sd, (num_runs, num_users, num_days))
    all_rud = chance.normal(0.0, world.company_day_sd, (num_runs, 1, num_days))
    return np.clip(people.rate_ru[:, :, None] + own_rud + all_rud, 0.02, 0.98)
