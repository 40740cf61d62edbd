"""Examples packed whole into rows, each seeing nothing but itself.

Shapes: B = rows, T = tokens of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from training.examples.pack import pack
from training.tuning.record import REPLAY, Task
from training.tuning.scores import padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.tuning.encoding import Encoded, Encoder
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
    replay_share: float,
    replay_whole: bool = True,
    max_tokens: int,
    seed: int,
) -> Mixture:
    """Return all examples of tasks, and as many replayed ones as make up their share.

    Args:
        examples: Of training.
        encoder: Of the model.
        replay_share: Of all examples, 0 up to 1; 1 leaves out the tasks.
        replay_whole: Whether all text around a replayed middle is learnt, too.
        max_tokens: Longer examples are left out, and counted.
        seed: Decides which replayed ones.
    """
    replayed = [each for each in examples if each.task in REPLAY]
    tasks = [each for each in examples if each.task not in REPLAY] if replay_share < 1 else []
    wanted = len(replayed)
    if replay_share < 1:
        wanted = min(wanted, round(len(tasks) * replay_share / (1 - replay_share)))
    order = np.random.default_rng(seed).permutation(len(replayed))
    chosen = [*tasks, *(replayed[n] for n in sorted(order[:wanted].tolist()))]
    encoded = encoder.examples(chosen)
    if not replay_whole:
        is_fim = [example.task is Task.FIM for example in chosen]
        encoded = [
            each._replace(loss_start=max(1, each.start)) if fim else each
            for each, fim in zip(encoded, is_fim, strict=True)
        ]
    fitting = [len(each.ids) <= max_tokens for each in encoded]
    return Mixture(
        [each for each, fits in zip(encoded, fitting, strict=True) if fits],
        num_tasks=sum(fitting[: len(tasks)]),
        num_replayed=sum(fitting[len(tasks) :]),
        num_too_long=len(fitting) - sum(fitting),
    )


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
