"""How far a run has come, which rows it leaves out, and what it takes to go on from there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from training.guard import GuardState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

CHECKPOINT_NAME = "checkpoint.pt"


class Position(NamedTuple):
    """Where a run stands."""

    step: int = 0
    epoch: int = 0
    row: int = 0
    """Rows of the epoch that lie behind, over all devices."""
    elapsed_s: float = 0.0
    """Seconds of training, without pauses between runs."""


class Place(NamedTuple):
    """Where the rows of one step begin in the reading order of an epoch."""

    epoch: int
    row: int


class Skip(NamedTuple):
    """Rows of an epoch's reading order that a run leaves out."""

    epoch: int
    start: int
    stop: int


class Ledger(NamedTuple):
    """What a run took back so far; it outlives the states that it went back to."""

    skips: tuple[Skip, ...] = ()
    targets: tuple[int, ...] = ()
    """Steps that it went back to, one for each time."""
    spike_bytes: int = 0
    """Size of the record of them."""


class Snapshot(NamedTuple):
    """Everything that a run needs to go on from a step, its ledger aside."""

    position: Position
    weights: dict[str, Tensor]
    """By parameter; tied ones once."""
    optimisers: dict[str, Any]
    """Empty where only the weights are known."""
    guard: GuardState
    log_bytes: int
    """Size of the log at that step."""


class Checkpoint(NamedTuple):
    """A snapshot and the ledger, as they lie on disk."""

    snapshot: Snapshot
    ledger: Ledger


def next_row(row: int, num_rows: int, skips: Iterable[tuple[int, int]]) -> int:
    """Return where `num_rows` rows from `row` on touch nothing that is left out.

    Args:
        row: First row in question.
        num_rows: How many are wanted.
        skips: Starts and stops of what is left out.
    """
    for start, stop in sorted(skips):
        if start < row + num_rows and row < stop:
            row = stop
    return row


class Snapshots:
    """The last two states of a run: the second is there in case the first is bad already."""

    def __init__(self) -> None:
        """Start without any."""
        self._kept: list[Snapshot] = []

    def keep(self, snapshot: Snapshot) -> None:
        """Add the newest state and forget the oldest of three."""
        self._kept = [*self._kept[-1:], snapshot]

    @property
    def settled(self) -> Snapshot:
        """The older one: no spike that is still to come leads further back, so it can be saved."""
        return self._kept[0]

    def go_back(self, limit_step: int, targets: Iterable[int]) -> Snapshot:
        """Return the state to go back to and forget those after it.

        Args:
            limit_step: It should not be later than this.
            targets: Steps gone back to before; a state that did not help is not tried again.
        """
        spent = set(targets)
        while len(self._kept) > 1:
            step = self._kept[-1].position.step
            if step <= limit_step and step not in spent:
                break
            self._kept.pop()
        return self._kept[-1]


def taken(
    position: Position,
    *,
    weights: dict[str, Tensor],
    optimisers: dict[str, Any],
    guard: GuardState,
    log_bytes: int,
) -> Snapshot:
    """Return a snapshot that shares no memory with what it is of."""
    return Snapshot(position, copied(weights), copied(optimisers), guard, log_bytes)


def copied(tree: Any) -> Any:  # noqa: ANN401 - any nesting of dictionaries, lists and tensors
    """Return a copy whose tensors share no memory with the original's, on the same device."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().clone()
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [copied(value) for value in tree]
    return tree  # numbers and tuples of them


def save_checkpoint(path: Path, snapshot: Snapshot, ledger: Ledger) -> None:
    """Write a checkpoint, whole: a reader sees the old file or the new one."""
    aside = path.with_name(f"{path.name}.part")
    state = {**snapshot._asdict(), **ledger._asdict()}
    state["position"], state["guard"] = tuple(snapshot.position), tuple(snapshot.guard)
    state["skips"] = [tuple(skip) for skip in ledger.skips]
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def load_checkpoint(path: Path, device: torch.device | str) -> Checkpoint:
    """Return the checkpoint in a file of `save_checkpoint`."""
    state = torch.load(path, map_location=device, weights_only=True)
    ledger = Ledger(
        skips=tuple(Skip(*skip) for skip in state.pop("skips")),
        targets=tuple(state.pop("targets")),
        spike_bytes=state.pop("spike_bytes"),
    )
    state["position"] = Position(*state["position"])
    state["guard"] = GuardState(*state["guard"])
    return Checkpoint(Snapshot(**state), ledger)
