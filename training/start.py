"""Runs that continue each other: the weights of one, a schedule and data of the next.

A stable phase today, another tomorrow, a decay on the best data the day after: each is a run of its
own, in a folder of its own, and reads on where the one before ended, so that no document comes
again before all have come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import ConfigError
from fimble.files import sha256_of
from training.compact import is_compact, read_compact
from training.progress import CHECKPOINT_NAME, Checkpoint, Position, load_checkpoint
from training.run_record import Parent, RunRecord, read_record

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from training.progress import Skip
    from training.recipe import PretrainRecipe, StartConfig


class Start(NamedTuple):
    """What a run begins with."""

    checkpoint: Checkpoint
    record: RunRecord

    @property
    def parent(self) -> Parent:
        """The run that it comes from, for the record of the new one."""
        recipe, position = self.record.typed_recipe, self.checkpoint.snapshot.position
        before = self.record.parent.num_tokens if self.record.parent else 0
        trained = position.step * recipe.batch.rows * recipe.model.context_tokens
        return Parent(
            name=recipe.name,
            recipe_sha256=self.record.recipe_sha256,
            step=position.step,
            num_tokens=before + trained,
        )

    def position(self, record: RunRecord) -> Position:
        """Return where a new run begins to read.

        In the same data, drawn alike, it reads on. In the same corpus drawn otherwise it begins
        the next epoch, so that the draws are new. In another corpus it begins with the first.

        Args:
            record: Of the new run.
        """
        behind = self.checkpoint.snapshot.position
        if record.data_sha256 == self.record.data_sha256:
            return Position(epoch=behind.epoch, row=behind.row)
        is_same_corpus = record.corpus_sha256 == self.record.corpus_sha256
        return Position(epoch=behind.epoch + 1 if is_same_corpus else 0)

    def skips(self, record: RunRecord) -> tuple[Skip, ...]:
        """Return the rows that a new run leaves out, because the run before had to."""
        is_same_data = record.data_sha256 == self.record.data_sha256
        return self.checkpoint.ledger.skips if is_same_data else ()


def read_start(start: StartConfig, recipe: PretrainRecipe, device: torch.device) -> Start:
    """Return what the folder of `[start]` holds.

    Args:
        start: From the recipe.
        recipe: The new run's.
        device: Where the weights go.

    Raises:
        ConfigError: The folder holds no run, or one of another shape.
        InputError: Likewise.
    """
    record = read_record(start.run)
    _check_fits(start, record.typed_recipe, recipe)
    if sha256_of(recipe.tokenizer) != record.tokenizer_sha256:
        raise ConfigError(
            f"start.run is {start.run}, trained with another vocabulary than {recipe.tokenizer}"
        )
    checkpoint = _read(start.run, device)
    if not start.optimiser:
        snapshot = checkpoint.snapshot._replace(optimisers={})
        checkpoint = checkpoint._replace(snapshot=snapshot)
    return Start(checkpoint, record)


def _read(folder: Path, device: torch.device) -> Checkpoint:
    if is_compact(folder):
        return read_compact(folder, device)
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        raise ConfigError(f"start.run is {folder}; there is no {CHECKPOINT_NAME} in it")
    return load_checkpoint(path, device)


def _check_fits(start: StartConfig, before: PretrainRecipe, recipe: PretrainRecipe) -> None:
    """Refuse weights that do not fit the new run."""
    if before.model != recipe.model:
        raise ConfigError(
            f"start.run is {start.run}, a model of {before.model}; the recipe's is {recipe.model}"
        )
    kinds = before.optimiser.matrices, recipe.optimiser.matrices
    if start.optimiser and kinds[0] is not kinds[1]:
        raise ConfigError(
            f"start.run is {start.run}, trained with {kinds[0]}; the recipe says {kinds[1]}. "
            "Set start.optimiser to false, and a warm-up"
        )
