"""Runs that continue each other: the weights of one, a schedule and data of the next.

A stable phase today, another tomorrow, a decay on the best data the day after: each is a run of its
own, in a folder of its own, and reads on where the one before ended, so that no document comes
again before all have come.

A released model does as well, ours or a Hugging Face folder: its weights, as they are there. It
does not say what it has read, so give the new run another seed than the model's own run had.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

import torch

from fimble.errors import ConfigError, InputError
from fimble.files import sha256_of
from fimble.manifest import MANIFEST_NAME
from training.compact import is_compact, read_compact
from training.export.engine_model import origin_of, read_origin
from training.export.quantise import as_floats
from training.export.weights import CONFIG_NAME, load_weights
from training.guard import GuardState
from training.progress import (
    CHECKPOINT_NAME,
    Checkpoint,
    Ledger,
    Position,
    Snapshot,
    load_checkpoint,
)
from training.run_record import RUN_NAME, Parent, RunRecord, read_record

if TYPE_CHECKING:
    from pathlib import Path

    from training.export.weights import Weights
    from training.progress import Skip
    from training.recipe import PretrainRecipe, StartConfig


class Start(NamedTuple):
    """What a run begins with."""

    checkpoint: Checkpoint
    parent: Parent
    """The run or model that it comes from, for the record of the new one."""
    record: RunRecord | None = None
    """Of that run; None of a released model, which does not say what it has read."""

    def position(self, record: RunRecord) -> Position:
        """Return where a new run begins to read.

        In the same data, drawn alike, it reads on. In the same corpus drawn otherwise it begins
        the next epoch, so that the draws are new. In another corpus, and after a released model, it
        begins with the first.

        Args:
            record: Of the new run.
        """
        if self.record is None:
            return Position()
        behind = self.checkpoint.snapshot.position
        if record.data_sha256 == self.record.data_sha256:
            return Position(epoch=behind.epoch, row=behind.row)
        is_same_corpus = record.corpus_sha256 == self.record.corpus_sha256
        return Position(epoch=behind.epoch + 1 if is_same_corpus else 0)

    def skips(self, record: RunRecord) -> tuple[Skip, ...]:
        """Return the rows that a new run leaves out, because the run before had to."""
        is_same_data = self.record is not None and record.data_sha256 == self.record.data_sha256
        return self.checkpoint.ledger.skips if is_same_data else ()


def read_start(start: StartConfig, recipe: PretrainRecipe, device: torch.device) -> Start:
    """Return what the folder of `[start]` holds.

    Args:
        start: From the recipe.
        recipe: The new run's.
        device: Where the weights go.

    Raises:
        ConfigError: The folder holds a model of another shape or vocabulary.
        InputError: It holds neither a run nor a model.
        ModelFolderError: The model in it is damaged.
    """
    if not (start.run / RUN_NAME).is_file():
        if any((start.run / name).is_file() for name in (MANIFEST_NAME, CONFIG_NAME)):
            return _released(start, recipe, device)
        raise InputError(
            f"start.run is {start.run}; it holds neither {RUN_NAME} (a run of `fimble train`) nor "
            f"{MANIFEST_NAME} (a model folder of ours) nor {CONFIG_NAME} (a Hugging Face folder)"
        )
    record = read_record(start.run)
    _check_fits(start, record.typed_recipe, recipe)
    _check_vocabulary(start, record.tokenizer_sha256, recipe)
    checkpoint = _read(start.run, device)
    if not start.optimiser:
        snapshot = checkpoint.snapshot._replace(optimisers={})
        checkpoint = checkpoint._replace(snapshot=snapshot)
    return Start(checkpoint, _parent(record, checkpoint.snapshot.position), record)


def _parent(record: RunRecord, position: Position) -> Parent:
    recipe = record.typed_recipe
    before = record.parent.num_tokens if record.parent else 0
    trained = position.step * recipe.batch.rows * recipe.model.context_tokens
    return Parent(
        name=recipe.name,
        recipe_sha256=record.recipe_sha256,
        step=position.step,
        num_tokens=before + trained,
    )


def _released(start: StartConfig, recipe: PretrainRecipe, device: torch.device) -> Start:
    """Return the weights of a model folder of ours or of a Hugging Face folder."""
    weights = load_weights(start.run)
    _check_shape(start, weights, recipe)
    _check_vocabulary(start, sha256_of(weights.tokenizer), recipe)
    tensors = {
        name: torch.tensor(as_floats(tensor), device=device)
        for name, tensor in weights.tensors.items()
    }
    snapshot = Snapshot(Position(), tensors, {}, GuardState(), 0)
    manifest = weights.manifest
    origin = origin_of(manifest) if manifest else read_origin(start.run)
    name = manifest.name if manifest else start.run.name
    parent = Parent(name=name, recipe_sha256=origin.recipe_sha256, step=0, num_tokens=0)
    return Start(Checkpoint(snapshot, Ledger()), parent)


def _check_shape(start: StartConfig, weights: Weights, recipe: PretrainRecipe) -> None:
    """Refuse a released model of another shape; the names are those of a recipe."""
    shape, model = weights.architecture, recipe.model
    known = asdict(shape) | {"context_tokens": weights.context_tokens}
    head_dim = model.hidden_size // model.num_attention_heads
    wanted = asdict(model) | {"tie_word_embeddings": True, "head_dim": head_dim}
    for name, value in wanted.items():
        if known[name] != value:
            raise ConfigError(
                f"start.run is {start.run}, a model whose {name} is {known[name]}; the recipe's is "
                f"{value}"
            )


def _check_vocabulary(start: StartConfig, sha256: str, recipe: PretrainRecipe) -> None:
    if sha256_of(recipe.tokenizer) != sha256:
        raise ConfigError(
            f"start.run is {start.run}, trained with another vocabulary than {recipe.tokenizer}"
        )


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
