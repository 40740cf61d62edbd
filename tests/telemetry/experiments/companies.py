"""Experiments on companies that do not exist, many at once: sums by user and arm, truth known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fimble.events import Unit
from telemetry.experiments.sample import Sample
from telemetry.simulate.world import World, draw_days, draw_people

NUM_DAYS = 14


class Company(NamedTuple):
    """Axes: r = runs, u = users, d = days, a = arms."""

    num_ruda: np.ndarray
    den_ruda: np.ndarray
    before_num_ru: np.ndarray
    before_den_ru: np.ndarray

    def sample(self, run: int, *, num_days: int = NUM_DAYS) -> Sample:
        """Return what is known of one run after so many days."""
        den_ua = self.den_ruda[run, :, :num_days].sum(axis=1)
        return Sample(
            num_ua=self.num_ruda[run, :, :num_days].sum(axis=1),
            den_ua=den_ua,
            num_exposed_ua=den_ua,
            before_num_u=self.before_num_ru[run],
            before_den_u=self.before_den_ru[run],
        )


def companies(
    unit: Unit, *, num_runs: int, num_users: int, effect: float = 0.0, seed: int = 0
) -> Company:
    """Return experiments with two arms of half the units each.

    Args:
        unit: What is assigned.
        num_runs: How many.
        num_users: In each, both arms together.
        effect: True effect of the second arm on the rate.
        seed: Of the randomness.
    """
    chance, world = np.random.default_rng(seed), World()
    people = draw_people(world, num_runs=num_runs, num_users=num_users, chance=chance)
    before = draw_days(world, people, num_days=NUM_DAYS, chance=chance)
    shape = (num_runs, num_users, NUM_DAYS)
    match unit:
        case Unit.USER:
            is_new = np.broadcast_to(chance.random(shape[:2])[:, :, None] < 0.5, shape)
        case Unit.USER_DAY:
            is_new = chance.random(shape) < 0.5
        case Unit.REQUEST:
            is_new = np.full(shape, 0.5)
    if unit is Unit.REQUEST:
        days = draw_days(world, people, num_days=NUM_DAYS, chance=chance)
        den_new = chance.binomial(days.den_rud.astype(int), 0.5).astype(float)
        # Which of the suggestions were accepted does not depend on the arm, but for the effect.
        num_new = chance.hypergeometric(
            days.num_rud.astype(int), (days.den_rud - days.num_rud).astype(int), den_new.astype(int)
        ).astype(float)
        num_old, den_old = days.num_rud - num_new, days.den_rud - den_new
        num_new += chance.binomial(
            (den_new - num_new).astype(int), effect / (1 - World().mean_rate)
        )
    else:
        days = draw_days(
            world, people, num_days=NUM_DAYS, chance=chance, effect_rud=effect * is_new
        )
        num_new, den_new = days.num_rud * is_new, days.den_rud * is_new
        num_old, den_old = days.num_rud - num_new, days.den_rud - den_new
    return Company(
        np.stack([num_old, num_new], axis=-1),
        np.stack([den_old, den_new], axis=-1),
        before.num_rud.sum(axis=2),
        before.den_rud.sum(axis=2),
    )
