"""Paired comparisons against McNemar's test, permutations by hand, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eval_harness.statistics.intervals import student_t
from eval_harness.statistics.paired import (
    difference,
    problems_needed,
    sign_flip_p,
    visible_difference,
)


def singles(count: int) -> list[str]:
    return [f"problem-{number}" for number in range(count)]


def test_single_answers_get_mcnemars_exact_test() -> None:
    """8 better, 2 worse: 2 * (C(10,8) + C(10,9) + C(10,10)) / 1024, as R's binom.test(8, 10)."""
    first = [0.0] * 8 + [1.0] * 2 + [1.0] * 30
    second = [1.0] * 8 + [0.0] * 2 + [1.0] * 30
    found = difference(first, second, singles(40))
    assert found.p_value == pytest.approx(0.109375)
    assert (found.num_better, found.num_worse, found.num_problems) == (8, 2, 40)
    assert found.value == pytest.approx(0.15)


def test_equal_runs_do_not_differ_but_might() -> None:
    """Nothing differs on 100 problems: up to 2.951% of them may, 1 - 0.05 ** 0.01."""
    found = difference([1.0, 0.0] * 50, [1.0, 0.0] * 50, singles(100))
    assert (found.value, found.p_value, found.num_better, found.num_worse) == (0.0, 1.0, 0, 0)
    error = math.sqrt(0.0295130 / 100)
    assert found.high == pytest.approx(student_t(99) * error, rel=1e-4)
    assert found.low == -found.high
    assert found.visible == pytest.approx(2.801585 * error, rel=1e-4)


def test_unequal_differences_are_flipped_one_by_one() -> None:
    # Of the 8 signs of 1, 2 and 4, only +++ and --- reach 7.
    assert sign_flip_p([1.0, 2.0, 4.0]) == pytest.approx(2 / 8)
    # A sum of 5 or more: +++, -++ and their mirror images.
    assert sign_flip_p([-1.0, 2.0, 4.0]) == pytest.approx(4 / 8)


def test_drawn_signs_come_near_the_exact_value() -> None:
    sums = [1.0] * 12 + [-1.0] * 4
    exact = sign_flip_p(sums)
    drawn = sign_flip_p([*sums[:-1], -1.0 - 1e-9])  # no longer all of one size
    assert exact == pytest.approx(0.0768127)  # R: binom.test(12, 16)
    assert drawn == pytest.approx(exact, abs=0.01)


def test_the_interval_is_that_of_the_mean_difference() -> None:
    first, second = [0.0, 0.0, 1.0, 0.5], [0.5, 0.0, 1.0, 1.0]
    deltas = [0.5, 0.0, 0.0, 0.5]
    error = np.std(deltas, ddof=1) / 2
    found = difference(first, second, singles(4))
    reach = 3.182446 * error
    assert found[:3] == pytest.approx((0.25, 0.25 - reach, 0.25 + reach), abs=1e-5)
    assert found.visible == pytest.approx(2.801585 * error)  # 1.959964 + 0.841621


def test_problems_of_one_function_count_once() -> None:
    first, second = [0.0] * 40, [1.0] * 10 + [0.0] * 30
    groups = [f"function-{number // 5}" for number in range(40)]
    apart, together = difference(first, second, singles(40)), difference(first, second, groups)
    assert together.value == apart.value
    assert together.visible > 2 * apart.visible
    assert (apart.p_value, together.p_value) == (pytest.approx(2 / 1024), 0.5)


def test_four_times_the_problems_show_half_the_difference() -> None:
    found = difference([0.0, 1.0] * 50, [1.0, 1.0] * 20 + [0.0, 1.0] * 30, singles(100))
    assert problems_needed(found, found.visible) == 100
    assert problems_needed(found, found.visible / 2) == 400


@pytest.mark.slow
def test_a_visible_difference_shows_in_four_of_five_comparisons() -> None:
    """Models that differ on 20% of 400 problems, the second better by just the visible amount."""
    rng = np.random.default_rng(3)
    visible = visible_difference(math.sqrt(0.2 / 400))
    shown = 0
    for _ in range(1000):
        draws = rng.random(400)
        better = draws < 0.1 + visible / 2
        worse = (draws >= 0.1 + visible / 2) & (draws < 0.2)
        found = difference(list(worse.astype(float)), list(better.astype(float)), singles(400))
        shown += found.low > 0 or found.high < 0
    assert 0.76 <= shown / 1000 <= 0.86
