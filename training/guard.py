"""Does training still go well? A robust test of each step's loss against those before it."""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import FimbleError

if TYPE_CHECKING:
    from training.recipe import GuardConfig

_SIGMA_OF_MAD = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""
_MIN_RISE_SHARE = 0.02
"""Of the median: less is no spike, however steady the losses before were."""


class UnstableTrainingError(FimbleError):
    """Training went wrong more often than the recipe allows; no weights of it were written."""


class Spike(NamedTuple):
    """A loss, or a gradient, that is not as it should be."""

    first_step: int
    """The first step that lies above."""
    last_step: int
    loss: float
    """Of the last step, nats a token."""
    gradient_norm: float
    usual_loss: float
    """Median of the steps before; NaN where there were too few."""
    limit: float
    """What the loss must not exceed; NaN likewise."""


class GuardState(NamedTuple):
    """What a guard has seen."""

    losses: tuple[float, ...] = ()
    """The usual ones, oldest first."""
    num_above: int = 0
    """Steps in a row up to now that lay above."""


class LossGuard:
    """Watches the losses of a run.

    A loss is too high above median + sigmas standard deviations of the last ones; the deviation is
    taken from the median absolute deviation, so that one odd loss does not hide the next. Too many
    in a row are a spike, and so is at once what is not finite. Losses that are too high never count
    as usual.
    """

    def __init__(self, config: GuardConfig, state: GuardState | None = None) -> None:
        """Watch, knowing what another guard knew."""
        self._config = config
        losses, self._num_above = state or GuardState()
        self._losses = deque(losses, maxlen=config.window_steps)

    @property
    def state(self) -> GuardState:
        """What it has seen."""
        return GuardState(tuple(self._losses), self._num_above)

    def judge(self, step: int, loss: float, gradient_norm: float) -> Spike | None:
        """Take note of a step, and return the spike that it completes.

        Args:
            step: Its number, from 1.
            loss: Mean over its tokens, nats.
            gradient_norm: Length of its gradient.
        """
        usual, limit = self._limit()
        is_finite = math.isfinite(loss) and math.isfinite(gradient_norm)
        if is_finite and not loss > limit:
            self._losses.append(loss)
            self._num_above = 0
            return None
        self._num_above += 1
        if is_finite and self._num_above < self._config.patience_steps:
            return None
        first_step = step - self._num_above + 1
        self._num_above = 0
        return Spike(first_step, step, loss, gradient_norm, usual, limit)

    def _limit(self) -> tuple[float, float]:
        """Return the usual loss and the limit; NaN, which nothing exceeds, after too few steps."""
        if len(self._losses) * 4 < self._config.window_steps:
            return math.nan, math.nan
        usual = median(self._losses)
        sigma = _SIGMA_OF_MAD * median(abs(loss - usual) for loss in self._losses)
        return usual, usual + max(self._config.sigmas * sigma, _MIN_RISE_SHARE * usual)
