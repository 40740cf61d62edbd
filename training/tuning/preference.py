"""Preference tuning with trl: DPO on pairs, KTO on labels, both watched."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from fimble.errors import ConfigError, SentinelInTextError
from fimble.files import sha256_of
from fimble.preferences import Label, Pair, Split, read_examples
from training.tuning.data import card_digest, examples_path
from training.tuning.encoding import Encoded
from training.tuning.outcome import begin, recipe_digest, save_model, write_origin, write_record
from training.tuning.parent import find_parent, lora_config
from training.tuning.recipe import Method, Objective
from training.tuning.record import Task
from training.tuning.record import read_examples as read_instructions
from training.tuning.scores import held_out_cases, summary
from training.tuning.trainer import JsonLog, measured, silence, trainer_settings
from training.tuning.watch import Watch, WatchedPair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from training.tuning.parent import ParentModel
    from training.tuning.recipe import PreferenceRecipe
    from training.tuning.scores import Case

_FOLDERS = {Objective.DPO: "pairs", Objective.KTO: "labels"}


class Row(NamedTuple):
    """One example in the layout of the model's family."""

    prompt: str
    prompt_ids: list[int]
    texts: tuple[str, ...]
    """Chosen and rejected, or the one text of a label."""
    label: bool

    def encoded(self, parent: ParentModel, number: int) -> Encoded:
        """Return one of its texts behind the prompt, with its end token."""
        ids = [*self.prompt_ids, *parent.encoder.text(self.texts[number]), parent.encoder.end_id]
        return Encoded(ids, len(self.prompt_ids), len(self.prompt_ids))

    def columns(self) -> dict[str, object]:
        """Return the columns that trl reads."""
        if len(self.texts) == 1:
            return {"prompt": self.prompt, "completion": self.texts[0], "label": self.label}
        return {"prompt": self.prompt, "chosen": self.texts[0], "rejected": self.texts[1]}


class Rows(NamedTuple):
    """The examples of one side."""

    rows: list[Row]
    num_unsure: int
    num_too_long: int
    num_sentinels: int
    """Left out, since trl takes texts and would obey what they spell."""


def prefer(recipe: PreferenceRecipe, out: Path) -> Path:
    """Tune a model on preferences, and return its Hugging Face folder.

    Raises:
        ConfigError: The recipe does not fit the preferences, or `out` holds another run.
        InputError: The preferences cannot be read.
        ModelFolderError: The model cannot be loaded.
    """
    if recipe.objective is Objective.KTO and recipe.learning.micro_rows < 2:
        raise ConfigError("learning.micro_rows is 1; KTO compares texts of one pass, so 2 or more")
    data_sha256 = card_digest(recipe.data)
    parent = find_parent(recipe.model, out / "parent")
    path = preferences_path(recipe, Split.TRAIN)
    seen, held_out = _both_sides(recipe, parent)
    digest = recipe_digest(recipe, data_sha256, sha256_of(path), parent.digest)
    if begin(out, digest):
        return out / "model"
    cases = held_out_cases(
        read_instructions(examples_path(recipe.data, Split.HELD_OUT)),
        parent.encoder,
        per_task=recipe.held_out_cases,
        max_tokens=recipe.model.max_tokens,
    )
    log = JsonLog(out)
    watch = Watch(
        watched(held_out.rows, parent, recipe.limits.num_pairs),
        _plain(cases, recipe),
        parent.encoder,
        recipe.limits,
        log,
    )
    before = summary(measured(parent.folder, cases, parent.encoder))
    learnt = _learn(recipe, parent, seen, watch, log, out)
    after = summary(measured(out / "model", cases, parent.encoder))
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
            "preferences_sha256": sha256_of(path),
            **learnt,
            "before": before,
            "after": after,
        },
    )
    return out / "model"


def _both_sides(recipe: PreferenceRecipe, parent: ParentModel) -> tuple[Rows, Rows]:
    """Return what is learnt, and what is watched meanwhile."""
    seen = read_rows(recipe, parent, Split.TRAIN)
    held_out = read_rows(recipe, parent, Split.HELD_OUT)
    if not (seen.rows and held_out.rows):
        raise ConfigError(
            f"{recipe.preferences} gives {len(seen.rows)} examples to train on and "
            f"{len(held_out.rows)} held-out ones; both must be there"
        )
    return seen, held_out


def preferences_path(recipe: PreferenceRecipe, split: Split) -> Path:
    """Return the file of one side of the preferences."""
    return recipe.preferences / _FOLDERS[recipe.objective] / f"{split}.jsonl"


