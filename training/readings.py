"""What a step says of itself, read from the device without stopping it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from training.progress import Place


class StepReading(NamedTuple):
    """Sums over all rows of a step, on all devices."""

    nll: float
    """Negative log-likelihood, nats."""
    tokens: float
    middle_nll: float
    middle_tokens: float
    gradient_norm: float

    @property
    def loss(self) -> float:
        """Nats a token."""
        return self.nll / self.tokens


class PendingReading:
    """A reading on its way from the device, which works on meanwhile."""

    def __init__(self, values: Tensor, *, step: int, place: Place, lr_factor: float) -> None:
        """Send `values`, the five of `StepReading`, on their way.

        Args:
            values: (5,) on the device.
            step: The step that they are of, from 1.
            place: Where its rows began.
            lr_factor: With which it was taken.
        """
        self.step, self.place, self.lr_factor = step, place, lr_factor
        self._arrived: torch.cuda.Event | None = None
        self._values = values
        if values.is_cuda:
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def wait(self) -> StepReading:
        """Return the reading when the device has come to it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return StepReading(*self._values.tolist())
