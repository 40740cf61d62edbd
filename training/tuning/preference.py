"""Preference tuning with trl: DPO on pairs, KTO on labels, GRPO on what tests say; all watched."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from fimble.errors import ConfigError, InputError
from fimble.files import sha256_of
from fimble.preferences import Split
from training.tuning.data import card_digest, examples_path
from training.tuning.outcome import begin, recipe_digest, save_model, write_origin, write_record
from training.tuning.parent import ParentModel, find_parent, lora_config
from training.tuning.preference_recipe import Objective
from training.tuning.preference_rows import (
    Rows,
    both_sides,
    mean_tokens,
    preference_paths,
    watched,
)
from training.tuning.recipe import Method
from training.tuning.record import read_examples
from training.tuning.scores import held_out_cases, plain_texts, summary
from training.tuning.trainer import JsonLog, measured, silence, trainer_settings
from training.tuning.verdicts import Verdicts
from training.tuning.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from training.tuning.preference_recipe import PreferenceRecipe
    from training.tuning.scores import Case


class _Run(NamedTuple):
    """What a run has at hand."""

    recipe: PreferenceRecipe
    parent: ParentModel
    seen: Rows
    held_out: Rows
    cases: list[Case]
    """Held-out texts of the instruction data."""
    verdicts: Verdicts | None
    """Of GRPO alone."""
    out: Path


def prefer(recipe: PreferenceRecipe, out: Path) -> Path:
    """Tune a model on preferences, and return its Hugging Face folder.

    Raises:
        ConfigError: The recipe does not fit the preferences, or `out` holds another run.
        InputError: The preferences cannot be read, or the project that judges has changed.
        ModelFolderError: The model cannot be loaded.
        JudgeFailedError: Whoever runs the project's tests has ended.
    """
    if recipe.objective is Objective.KTO and recipe.learning.micro_rows < 2:
        raise ConfigError("learning.micro_rows is 1; KTO compares texts of one pass, so 2 or more")
    data_sha256 = card_digest(recipe.data)
    parent = find_parent(recipe.model, out / "parent")
    preferences = _preference_digests(recipe)
    seen, held_out = both_sides(recipe, parent)
    digest = recipe_digest(recipe, data_sha256, *preferences, parent.digest)
    if begin(out, digest):
        return out / "model"
    cases = held_out_cases(
        read_examples(examples_path(recipe.data, Split.HELD_OUT)),
        parent.encoder,
        per_task=recipe.held_out_cases,
        max_tokens=recipe.model.max_tokens,
    )
    with ExitStack() as stack:
        verdicts = None
        if recipe.objective is Objective.GRPO:
            verdicts = stack.enter_context(Verdicts(recipe.preferences, out))
        run = _Run(recipe, parent, seen, held_out, cases, verdicts, out)
        before = _scores(run, parent.folder)
        learnt = _learn(run)
        after = _scores(run, out / "model")
        if verdicts is not None:
            learnt |= {"num_judged": verdicts.num_asked, "num_run": verdicts.num_run}
    write_origin(
        out / "model",
        parent,
        recipe_sha256=digest,
        data_card_sha256=data_sha256,
        scores=after,
    )
    write_record(
        out,
        recipe,
        {
            "kind": recipe.objective.value,
            "recipe_sha256": digest,
            "parent": parent.digest,
            "data_card_sha256": data_sha256,
            "preferences_sha256": preferences[0],
            "earlier_preferences_sha256": preferences[1:],
            **learnt,
            "before": before,
            "after": after,
        },
    )
    return out / "model"


def _preference_digests(recipe: PreferenceRecipe) -> list[str]:
    """Return a SHA-256 of each folder, the newest first.

    Raises:
        InputError: A file is not there.
    """
    paths = preference_paths(recipe, Split.TRAIN)
    if recipe.objective is Objective.GRPO:  # the manifest says what the project was, besides
        paths = [recipe.preferences / "manifest.json"]
    if missing := [path for path in paths if not path.is_file()]:
        raise InputError(f"cannot read examples from {missing[0]}: there is no such file")
    return [sha256_of(path) for path in paths]


def _scores(run: _Run, folder: Path) -> dict[str, float]:
    """Return what a model scores on held-out text, and at held-out places where tests judge."""
    encoder = run.parent.encoder
    scores = summary(measured(folder, run.cases, encoder))
    if run.verdicts is not None:
        from training.tuning.reward import tests_passed

        config = run.recipe.reward
        scores["tests_passed"] = tests_passed(
            folder, run.held_out.rows, encoder, config, run.verdicts
        )
    return scores


def _learn(run: _Run) -> dict[str, object]:
    """Train, write the model, and return what was seen and watched."""
    recipe, parent, seen, out = run.recipe, run.parent, run.seen, run.out
    log = JsonLog(out)
    watch = Watch(
        watched(run.held_out.rows, parent, recipe.limits.num_pairs),
        plain_texts(run.cases, recipe.data)[: recipe.limits.num_texts],
        parent.encoder,
        recipe.limits,
        log,
    )
    shared: dict[str, Any] = {
        "model": parent.load(recipe.method),
        "train_dataset": Dataset.from_list([row.columns() for row in seen.rows]),
        "processing_class": parent.tokenizer(),
        "peft_config": None if recipe.method is Method.FULL else lora_config(recipe.adapter),
        "callbacks": [log, watch],
    }
    trainer = _trainer(run, trainer_settings(recipe.learning, out, seed=recipe.seed), shared)
    silence(trainer)
    result = trainer.train()
    save_model(trainer.model, parent, recipe.method, out)
    return {
        "num_examples": len(seen.rows),
        "num_unsure": seen.num_unsure,
        "num_too_long": seen.num_too_long,
        "num_sentinels": seen.num_sentinels,
        "mean_tokens": mean_tokens(seen.rows, parent),
        "num_steps": result.global_step,
        "kept_step": watch.kept_step,
        "stopped_because": watch.reason,
        "readings": [asdict(reading) for reading in watch.readings],
    }


def _trainer(run: _Run, settings: dict[str, Any], shared: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return the trainer of a recipe's objective."""
    recipe = run.recipe
    if run.verdicts is not None:
        from training.tuning.reward import grpo_trainer  # trl takes seconds to bring it

        return grpo_trainer(recipe, settings, shared, run.parent.encoder, run.verdicts)
    # Examples that are too long were left out; trl would cut what is to be learnt.
    settings |= {"max_length": None, "precompute_ref_log_probs": True}
    if recipe.objective is Objective.DPO:
        return DPOTrainer(args=DPOConfig(**settings, **_dpo_loss(recipe)), **shared)
    return KTOTrainer(args=KTOConfig(**settings, beta=recipe.beta), **shared)


def _dpo_loss(recipe: PreferenceRecipe) -> dict[str, Any]:
    """Return the loss of a recipe: the plain likelihood of chosen texts keeps them likely."""
    main = "sigmoid_norm" if recipe.length_normalised else "sigmoid"
    if not recipe.sft_weight:
        return {"loss_type": [main], "beta": recipe.beta}
    return {
        "loss_type": [main, "sft"],
        "loss_weights": [1.0, recipe.sft_weight],
        "beta": recipe.beta,
    }