def read_rows(recipe: PreferenceRecipe, parent: ParentModel, split: Split) -> Rows:
    """Return the examples of one side that are sure enough and fit the model."""
    rows: list[Row] = []
    num_unsure = num_too_long = num_sentinels = 0
    encoder, fim_format = parent.encoder, parent.encoder.fim_format
    for example in _read(recipe, split):
        if example.origin.weight < recipe.min_weight:
            num_unsure += 1
            continue
        texts = _texts(example)
        parts = example.asked.parts(fim_format)
        try:
            prompt = fim_format.render(parts)
        except SentinelInTextError:
            prompt = ""
        if not prompt or any(map(fim_format.sentinel_in, texts)):
            num_sentinels += 1
            continue
        is_wanted = isinstance(example, Pair) or example.label
        row = Row(prompt, encoder.parts(parts), texts, is_wanted)
        lengths = [len(row.encoded(parent, number).ids) for number in range(len(texts))]
        if max(lengths) > recipe.model.max_tokens:
            num_too_long += 1
            continue
        rows.append(row)
    return Rows(rows, num_unsure, num_too_long, num_sentinels)


def _read(recipe: PreferenceRecipe, split: Split) -> Iterator[Pair | Label]:
    path = preferences_path(recipe, split)
    if recipe.objective is Objective.DPO:
        yield from read_examples(Pair, path)
    else:
        yield from read_examples(Label, path)


def _texts(example: Pair | Label) -> tuple[str, ...]:
    if isinstance(example, Pair):
        return example.chosen, example.rejected
    return (example.completion,)


def watched(rows: Sequence[Row], parent: ParentModel, count: int) -> list[WatchedPair]:
    """Return what is watched of some held-out examples: pairs, or texts that are wanted."""
    chosen = [row for row in rows if row.label][:count]
    return [
        WatchedPair(row.encoded(parent, 0), row.encoded(parent, 1) if len(row.texts) > 1 else None)
        for row in chosen
    ]


def _plain(cases: Sequence[Case], recipe: PreferenceRecipe) -> list[Case]:
    texts = [case for case in cases if case.task == Task.PLAIN][: recipe.limits.num_texts]
    if not texts:
        raise ConfigError(f"{recipe.data} holds no held-out plain text; raise mining.plain_rate")
    return texts


def _learn(
    recipe: PreferenceRecipe,
    parent: ParentModel,
    seen: Rows,
    watch: Watch,
    log: JsonLog,
    out: Path,
) -> dict[str, object]:
    """Train, write the model, and return what was seen and watched."""
    shared: dict[str, Any] = {
        "model": parent.load(recipe.method),
        "train_dataset": Dataset.from_list([row.columns() for row in seen.rows]),
        "processing_class": parent.tokenizer(),
        "peft_config": None if recipe.method is Method.FULL else lora_config(recipe.adapter),
        "callbacks": [log, watch],
    }
    settings = trainer_settings(recipe.learning, out, seed=recipe.seed)
    # Examples that are too long were left out; trl would cut what is to be learnt.
    settings |= {"max_length": None, "precompute_ref_log_probs": True}
    trainer: DPOTrainer | KTOTrainer
    if recipe.objective is Objective.DPO:
        trainer = DPOTrainer(args=DPOConfig(**settings, **_dpo_loss(recipe)), **shared)
    else:
        trainer = KTOTrainer(args=KTOConfig(**settings, beta=recipe.beta), **shared)
    silence(trainer)
    result = trainer.train()
    save_model(trainer.model, parent, recipe.method, out)
    return {
        "num_examples": len(seen.rows),
        "num_unsure": seen.num_unsure,
        "num_too_long": seen.num_too_long,
        "num_sentinels": seen.num_sentinels,
        "mean_tokens": _mean_tokens(seen.rows, parent),
        "num_steps": result.global_step,
        "kept_step": watch.kept_step,
        "stopped_because": watch.reason,
        "readings": [asdict(reading) for reading in watch.readings],
    }


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


def _mean_tokens(rows: Sequence[Row], parent: ParentModel) -> dict[str, float]:
    """Return the mean length of texts that are wanted and that are not: a taste to be wary of."""
    wanted: list[int] = []
    refused: list[int] = []
    for row in rows:
        lengths = [len(parent.encoder.text(text)) for text in row.texts]
        (wanted if row.label else refused).append(lengths[0])
        refused += lengths[1:]
    return {
        name: round(sum(lengths) / len(lengths), 2)
        for name, lengths in (("wanted", wanted), ("refused", refused))
        if lengths
    }
