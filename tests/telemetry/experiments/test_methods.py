"""Every method on a thousand experiments whose truth is known, and against other computations."""

from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from fimble.events import Unit
from telemetry.experiments.corrections import benjamini_hochberg, holm
from telemetry.experiments.effects import MIN_USERS, estimate
from telemetry.experiments.sample import Effect, Sample
from telemetry.experiments.sequential import (
    always_valid,
    best_information,
    half_width,
    mixing_sd_for,
)
from tests.telemetry.experiments.companies import NUM_DAYS, Company, companies
from tests.telemetry.experiments.reference import Found, delta, jackknife, naive_p_values

NUM_RUNS, NUM_USERS, TRUE_EFFECT = 1000, 200, 0.03
CHECKED_RUNS = 12
"""Runs in which the product is compared with the reference, which then stands for it."""


@cache
def drawn(unit: Unit, effect: float) -> Company:
    return companies(unit, num_runs=NUM_RUNS, num_users=NUM_USERS, effect=effect, seed=7)


def by_product(company: Company, unit: Unit, run: int, *, adjusted: bool) -> Effect:
    found = estimate(company.sample(run), arm=1, unit=unit, alpha=0.05, adjusted=adjusted)
    assert found is not None
    assert found.is_adjusted is adjusted
    return found


def all_runs(company: Company, unit: Unit, *, adjusted: bool) -> Found:
    """Return what a method says of every run.

    Between users the reference, which is compared with the product to ten digits, stands for it;
    within users the product itself is fast enough.
    """
    if unit is Unit.USER:
        reference = delta(company, adjusted=adjusted)
        for run in range(CHECKED_RUNS):
            found = by_product(company, unit, run, adjusted=adjusted)
            assert found.effect == pytest.approx(reference.effect_r[run], rel=1e-10)
            assert found.standard_error == pytest.approx(reference.error_r[run], rel=1e-10)
            assert found.p_value == pytest.approx(reference.p_values()[run], rel=1e-8)
        return reference
    results = [by_product(company, unit, run, adjusted=adjusted) for run in range(NUM_RUNS)]
    degrees = [found.num_control - 1 for found in results]
    columns = [[f.effect for f in results], [f.standard_error for f in results], degrees]
    return Found(*(np.array(column) for column in columns))


@pytest.mark.parametrize("adjusted", [False, True], ids=["plain", "history"])
@pytest.mark.parametrize("unit", list(Unit), ids=str)
def test_without_an_effect_five_percent_of_experiments_find_one(
    unit: Unit, *, adjusted: bool
) -> None:
    found = all_runs(drawn(unit, 0.0), unit, adjusted=adjusted)
    assert 0.03 <= (found.p_values() < 0.05).mean() <= 0.07


@pytest.mark.parametrize("adjusted", [False, True], ids=["plain", "history"])
@pytest.mark.parametrize("unit", list(Unit), ids=str)
def test_with_an_effect_the_interval_holds_the_truth_in_95_percent(
    unit: Unit, *, adjusted: bool
) -> None:
    found = all_runs(drawn(unit, TRUE_EFFECT), unit, adjusted=adjusted)
    assert 0.93 <= found.covers(TRUE_EFFECT).mean() <= 0.97
    assert found.effect_r.mean() == pytest.approx(TRUE_EFFECT, abs=0.003)


def test_a_test_that_counts_completions_is_wrong_in_most_experiments() -> None:
    assert (naive_p_values(drawn(Unit.USER, 0.0)) < 0.05).mean() > 0.5


@pytest.mark.parametrize("unit", list(Unit), ids=str)
def test_daily_looks_find_an_effect_that_is_not_there_in_five_percent_at_most(unit: Unit) -> None:
    company = drawn(unit, 0.0)
    mixing_sd = mixing_sd_for(TRUE_EFFECT, alpha=0.05, power=0.8)
    method = (
        (lambda days: delta(company, adjusted=False, num_days=days))
        if unit is Unit.USER
        else (lambda days: jackknife(company, num_days=days))
    )
    looks = [method(days) for days in range(1, NUM_DAYS + 1)]
    crossed, peeked = np.zeros(NUM_RUNS, dtype=bool), np.zeros(NUM_RUNS, dtype=bool)
    for look in looks:
        for run, (effect, error) in enumerate(zip(look.effect_r, look.error_r, strict=True)):
            bounds = always_valid(effect, error, mixing_sd=mixing_sd, alpha=0.05)
            assert (bounds.p_value < 0.05) == (not bounds.low <= 0 <= bounds.high)
            crossed[run] |= bounds.p_value < 0.05
        peeked |= look.p_values() < 0.05
    assert crossed.mean() <= 0.05
    assert peeked.mean() > 0.07  # the interval for one look does not stand daily looks


def test_the_jackknife_within_users_is_the_product() -> None:
    company = drawn(Unit.USER_DAY, TRUE_EFFECT)
    reference = jackknife(company)
    for run in range(CHECKED_RUNS):
        found = by_product(company, Unit.USER_DAY, run, adjusted=False)
        assert found.effect == pytest.approx(reference.effect_r[run], rel=1e-10)
        assert found.standard_error == pytest.approx(reference.error_r[run], rel=1e-10)
        assert found.p_value == pytest.approx(reference.p_values()[run], rel=1e-8)


