"""Lines for whoever waits."""

from __future__ import annotations

from tests.stand_ins.hand_clock import HandClock
from training.waiting import Progress


def test_progress_is_said_every_ten_seconds_and_counts_all_that_was_done_between() -> None:
    clock, said = HandClock(), list[str]()
    progress = Progress("train", 25_180, "files", tell=said.append, clock=clock)
    for _ in range(3):
        clock.now_ms += 4_000
        progress.add(600, "70 examples")
    assert said == ["train: 1,800 of 25,180 files, 70 examples"]
    clock.now_ms += 9_999
    progress.add(1)
    assert len(said) == 1
    clock.now_ms += 1
    progress.add(1)
    assert said[1:] == ["train: 1,802 of 25,180 files"]
