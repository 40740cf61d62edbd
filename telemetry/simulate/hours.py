"""When in a day simulated users ask, and how long they type between two requests.

Two thirds of software engineers work from 10 to 18, few at night, and they differ much.
Source: Claes et al. 2018, arXiv:1802.05084, from the times of commits.

Both are drawn apart from everything else, so that the rest stays as it is without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from telemetry.experiments.sample import Floats
    from telemetry.simulate.world import World

HOUR_MS = 3_600_000
FIRST_HOUR = 7
HOUR_WEIGHTS = (2, 5, 9, 12, 11, 6, 8, 12, 12, 11, 9, 5, 2, 2)
"""Share of a day's requests in each hour from `FIRST_HOUR` on, to be divided by their sum; people
eat at noon."""
LONGEST_SHIFT_H = 2.5
"""Nobody starts so much earlier or later that what becomes of a text is seen on another day."""


class Habits(NamedTuple):
    """Arrays have one value a user."""

    shift_ms: Floats
    """How much later than others' the day of a user is."""
    active_ms: Floats
    """Time in which a user types, from one request to the next, on an average day."""


def draw_habits(world: World, *, seed: int, num_users: int) -> Habits:
    """Return the habits of users."""
    chance = np.random.default_rng([seed, 4])
    shift_h = np.clip(
        chance.normal(0.0, world.shift_sd_h, num_users), -LONGEST_SHIFT_H, LONGEST_SHIFT_H
    )
    pace = chance.lognormal(-(world.pace_sd**2) / 2, world.pace_sd, num_users)
    return Habits(shift_h * HOUR_MS, world.active_s_per_request * 1000 * pace)


def time_of_day_ms(quantile: Floats, shift_ms: Floats) -> np.ndarray:
    """Return int64 times since midnight, one a request.

    Args:
        quantile: How much of the day's requests come before, 0 to 1.
        shift_ms: Of the user who asks.
    """
    shares = np.concatenate(([0], np.cumsum(HOUR_WEIGHTS))) / sum(HOUR_WEIGHTS)
    hours = FIRST_HOUR + np.arange(len(shares))
    return (np.interp(quantile, shares, hours) * HOUR_MS + shift_ms).astype(np.int64)


def active_ms(world: World, habits: Habits, *, seed: int, number: int) -> Floats:
    """Return how long each user types for a request on the day of this number."""
    chance = np.random.default_rng([seed, 5, number])
    swing = chance.lognormal(-(world.day_pace_sd**2) / 2, world.day_pace_sd, len(habits.active_ms))
    return habits.active_ms * swing
