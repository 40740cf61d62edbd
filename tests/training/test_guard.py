"""When a loss is too high, and where a run goes back to."""

from __future__ import annotations

import math

import pytest

from fimble.errors import ConfigError
from training.guard import GuardState, LossGuard
from training.progress import Position, Skip, Snapshot, Snapshots, next_row
from training.recipe import GuardConfig

CONFIG = GuardConfig(window_steps=8, sigmas=3.0, patience_steps=2)
USUAL = (2.0, 2.1, 1.9, 2.2, 1.8, 2.0, 2.1, 1.9)
"""Median 2, median absolute deviation 0.1: the limit is 2 + 3 * 1.4826 * 0.1."""


def test_the_limit_is_the_one_computed_by_hand() -> None:
    guard = LossGuard(CONFIG, GuardState(USUAL))
    assert guard.judge(1, 2.45, 1.0) is None
    spike = guard.judge(2, 2.45, 1.0)
    assert spike is not None
    assert (spike.first_step, spike.last_step) == (1, 2)
    assert spike.usual_loss == pytest.approx(2.0)
    assert spike.limit == pytest.approx(2.44478)


def test_one_odd_batch_is_no_spike_and_does_not_become_usual() -> None:
    guard = LossGuard(CONFIG, GuardState(USUAL))
    for step in range(1, 20, 2):
        assert guard.judge(step, 9.0, 1.0) is None
        assert guard.judge(step + 1, 2.0, 1.0) is None
    assert 9.0 not in guard.state.losses


@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan), (2.0, math.inf)]
)
def test_what_is_no_number_is_a_spike_at_once_and_even_at_the_first_step(
    loss: float, norm: float
) -> None:
    for state in (GuardState(), GuardState(USUAL)):
        spike = LossGuard(CONFIG, state).judge(1, loss, norm)
        assert spike is not None
        assert (spike.first_step, spike.last_step) == (1, 1)


def test_nothing_is_too_high_before_a_quarter_of_the_window_is_known() -> None:
    guard = LossGuard(CONFIG)
    assert [guard.judge(step, loss, 1.0) for step, loss in ((1, 3.0), (2, 90.0))] == [None, None]
    assert guard.judge(3, 900.0, 1.0) is None
    assert guard.judge(4, 900.0, 1.0) is not None


def test_losses_that_hardly_move_leave_two_percent_of_room() -> None:
    guard = LossGuard(CONFIG, GuardState((1.0,) * 8))
    assert [guard.judge(step, 1.019, 1.0) for step in (1, 2, 3)] == [None, None, None]


def test_a_guard_goes_on_from_the_state_of_another() -> None:
    first = LossGuard(CONFIG, GuardState(USUAL))
    assert first.judge(1, 9.0, 1.0) is None
    spike = LossGuard(CONFIG, first.state).judge(2, 9.0, 1.0)
    assert spike is not None
    assert spike.first_step == 1


def test_a_run_goes_back_to_the_last_state_before_and_then_to_the_one_before_that() -> None:
    snapshots = Snapshots()
    for step in (0, 10, 20):
        snapshots.keep(Snapshot(Position(step=step), {}, {}, GuardState(), 0))
    assert snapshots.settled.position.step == 10
    assert snapshots.go_back(22, ()).position.step == 20
    assert snapshots.go_back(22, (20,)).position.step == 10
    assert snapshots.go_back(22, (20, 10)).position.step == 10  # there is no other


def test_a_state_after_the_steps_in_question_is_not_gone_back_to() -> None:
    snapshots = Snapshots()
    for step in (10, 20):
        snapshots.keep(Snapshot(Position(step=step), {}, {}, GuardState(), 0))
    assert snapshots.go_back(19, ()).position.step == 10


def test_rows_that_are_left_out_are_jumped_over_wherever_they_overlap() -> None:
    skips = [Skip(0, 8, 12), Skip(0, 12, 16), Skip(0, 30, 32)]
    places = [(skip.start, skip.stop) for skip in skips]
    assert [next_row(row, 4, places) for row in (0, 4, 5, 8, 15, 16, 27, 31)] == [
        *(0, 4, 16, 16, 16, 16, 32, 32),
    ]


def test_states_must_lie_far_enough_apart_for_the_steps_that_are_left_out() -> None:
    with pytest.raises(ConfigError, match=r"guard.snapshot_steps is 4; it must be 5 or more"):
        GuardConfig(snapshot_steps=4, patience_steps=3, skip_before_steps=2)
