"""Intervals against hand values, tables and other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_harness.statistics.intervals import mean, rate, ratio, spread, student_t, wilson
from eval_harness.statistics.pass_at_k import pass_at_k
from eval_harness.statistics.quantiles import quantile


def singles(count: int) -> list[str]:
    return [f"problem-{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (1, 0, 1, 0.0),
        (1, 1, 1, 1.0),
        (5, 2, 1, 0.4),
        (5, 2, 3, 1 - 1 / 10),  # C(3, 3) / C(5, 3)
        (10, 3, 5, 1 - 21 / 252),  # C(7, 5) / C(10, 5)
        (5, 4, 2, 1.0),
    ],
)
def test_pass_at_k_is_one_minus_the_chance_to_draw_failures_only(
    n: int, c: int, k: int, expected: float
) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-7)


@given(n=st.integers(1, 60), data=st.data())
def test_pass_at_k_is_the_ratio_of_binomials(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = 1 - math.comb(n - c, k) / math.comb(n, k)
    # As openai/human-eval has it, human_eval/evaluation.py (`estimator`).
    theirs = 1.0 if n - c < k else 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))
    assert pass_at_k(n, c, k) == pytest.approx(exact, abs=1e-12)
    assert pass_at_k(n, c, k) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(
    ("degrees", "quantile_975"),  # table of Student's t, two-sided 5%
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (100, 1.984)],
)
def test_students_quantile_is_that_of_the_table(degrees: int, quantile_975: float) -> None:
    assert student_t(degrees) == pytest.approx(quantile_975, abs=6e-4)


def test_wilsons_interval_is_that_of_another_library() -> None:
    # statsmodels 0.14: proportion_confint(5, 20, method="wilson")
    assert wilson(5 / 20, 20) == pytest.approx((0.111862, 0.468701), abs=1e-5)
    low, high = wilson(0.0, 164)
    assert (low, high) == (0.0, pytest.approx(0.022887, abs=1e-5))  # z^2 / (n + z^2)


def test_a_rate_with_one_answer_a_cluster_has_wilsons_interval() -> None:
    found = rate([1, 1, 1, 1, 1] + [0] * 15, singles(20))
    assert found[:3] == pytest.approx((0.25, *wilson(0.25, 20)))
    assert (found.num_problems, found.num_clusters) == (20, 20)


def test_problems_that_fall_together_count_once() -> None:
    """40 problems in 20 clusters of two equal ones know as much as 20, but for Student's t."""
    values = [1.0, 1.0] * 5 + [0.0, 0.0] * 15
    groups = [f"function-{number // 2}" for number in range(40)]
    found = rate(values, groups)
    deff = spread(values, groups).standard_error ** 2 * 39 / (0.25 * 0.75)
    assert deff == pytest.approx(2 * 39 / 40 * 20 / 19)
    effective = 40 / deff * (1.959964 / student_t(19)) ** 2
    assert found[:3] == pytest.approx((0.25, *wilson(0.25, effective)), abs=1e-6)
    low, high = wilson(0.25, 20)
    assert found.low < low < high < found.high


def test_the_clustered_error_is_that_of_the_sandwich_formula() -> None:
    """Values by hand: mean 0.5, cluster sums of residuals 1, -1 and 0 over N = 6, G = 3."""
    values, groups = [1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "c"]
    found = spread(values, groups)
    assert found.mean == 0.5
    assert found.standard_error == pytest.approx(math.sqrt(2 * 3 / 2) / 6)


def test_with_one_value_a_cluster_the_error_is_the_ordinary_one() -> None:
    values = [0.1, 0.4, 0.35, 0.8, 0.2]
    error = np.std(values, ddof=1) / math.sqrt(5)
    assert spread(values, singles(5)).standard_error == pytest.approx(error)
    found = mean(values, singles(5))
    reach = 2.776445 * error
    assert found[:3] == pytest.approx((0.37, 0.37 - reach, 0.37 + reach), abs=1e-6)


def test_a_ratio_has_the_error_of_the_delta_method() -> None:
    """Bits 10, 30 and 20 over 10, 20 and 30 bytes: value 1, residuals 0, 10 and -10."""
    found = ratio([10, 30, 20], [10, 20, 30], ["a", "b", "c"])
    reach = student_t(2) * math.sqrt(200 * 3 / 2) / 60
    assert found[:3] == pytest.approx((1.0, 1 - reach, 1 + reach))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_none_and_all_are_not_certain(value: float) -> None:
    found = rate([value] * 30, [f"g{number // 3}" for number in range(30)])
    assert found[:3] == pytest.approx((value, *wilson(value, 10)))
    assert found.high - found.low > 0.2


def test_many_answers_a_problem_narrow_the_interval_but_never_to_a_point() -> None:
    few = rate([0.5] * 10, singles(10), num_trials=10)
    many = rate([0.5] * 10, singles(10), num_trials=1000)
    assert few.low < many.low < 0.5 < many.high < few.high


def test_a_single_problem_says_next_to_nothing() -> None:
    assert mean([3.0], ["a"])[:3] == (3.0, -math.inf, math.inf)
    low, high = rate([1.0], ["a"])[1:3]
    assert (low, high) == (pytest.approx(0.2065, abs=1e-4), 1.0)


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """1,000 suites of 60 clusters of 5 problems that mostly fall together, at a rate of 8%."""
    rng = np.random.default_rng(7)
    groups = [f"g{number // 5}" for number in range(300)]
    hits = 0
    for _ in range(1000):
        chances = rng.beta(0.16, 1.84, size=60)  # mean 0.08
        values = rng.random(300) < np.repeat(chances, 5)
        found = rate(list(values.astype(float)), groups)
        hits += found.low <= 0.08 <= found.high
    assert 0.92 <= hits / 1000 <= 0.98  # a plain Wilson interval covers 83%


def test_quantiles_are_values_that_occur() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert quantile(values, 0.5)[:3] == (50.0, 41.0, 60.0)  # ranks 50 -+ 9.8
    assert quantile(values, 0.99)[:3] == (99.0, 98.0, 100.0)
    assert quantile([7.0], 0.5)[:3] == (7.0, 7.0, 7.0)
