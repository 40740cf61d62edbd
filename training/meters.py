"""How fast training is, and what it takes of the device."""

from __future__ import annotations

import contextlib
import importlib.util
import math
from typing import TYPE_CHECKING

import torch

from training.model import peak_flops

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fimble.clock import Clock
    from training.devices import Devices


class Meter:
    """Rates since the last reading; time spent in `pause` is not training."""

    def __init__(self, clock: Clock, devices: Devices, flops_per_token: float) -> None:
        """Start to measure.

        Args:
            clock: The run's time.
            devices: Of the run.
            flops_per_token: Of one training step, see `training.model.flops_per_token`.
        """
        self._clock, self._device = clock, devices.device
        self._peak_flops = peak_flops(devices.device) * devices.count
        self._flops_per_token = flops_per_token
        self._has_nvml = (
            self._device.type == "cuda" and importlib.util.find_spec("pynvml") is not None
        )
        self._paused_ms = self._waited_ms = 0.0
        self._read_at_ms = clock.monotonic_ms()

    def restart(self) -> None:
        """Forget the time since the last reading."""
        self._paused_ms = self._waited_ms = 0.0
        self._read_at_ms = self._clock.monotonic_ms()

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Leave out what happens within: measurements and checkpoints."""
        started_ms = self._clock.monotonic_ms()
        yield
        self._paused_ms += self._clock.monotonic_ms() - started_ms

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count what happens within as waiting for data; once, where it is nested."""
        started_ms, waited_ms = self._clock.monotonic_ms(), self._waited_ms
        yield
        self._waited_ms = waited_ms + self._clock.monotonic_ms() - started_ms

    def read(self, num_tokens: int) -> dict[str, object]:
        """Return the figures since the last reading, and start anew.

        Args:
            num_tokens: Trained on since then, over all devices, padding included.

        Returns:
            `tokens_per_s` and `mfu` (0..1, None for cards we do not know), over all devices;
            `data_wait_s`, time in which nothing ran for want of rows; and of this process's device,
            None without a card, `gpu_memory_bytes` (the most so far) and `gpu_utilisation` (0..1,
            with the package nvidia-ml-py).
        """
        trained_ms = self._clock.monotonic_ms() - self._read_at_ms - self._paused_ms
        tokens_per_s = num_tokens / max(trained_ms, 1e-6) * 1000
        flops = tokens_per_s * self._flops_per_token
        figures: dict[str, object] = {
            "tokens_per_s": round(tokens_per_s),
            "mfu": None if math.isnan(self._peak_flops) else flops / self._peak_flops,
            "data_wait_s": round(self._waited_ms / 1000, 4),
            "gpu_memory_bytes": self._memory_bytes(),
            "gpu_utilisation": self._utilisation(),
        }
        self.restart()
        return figures

    def _memory_bytes(self) -> int | None:
        is_cuda = self._device.type == "cuda"
        return torch.cuda.max_memory_allocated(self._device) if is_cuda else None

    def _utilisation(self) -> float | None:
        return torch.cuda.utilization(self._device) / 100 if self._has_nvml else None
