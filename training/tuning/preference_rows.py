"""Preferences in the layout of a model's family: learnt, watched, or left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fimble.errors import ConfigError, SentinelInTextError
from fimble.preferences import Label, Maker, Pair, Place, Split, read_examples
from training.tuning.encoding import Encoded
from training.tuning.preference_recipe import Objective
from training.tuning.watch import WatchedPair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from training.tuning.parent import ParentModel
    from training.tuning.preference_recipe import PreferenceRecipe

_FOLDERS = {Objective.DPO: "pairs", Objective.KTO: "labels", Objective.GRPO: "places"}
_KINDS: dict[Objective, type[Any]] = {
    Objective.DPO: Pair,
    Objective.KTO: Label,
    Objective.GRPO: Place,
}


class Row(NamedTuple):
    """One example in the layout of the model's family."""

    prompt: str
    prompt_ids: list[int]
    texts: tuple[str, ...]
    """Chosen and rejected, or the one text of a label, or the project's code at a place."""
    label: bool
    place_id: str = ""
    """Of a place, whose texts the model itself writes."""

    def encoded(self, parent: ParentModel, number: int) -> Encoded:
        """Return one of its texts behind the prompt, with its end token."""
        ids = [*self.prompt_ids, *parent.encoder.text(self.texts[number]), parent.encoder.end_id]
        return Encoded(ids, len(self.prompt_ids), len(self.prompt_ids))

    def columns(self) -> dict[str, object]:
        """Return the columns that trl reads."""
        if self.place_id:
            return {"prompt": self.prompt, "place_id": self.place_id}
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


def both_sides(recipe: PreferenceRecipe, parent: ParentModel) -> tuple[Rows, Rows]:
    """Return what is learnt, and what is watched meanwhile.

    Raises:
        ConfigError: One of them is empty, or too small for a step.
        InputError: The preferences cannot be read.
    """
    seen = read_rows(recipe, parent, Split.TRAIN)
    held_out = read_rows(recipe, parent, Split.HELD_OUT)
    if not (seen.rows and held_out.rows):
        raise ConfigError(
            f"{recipe.preferences} gives {len(seen.rows)} examples to train on and "
            f"{len(held_out.rows)} held-out ones; both must be there"
        )
    if recipe.objective is Objective.GRPO:
        needed = recipe.learning.rows // recipe.reward.per_prompt
        if len(seen.rows) < needed:
            raise ConfigError(
                f"{recipe.preferences} gives {len(seen.rows)} places to train on; a step of "
                f"learning.rows / reward.per_prompt takes {needed}"
            )
    return seen, held_out


def preference_paths(recipe: PreferenceRecipe, split: Split) -> list[Path]:
    """Return the files of one side of the preferences, the newest first."""
    folders = (recipe.preferences, *recipe.earlier_preferences)
    return [folder / _FOLDERS[recipe.objective] / f"{split}.jsonl" for folder in folders]


def read_rows(recipe: PreferenceRecipe, parent: ParentModel, split: Split) -> Rows:
    """Return the examples of one side that are sure enough and fit the model.

    Raises:
        InputError: They cannot be read.
    """
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
        is_wanted = not isinstance(example, Label) or example.label
        place_id = example.place_id if isinstance(example, Place) else ""
        row = Row(prompt, encoder.parts(parts), texts, is_wanted, place_id)
        if _num_tokens(row, parent, recipe) > recipe.model.max_tokens:
            num_too_long += 1
            continue
        rows.append(row)
    return Rows(rows, num_unsure, num_too_long, num_sentinels)


def _num_tokens(row: Row, parent: ParentModel, recipe: PreferenceRecipe) -> int:
    """Return the length of an example, with the longest text that may be written at a place."""
    longest = max(len(row.encoded(parent, number).ids) for number in range(len(row.texts)))
    written = len(row.prompt_ids) + recipe.reward.max_new_tokens
    return max(longest, written) if row.place_id else longest


def _read(recipe: PreferenceRecipe, split: Split) -> Iterator[Pair | Label | Place]:
    """Yield the examples of all folders; of one suggestion, what the newest folder says.

    Folders of several turns hold the same sessions where their days overlap.
    """
    kind = _KINDS[recipe.objective]
    known: set[tuple[str, ...]] = set()
    for path in preference_paths(recipe, split):
        found = [each for each in read_examples(kind, path) if _identity(each) not in known]
        known.update(map(_identity, found))
        yield from found


def _identity(example: Pair | Label | Place) -> tuple[str, ...]:
    """Return what an example is about: a user's suggestion, or a prompt with its texts."""
    if example.origin.maker is Maker.USER:
        return example.origin.owner, example.origin.example_id
    return example.origin.owner, example.asked.prompt, *_texts(example)


def _texts(example: Pair | Label | Place) -> tuple[str, ...]:
    match example:
        case Pair():
            return example.chosen, example.rejected
        case Label():
            return (example.completion,)
        case Place():
            return (example.truth,)


def watched(rows: Sequence[Row], parent: ParentModel, count: int) -> list[WatchedPair]:
    """Return what is watched of some held-out examples: pairs, or texts that are wanted."""
    chosen = [row for row in rows if row.label][:count]
    return [
        WatchedPair(row.encoded(parent, 0), row.encoded(parent, 1) if len(row.texts) > 1 else None)
        for row in chosen
    ]


def mean_tokens(rows: Sequence[Row], parent: ParentModel) -> dict[str, float]:
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
