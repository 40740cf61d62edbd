"""Supervised tuning with trl: middles only, a share of replay, examples packed with masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from fimble.clock import SystemClock
from fimble.errors import ConfigError
from fimble.preferences import Split
from training.tuning.data import card_digest, examples_path
from training.tuning.interpolation import draw_back
from training.tuning.outcome import (
    begin,
    recipe_digest,
    save_model,
    write_origin,
    write_record,
)
from training.tuning.parent import find_parent, lora_config
from training.tuning.recipe import Method
from training.tuning.record import read_examples
from training.tuning.rows import RowCollator, mixture, packed_rows
from training.tuning.scores import held_out_cases, plain_texts, summary
from training.tuning.speed import SpeedMeter
from training.tuning.trainer import (
    JsonLog,
    last_checkpoint,
    measured,
    silence,
    trainer_settings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.tuning.parent import ParentModel
    from training.tuning.recipe import SftRecipe
    from training.tuning.rows import Mixture
    from training.tuning.scores import Case


def tune(recipe: SftRecipe, out: Path) -> Path:
    """Tune a model on instruction data, and return its Hugging Face folder.

    A run that was stopped goes on from its last checkpoint; a finished one is left alone.

    Raises:
        ConfigError: The recipe does not fit the data, or `out` holds another run.
        ModelFolderError: The model cannot be loaded.
    """
    data_sha256 = card_digest(recipe.data)
    parent = find_parent(recipe.model, out / "parent")
    others = [card_digest(recipe.watched_data)] if recipe.watched_data else []
    digest = recipe_digest(recipe, data_sha256, *others, parent.digest)
    if begin(out, digest):
        return out / "model"
    cases = _held_out(recipe.data, recipe, parent)
    watched = _watched(recipe, parent, cases)
    before = measured(parent.folder, cases, parent.encoder)
    seen = mixture(
        read_examples(examples_path(recipe.data, Split.TRAIN)),
        parent.encoder,
        recipe=recipe,
    )
    if not seen.encoded:
        raise ConfigError(f"no example of {recipe.data} fits model.max_tokens")
    learnt = _learn(recipe, parent, seen, out)
    if watched:
        rise = recipe.max_bits_per_byte_rise
        learnt["kept_share"] = draw_back(parent.folder, out, watched, parent.encoder, max_rise=rise)
    after = measured(out / "model", cases, parent.encoder)
    write_origin(
        out / "model",
        parent,
        recipe_sha256=digest,
        data_card_sha256=data_sha256,
        scores=summary(after),
    )
    write_record(
        out,
        recipe,
        {
            "kind": "sft",
            "recipe_sha256": digest,
            "parent": parent.digest,
            "data_card_sha256": data_sha256,
            **learnt,
            "num_cases": len(cases),
            "before": summary(before),
            "after": summary(after),
        },
    )
    return out / "model"


def _held_out(data: Path, recipe: SftRecipe, parent: ParentModel) -> list[Case]:
    return held_out_cases(
        read_examples(examples_path(data, Split.HELD_OUT)),
        parent.encoder,
        per_task=recipe.held_out_cases,
        max_tokens=recipe.model.max_tokens,
    )


def _watched(recipe: SftRecipe, parent: ParentModel, cases: Sequence[Case]) -> list[Case]:
    """Return the texts that must not become dearer; none where there is no limit."""
    if not recipe.max_bits_per_byte_rise:
        return []
    if recipe.watched_data is None:
        return plain_texts(cases, recipe.data)
    return plain_texts(_held_out(recipe.watched_data, recipe, parent), recipe.watched_data)


def _learn(recipe: SftRecipe, parent: ParentModel, seen: Mixture, out: Path) -> dict[str, object]:
    """Train, write the model, and return what was seen."""
    rows = packed_rows(seen.encoded, recipe.model.max_tokens)
    num_tokens = sum(len(row["input_ids"]) for row in rows)
    meter = SpeedMeter(SystemClock(), num_tokens)
    settings: dict[str, Any] = trainer_settings(recipe.learning, out, seed=recipe.seed)
    trainer = SFTTrainer(
        model=parent.load(recipe.method),
        args=SFTConfig(
            **settings,
            max_length=None,  # rows are whole examples already, none is cut
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_list(rows),
        data_collator=RowCollator(parent.encoder.pad_id),
        processing_class=parent.tokenizer(),
        peft_config=None if recipe.method is Method.FULL else lora_config(recipe.adapter),
        callbacks=[JsonLog(out), meter],
    )
    silence(trainer)
    result = trainer.train(resume_from_checkpoint=last_checkpoint(out))
    # Before models are loaded anew, and adapters become part of theirs.
    figures, trained_share = meter.figures(), _trained_share(trainer.model)
    save_model(trainer.model, parent, recipe.method, out)
    return {
        "num_task_examples": seen.num_tasks,
        "num_replayed": seen.num_replayed,
        "num_too_long": seen.num_too_long,
        "num_rows": len(rows),
        "padding_share": round(1 - num_tokens / (len(rows) * recipe.model.max_tokens), 4),
        "num_steps": result.global_step,
        "training_loss": round(result.training_loss, 4),
        "training_s": round(result.metrics["train_runtime"], 1),
        **figures,
        "trained_share": round(trained_share, 6),
    }


def _trained_share(model: Any) -> float:  # noqa: ANN401 - a model of any family
    sizes = [(each.numel(), each.requires_grad) for each in model.parameters()]
    return sum(size for size, learns in sizes if learns) / sum(size for size, _ in sizes)
