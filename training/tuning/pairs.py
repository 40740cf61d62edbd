"""Preferences without people: a model's own texts against the code that the project has.

pairs/train.jsonl, pairs/held_out.jsonl      see `fimble.preferences`
labels/train.jsonl, labels/held_out.jsonl
manifest.json                                counts of texts by fault, digests
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import TYPE_CHECKING

import torch

from fimble.errors import SentinelInTextError
from fimble.files import write_json
from fimble.preferences import (
    FORMAT_VERSION,
    KIND,
    Asked,
    Label,
    Maker,
    Origin,
    Pair,
    Split,
    Why,
    write_by_split,
)
from training.tuning.data import card_digest, examples_path
from training.tuning.faults import Judge
from training.tuning.mining import rank
from training.tuning.parent import find_parent
from training.tuning.recipe import Method
from training.tuning.record import Task, read_examples
from training.tuning.samples import sampled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.tuning.parent import ParentModel
    from training.tuning.preference_recipe import PairsRecipe
    from training.tuning.record import Example
    from training.tuning.samples import Sample

MANIFEST_NAME = "manifest.json"
_WEIGHTS = {
    Why.OVERRUN: 1.0,
    Why.STOPPED_EARLY: 1.0,
    Why.PARSE_BREAK: 1.0,
    Why.UNDEFINED_NAME: 0.75,
    Why.DIFFERS: 0.25,
}
"""How sure it is that the truth is better: another text may do as well."""


def build_pairs(recipe: PairsRecipe, out: Path) -> dict[str, object]:
    """Write a folder of preferences, and return its manifest.

    Raises:
        ModelFolderError: The model cannot be loaded.
        InputError: The folder of data is none.
    """
    data_sha256 = card_digest(recipe.data)
    parent = find_parent(recipe.model, out / "parent")
    model = parent.load(Method.FULL)
    if torch.cuda.is_available():
        model = model.to("cuda", torch.bfloat16)  # as a GPU serves it
    found = {split: _Side(split, recipe, parent) for split in Split}
    for split, side in found.items():
        examples = _asked_about(recipe, parent, split)
        for example, samples in sampled(
            model, examples, parent.encoder, recipe.sampling, seed=recipe.seed
        ):
            side.add(example, samples)
    return _write(recipe, out, found, data_sha256, parent)


def _asked_about(recipe: PairsRecipe, parent: ParentModel, split: Split) -> list[Example]:
    """Return the examples of one side that fit the model and can be sampled in time."""
    tasks = [task for task in Task if task is not Task.PLAIN]
    examples = read_examples(examples_path(recipe.data, split), tasks=tasks)
    sampling, encoder = recipe.sampling, parent.encoder
    limit = recipe.model.max_tokens - sampling.max_new_tokens
    is_train = split is Split.TRAIN
    count = sampling.max_prompts if is_train else sampling.max_held_out_prompts
    examples = [e for e in examples if e.middle.strip() and e.task is not Task.PLAIN]
    examples.sort(key=lambda e: rank(f"{recipe.seed}/{e.project}/{e.path}/{e.place}/{e.middle}"))
    fitting: list[Example] = []
    for example in examples:
        if len(fitting) == count:
            break
        if len(encoder.parts(example.prompt(encoder.fim_format))) <= limit:
            fitting.append(example)
    return fitting


class _Side:
    """What the texts of one side give."""

    def __init__(self, split: Split, recipe: PairsRecipe, parent: ParentModel) -> None:
        self._split, self._recipe, self._parent = split, recipe, parent
        self.pairs: list[Pair] = []
        self.labels: list[Label] = []
        self.whys: Counter[str] = Counter()
        """Of all texts, kept or not."""
        self.left_out: Counter[str] = Counter()

    def add(self, example: Example, samples: Sequence[Sample]) -> None:
        """Judge one example's texts, and keep those that have a fault."""
        fim_format = self._parent.encoder.fim_format
        try:
            asked = Asked.of(
                fim_format,
                prefix=example.prefix,
                suffix=example.suffix,
                path=example.path,
                snippets=example.snippets,
            )
        except SentinelInTextError:
            self.left_out["sentinel"] += 1
            return
        judge = Judge(example)
        key = f"{self._recipe.seed}/{example.project}/{example.path}/{example.place}"
        num_before = len(self.pairs)
        for number, sample in enumerate(samples):
            why = judge.judge(sample.text, has_ended=sample.has_ended)
            self.whys[why.value] += 1
            example_id = rank(f"{key}/{number}")[:16]
            if why is Why.SAME or not _is_kept(why, example_id, self._recipe.differing_rate):
                continue
            if fim_format.sentinel_in(f"{sample.text}{example.middle}"):
                self.left_out["sentinel"] += 1
                continue
            origin = self._origin(example, why, example_id)
            self.pairs.append(
                Pair(asked=asked, chosen=example.middle, rejected=sample.text, origin=origin)
            )
            self.labels.append(
                Label(asked=asked, completion=sample.text, label=False, origin=origin)
            )
        if len(self.pairs) > num_before:
            origin = self._origin(example, Why.SAME, rank(key)[:16])
            self.labels.append(
                Label(asked=asked, completion=example.middle, label=True, origin=origin)
            )

    def _origin(self, example: Example, why: Why, example_id: str) -> Origin:
        return Origin(
            weight=_WEIGHTS.get(why, 1.0),
            maker=Maker.TRUTH,
            why=why,
            split=self._split,
            owner=example.project,
            example_id=example_id,
            language=example.language,
            model=self._parent.config.path.name,
            model_digest=self._parent.digest,
        )


def _is_kept(why: Why, example_id: str, differing_rate: float) -> bool:
    return why is not Why.DIFFERS or int(example_id[:8], 16) < differing_rate * 2**32


def _write(
    recipe: PairsRecipe,
    out: Path,
    found: dict[Split, _Side],
    data_sha256: str,
    parent: ParentModel,
) -> dict[str, object]:
    sides = found.values()
    files: dict[str, object] = {
        **write_by_split(out, "pairs", [pair for side in sides for pair in side.pairs]),
        **write_by_split(out, "labels", [label for side in sides for label in side.labels]),
    }
    manifest: dict[str, object] = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "recipe": json.loads(json.dumps(dataclasses.asdict(recipe), default=str)),
        "data_card_sha256": data_sha256,
        "model_digest": parent.digest,
        "texts_by_fault": {split.value: dict(sorted(m.whys.items())) for split, m in found.items()},
        "left_out": {split.value: dict(m.left_out) for split, m in found.items()},
        "files": files,
    }
    write_json(out / MANIFEST_NAME, manifest)
    return manifest
