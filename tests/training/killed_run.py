"""A run that is killed by its own clock: `python -m tests.training.killed_run RECIPE OUT READING`.

No other process has to hit the moment, and any moment between two readings can be hit again.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from fimble.clock import SystemClock
from fimble.config import read_toml
from training.pretrain import pretrain
from training.recipe import PretrainRecipe


class DeadlyClock(SystemClock):
    """The system's clock, until it is read once too often."""

    def __init__(self, num_readings: int) -> None:
        self._num_left = num_readings

    def monotonic_ms(self) -> float:
        self._num_left -= 1
        if self._num_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().monotonic_ms()


if __name__ == "__main__":
    recipe, out, num_readings = sys.argv[1:]
    clock = DeadlyClock(int(num_readings))
    pretrain(read_toml(PretrainRecipe, Path(recipe)), Path(out), clock=clock)