def test_history_and_the_unit_make_the_interval_narrower_as_they_should() -> None:
    errors = {
        (unit, adjusted): np.mean(
            [
                by_product(drawn(unit, 0.0), unit, run, adjusted=adjusted).standard_error
                for run in range(CHECKED_RUNS)
            ]
        )
        for unit in Unit
        for adjusted in (False, True)
    }
    assert errors[Unit.USER, True] < 0.6 * errors[Unit.USER, False]
    assert errors[Unit.USER_DAY, False] < 0.6 * errors[Unit.USER, False]
    assert errors[Unit.USER_DAY, True] < 0.8 * errors[Unit.USER_DAY, False]
    assert errors[Unit.REQUEST, False] < 0.6 * errors[Unit.USER_DAY, False]


def test_too_few_users_and_nothing_to_divide_by_give_no_result() -> None:
    small = companies(Unit.USER_DAY, num_runs=1, num_users=MIN_USERS - 1)
    assert estimate(small.sample(0), arm=1, unit=Unit.USER_DAY, alpha=0.05, adjusted=True) is None
    zeros = np.zeros((50, 2))
    empty = Sample(
        num_ua=zeros,
        den_ua=zeros,
        num_exposed_ua=zeros + 1,
        before_num_u=zeros[:, 0],
        before_den_u=zeros[:, 0],
    )
    for unit in Unit:
        assert estimate(empty, arm=1, unit=unit, alpha=0.05, adjusted=True) is None


def test_the_delta_method_is_what_one_works_out_by_hand() -> None:
    """Ten users an arm; (n, m) alternate between (1, 2) and (3, 4), and (2, 2) and (2, 4)."""
    num_ua, den_ua = np.zeros((20, 2)), np.zeros((20, 2))
    num_ua[:10, 0], den_ua[:10, 0] = [1, 3] * 5, [2, 4] * 5
    num_ua[10:, 1], den_ua[10:, 1] = [2, 2] * 5, [2, 4] * 5
    sample = Sample(
        num_ua=num_ua,
        den_ua=den_ua,
        num_exposed_ua=den_ua,
        before_num_u=np.zeros(20),
        before_den_u=np.zeros(20),
    )
    found = estimate(sample, arm=1, unit=Unit.USER, alpha=0.05, adjusted=True)
    assert found is not None
    # Both ratios are 2/3. Residuals n - 2/3 m: -1/3, 1/3; and 2/3, -2/3; divided by a mean of 3.
    variances = 10 * (1 / 9) ** 2 / 9 / 10 + 10 * (2 / 9) ** 2 / 9 / 10
    assert (found.control, found.treatment) == pytest.approx((2 / 3, 2 / 3))
    assert found.effect == pytest.approx(0, abs=1e-12)
    assert not found.is_adjusted
    assert found.high - found.low == pytest.approx(2 * 2.1448 * variances**0.5, rel=0.02)


@pytest.mark.parametrize(
    ("counts", "tuning", "alpha", "low", "high"),
    [
        ((1000, 300, 240, 350, 280), 5000, 0.05, -0.004804993385430854, 0.10480499338543084),
        ((400, 110, 60, 150, 90), 800, 0.05, 0.03945768559809186, 0.16054231440190808),
        ((20000, 5600, 4000, 6000, 4400), 5000, 0.01, 0.006778597676356494, 0.03322140232364343),
    ],
)
def test_bounds_for_any_look_are_those_of_another_library(
    counts: tuple[int, ...], tuning: int, alpha: float, low: float, high: float
) -> None:
    """Values of gbstats 0.8.0, SequentialTwoSidedTTest, of arms with n users, sums and squares."""
    n, sum_a, squares_a, sum_b, squares_b = counts
    variance = sum(
        (q - s * s / n) / (n - 1) / n for s, q in ((sum_a, squares_a), (sum_b, squares_b))
    )
    # Its rho**2 times the users of both arms is our information.
    mixing_sd = (2 * n * best_information(alpha) / tuning * variance) ** 0.5
    found = always_valid((sum_b - sum_a) / n, variance**0.5, mixing_sd=mixing_sd, alpha=alpha)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


@pytest.mark.parametrize("effect", [0.0, 0.01, 0.03, -0.08])
def test_the_p_value_for_any_look_is_one_over_the_mixture_of_likelihood_ratios(
    effect: float,
) -> None:
    error, mixing_sd = 0.012, 0.02

    def weighted(size: float) -> float:
        ratio = np.exp((effect * size - size**2 / 2) / error**2)
        return float(ratio * norm.pdf(size, scale=mixing_sd))

    mixture, _ = quad(weighted, -0.3, 0.3, points=[effect])
    found = always_valid(effect, error, mixing_sd=mixing_sd, alpha=0.05)
    assert found.p_value == pytest.approx(min(1.0, 1 / mixture), rel=1e-6)
    assert half_width(best_information(0.05), alpha=0.05) == pytest.approx(3.0, abs=0.05)


def test_corrections_are_those_of_the_papers() -> None:
    """Holm by hand; Benjamini and Hochberg's own example, 1995, section 3.2."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    paper = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    paper += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert [p <= 0.05 for p in benjamini_hochberg(paper)] == [True] * 4 + [False] * 11
    assert [p <= 0.05 for p in holm(paper)] == [True] * 3 + [False] * 12
    assert holm([]) == benjamini_hochberg([]) == []
