"""What an experiment is said to find is what simulated ones find."""

import numpy as np
import pytest

from fimble.events import Unit
from fimble.experiments import Looks
from telemetry.experiments.effects import estimate
from telemetry.experiments.power import Design, Traffic, plan, standard_error, traffic_of
from telemetry.simulate.world import World, draw_days, draw_people
from tests.telemetry.experiments.companies import NUM_DAYS, companies
from tests.telemetry.experiments.registrations import experiment

NUM_USERS, NUM_RUNS = 200, 60


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    chance, world = np.random.default_rng(3), World()
    people = draw_people(world, num_runs=1, num_users=8000, chance=chance)
    drawn = draw_days(world, people, num_days=NUM_DAYS, chance=chance)
    return traffic_of(drawn.num_rud[0], drawn.den_rud[0], is_share=True)


@pytest.mark.parametrize("adjusted", [False, True], ids=["plain", "history"])
@pytest.mark.parametrize("unit", list(Unit), ids=str)
def test_the_planned_standard_error_is_the_one_that_comes_out(
    traffic: Traffic, unit: Unit, *, adjusted: bool
) -> None:
    company = companies(unit, num_runs=NUM_RUNS, num_users=NUM_USERS, seed=5)
    found = [
        estimate(company.sample(run), arm=1, unit=unit, alpha=0.05, adjusted=adjusted)
        for run in range(NUM_RUNS)
    ]
    measured = np.mean([each.standard_error for each in found if each is not None])
    design = Design(unit, NUM_USERS, NUM_DAYS, adjusted, None)
    planned = standard_error(traffic, design, weights=(0.5, 0.5), before_days=NUM_DAYS)
    assert planned == pytest.approx(measured, rel=0.2)


def test_two_hundred_users_cannot_see_a_small_effect_and_are_told_what_to_do(
    traffic: Traffic,
) -> None:
    by_user = experiment(unit=Unit.USER, before_days=0)
    found = plan(traffic, by_user, num_users=NUM_USERS)
    assert not found.is_enough
    assert found.registered.minimal_effect > by_user.minimal_effect
    assert {each.unit for each in found.instead} == set(Unit)
    assert all(each.minimal_effect <= by_user.minimal_effect * 1.001 for each in found.instead)
    more = max(found.instead, key=lambda each: each.num_users)
    assert plan(traffic, by_user, num_users=more.num_users).is_enough
    assert not plan(traffic, by_user, num_users=round(more.num_users * 0.97)).is_enough
    by_request = experiment(unit=Unit.REQUEST)
    assert plan(traffic, by_request, num_users=NUM_USERS).is_enough
    assert plan(traffic, by_request, num_users=NUM_USERS).instead == ()


def test_one_look_and_more_arms_cost_what_they_should(traffic: Traffic) -> None:
    daily = plan(traffic, experiment(), num_users=NUM_USERS)
    once = plan(traffic, experiment(looks=Looks.ONCE), num_users=NUM_USERS)
    assert daily.once == once.registered.minimal_effect
    # 1.96 + 0.84 standard errors for one look, 3.0 + 0.84 for any number.
    assert daily.registered.minimal_effect / daily.once == pytest.approx(3.877 / 2.802, rel=0.001)
    three = plan(traffic, experiment(num_arms=3, looks=Looks.ONCE), num_users=NUM_USERS)
    # Two thirds of the users in two of three arms, and half of alpha for each comparison.
    assert three.once / once.once == pytest.approx((3 / 2) ** 0.5 * 3.083 / 2.802, rel=0.001)


def test_nothing_is_said_about_single_requests_of_a_metric_that_is_no_share() -> None:
    traffic = Traffic(
        ratio=8.0, mean_den=40.0, kept_variance=1e4, daily_variance=1e5, swing=1.2, is_share=False
    )
    found = plan(traffic, experiment(unit=Unit.REQUEST), num_users=NUM_USERS)
    assert found.registered.minimal_effect is None
    assert not found.is_enough


def test_traffic_is_what_one_works_out_by_hand() -> None:
    """Two users, two days; ratio 12/40; residuals of the users: (-1, -1) and (1, 1)."""
    num, den = np.array([[2.0, 2.0], [4.0, 4.0]]), np.full((2, 2), 10.0)
    found = traffic_of(num, den, is_share=True)
    assert (found.ratio, found.mean_den, found.swing) == (0.3, 10.0, 1.0)
    assert (found.kept_variance, found.daily_variance) == pytest.approx((1.0, 0.0), abs=1e-12)
