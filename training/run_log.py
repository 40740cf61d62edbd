"""What a run writes down as it goes, and cuts back where it goes back.

    log.jsonl     losses and measurements of the steps that count, one JSON object a line
    steps.bin     epoch and first row of every step: 12 bytes each
    spikes.jsonl  what was undone, and which documents were left out because of it

A state of the run knows the sizes of these files at that moment. Going on from it, after a kill or
a spike, cuts them back to those sizes: no step is ever there twice.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np

from fimble.errors import InputError
from training.progress import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LOG_NAME = "log.jsonl"
SPIKES_NAME = "spikes.jsonl"
STEPS_NAME = "steps.bin"
_STEP = np.dtype([("epoch", "<i4"), ("row", "<i8")])


class RunLog:
    """The records of one run; only the first of its processes writes."""

    def __init__(
        self,
        folder: Path,
        *,
        is_writer: bool,
        listener: Callable[[Mapping[str, object]], None] | None = None,
    ) -> None:
        """Open the records.

        Args:
            folder: Of the run.
            is_writer: Whether this process writes; if not, nothing is done.
            listener: Is told every line of the log.
        """
        self._folder = folder
        self._is_writer = is_writer
        self._listener = listener

    def write(self, line: Mapping[str, object]) -> None:
        """Add a line to the log."""
        if self._is_writer:
            _append(self._folder / LOG_NAME, f"{json.dumps(line)}\n".encode())
            if self._listener is not None:
                self._listener(line)

    def write_spike(self, line: Mapping[str, object]) -> None:
        """Add a line to the record of what was undone."""
        if self._is_writer:
            _append(
                self._folder / SPIKES_NAME, f"{json.dumps(line, ensure_ascii=False)}\n".encode()
            )

    def note_step(self, place: Place) -> None:
        """Write down which rows the next step is taken on."""
        if self._is_writer:
            _append(self._folder / STEPS_NAME, np.array([tuple(place)], dtype=_STEP).tobytes())

    @property
    def log_bytes(self) -> int:
        """Size of the log."""
        return _size(self._folder / LOG_NAME) if self._is_writer else 0

    @property
    def spike_bytes(self) -> int:
        """Size of the record of what was undone."""
        return _size(self._folder / SPIKES_NAME) if self._is_writer else 0

    def go_back(self, *, num_steps: int, log_bytes: int) -> None:
        """Cut log and steps back to what they held after `num_steps` steps."""
        if self._is_writer:
            _cut(self._folder / LOG_NAME, log_bytes)
            _cut(self._folder / STEPS_NAME, num_steps * _STEP.itemsize)

    def forget_spikes(self, spike_bytes: int) -> None:
        """Cut the record of what was undone back to `spike_bytes`."""
        if self._is_writer:
            _cut(self._folder / SPIKES_NAME, spike_bytes)


def place_of_step(folder: Path, step: int) -> Place:
    """Return where the rows of a step begin.

    Args:
        folder: Of the run.
        step: Its number, from 1.

    Raises:
        InputError: The folder holds no run, or the run has no such step.
    """
    path = folder / STEPS_NAME
    if not path.exists():
        raise InputError(f"{folder} holds no pretraining run: there is no {STEPS_NAME}")
    count = path.stat().st_size // _STEP.itemsize
    if not 1 <= step <= count:
        raise InputError(f"there is no step {step} in {folder}; it has the steps 1 to {count}")
    epoch, row = np.fromfile(path, dtype=_STEP, count=1, offset=(step - 1) * _STEP.itemsize)[0]
    return Place(int(epoch), int(row))


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _cut(path: Path, size_bytes: int) -> None:
    if _size(path) > size_bytes:
        os.truncate(path, size_bytes)
