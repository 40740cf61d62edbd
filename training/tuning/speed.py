"""How fast a tuning run learns, and the most memory that it takes of the GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import TrainerCallback

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from fimble.clock import Clock


class SpeedMeter(TrainerCallback):
    """Measures from the end of the first step on: that one also compiles and reserves."""

    def __init__(self, clock: Clock, num_tokens: int) -> None:
        """Prepare to measure.

        Args:
            clock: The run's time.
            num_tokens: Of all rows, without padding: what one epoch learns from.
        """
        self._clock, self._num_tokens = clock, num_tokens
        self._first: tuple[float, float] | None = None
        """Time in ms and epochs at the end of the first step."""
        self._tokens_per_s: float | None = None

    def figures(self) -> dict[str, object]:
        """Return `tokens_per_s`, None for a single step, and `gpu_memory_bytes`, None without one.

        The memory is the most that was allocated at any time while the model learnt, its weights
        included.
        """
        is_cuda = torch.cuda.is_available()
        return {
            "tokens_per_s": None if self._tokens_per_s is None else round(self._tokens_per_s),
            "gpu_memory_bytes": torch.cuda.max_memory_allocated() if is_cuda else None,
        }

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002 - transformers' signature
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        **others: object,  # noqa: ARG002
    ) -> None:
        """Forget what was measured before."""
        self._first = self._tokens_per_s = None
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **others: object,  # noqa: ARG002
    ) -> None:
        """Begin after the first step, and measure after the last."""
        if self._first is not None and state.global_step < state.max_steps:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now_ms, epochs = self._clock.monotonic_ms(), state.epoch or 0.0
        if self._first is None:
            self._first = now_ms, epochs
            return
        since_ms, since_epochs = self._first
        num_tokens = (epochs - since_epochs) * self._num_tokens
        self._tokens_per_s = num_tokens / max(now_ms - since_ms, 1e-6) * 1000
