"""Examples packed whole into rows, each seeing nothing but itself.

Shapes: B = rows, T = tokens of a row.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from training.examples.pack import pack
from training.tuning.record import REPLAY, Task
from training.tuning.scores import padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.tuning.encoding import Encoded, Encoder
    from training.tuning.recipe import SftRecipe
    from training.tuning.record import Example

IGNORED = -100
"""Label of a token that is not learnt; transformers' own."""


class Mixture(NamedTuple):
    """What a run learns from."""

    encoded: list[Encoded]
    num_tasks: int
    num_replayed: int
    num_too_long: int


def mixture(
    examples: Sequence[Example],
    encoder: Encoder,
    *,
    recipe: SftRecipe,
) -> Mixture:
    """Return all examples of tasks, and as many replayed ones as make up their share.

    Where the recipe limits the steps, no more of them are drawn than fill their rows.

    Args:
        examples: Of training.
        encoder: Of the model.
        recipe: Says which, and how many; its seed decides which replayed ones.
    """
    chosen = _chosen(examples, recipe)
    learning, max_tokens = recipe.learning, recipe.model.max_tokens
    room = learning.max_steps * learning.rows * max_tokens or math.inf
    if math.isfinite(room):
        order = np.random.default_rng(recipe.seed).permutation(len(chosen))
        chosen = [chosen[n] for n in order.tolist()]
    found: list[Encoded] = []
    counts = {True: 0, False: 0}
    num_too_long = 0
    for example, encoded in zip(chosen, encoder.stream(chosen), strict=True):
        if room <= 0:
            break
        if len(encoded.ids) > max_tokens:
            num_too_long += 1
            continue
        room -= len(encoded.ids)
        counts[example.task in REPLAY] += 1
        found.append(_learnt(example, encoded, recipe))
    return Mixture(found, counts[False], counts[True], num_too_long)


def _chosen(examples: Sequence[Example], recipe: SftRecipe) -> list[Example]:
    share = recipe.replay_share
    replayed = [each for each in examples if each.task in REPLAY]
    tasks = [each for each in examples if each.task not in REPLAY] if share < 1 else []
    wanted = len(replayed)
    if share < 1:
        wanted = min(wanted, round(len(tasks) * share / (1 - share)))
    order = np.random.default_rng(recipe.seed).permutation(len(replayed))
    return [*tasks, *(replayed[n] for n in sorted(order[:wanted].tolist()))]


def _learnt(example: Example, encoded: Encoded, recipe: SftRecipe) -> Encoded:
    """Return an example with what is learnt of it."""
    if example.task is Task.FIM and not recipe.replay_whole:
        return encoded._replace(loss_start=max(1, encoded.start))
    return encoded


def packed_rows(encoded: Sequence[Encoded], max_tokens: int) -> list[dict[str, list[int]]]:
    """Return rows as columns: tokens, labels, and the place of each token within its example."""
    lengths = np.array([len(each.ids) for each in encoded], dtype=np.int64)
    rows: list[dict[str, list[int]]] = []
    for numbers in pack(lengths, max_tokens).rows:
        row: dict[str, list[int]] = {"input_ids": [], "labels": [], "position_ids": []}
        for number in numbers:
            ids, _, loss_start = encoded[number]
            row["input_ids"] += ids
            row["labels"] += [IGNORED] * loss_start + ids[loss_start:]
            row["position_ids"] += range(len(ids))
        rows.append(row)
    return rows


class RowCollator:
    """Stacks rows. Places that begin anew are what tells transformers where attention ends."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return (B, T) tokens, labels and places; padding is an example of its own."""
        longest = max(len(row["input_ids"]) for row in rows)
        places = [
            [*row["position_ids"], *range(longest - len(row["position_ids"]))] for row in rows
        ]
        return {
            "input_ids": padded([row["input_ids"] for row in rows], self._pad_id),
            "labels": padded([row["labels"] for row in rows], IGNORED),
            "position_ids": torch.tensor(places),
        }
