"""How well a model fills held-out places, case by case, so that two models can be paired.

One forward pass tells all of it, as in `training.validation`: greedy decoding gives exactly the
true middle if and only if each of its tokens is the most probable one.

Shapes: B = cases, T = tokens, V = vocabulary.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention

from fimble.errors import ConfigError
from training.tuning.encoding import AT_ONCE
from training.tuning.mining import rank
from training.tuning.record import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from training.tuning.encoding import Encoded, Encoder
    from training.tuning.record import Example

_TOKENS_AT_ONCE = 16_384
_LOGITS_AT_ONCE = 64_000_000
"""Of one pass: a quarter of a gigabyte in float32."""
_CUDA_FACTOR = 4
"""A GPU is fast with larger passes only."""


class Case(NamedTuple):
    """One held-out place, or plain text."""

    task: str
    language: str
    group: str
    """Cases of one group are alike: those of a project, or of a file."""
    ids: list[int]
    start: int
    """First token that is judged."""
    num_bytes: int
    is_line: bool
    """The middle is within a line, so a new line ends it as well."""


class CaseScore(NamedTuple):
    """What a model makes of one case."""

    task: str
    language: str
    group: str
    nats: float
    """Negative log-likelihood of the middle without its end, or of the text."""
    num_bytes: int
    is_exact: bool
    is_stopped: bool
    """The end token is the most probable one at the end."""
    is_line: bool = False
    """The middle is within a line."""


def held_out_cases(
    examples: Sequence[Example],
    encoder: Encoder,
    *,
    per_task: int,
    max_tokens: int,
    by_file: bool = False,
) -> list[Case]:
    """Return up to `per_task` cases of each task, drawn by their hashes: equal for every model.

    Args:
        examples: Held-out ones.
        encoder: Of the model.
        per_task: Most cases of one task.
        max_tokens: Longer ones are left out.
        by_file: Files are the groups, where all is one project; else projects are.
    """
    counts: Counter[Task] = Counter()
    cases: list[Case] = []
    ordered = sorted(examples, key=_draw)
    for start in range(0, len(ordered), AT_ONCE):
        batch = ordered[start : start + AT_ONCE]
        batch = [each for each in batch if each.middle and counts[each.task] < per_task]
        for example, encoded in zip(batch, encoder.examples(batch), strict=True):
            if counts[example.task] < per_task and len(encoded.ids) <= max_tokens:
                counts[example.task] += 1
                cases.append(_case(example, encoded, by_file=by_file))
    return cases


def plain_texts(cases: Sequence[Case], data: Path) -> list[Case]:
    """Return the plain texts among the held-out cases of some data.

    Raises:
        ConfigError: There are none.
    """
    texts = [case for case in cases if case.task == Task.PLAIN]
    if not texts:
        raise ConfigError(f"{data} holds no held-out plain text; raise mining.plain_rate")
    return texts


def _case(example: Example, encoded: Encoded, *, by_file: bool) -> Case:
    return Case(
        task=example.task.value,
        language=example.language,
        group=f"{example.project}/{example.path}" if by_file else example.project,
        ids=encoded.ids,
        start=max(1, encoded.start),
        num_bytes=len(example.middle.encode("utf-8", "surrogatepass")),
        is_line="\n" not in example.middle,
    )


def _draw(example: Example) -> str:
    return rank(f"{example.project}/{example.path}/{example.place}/{example.middle}")


@torch.no_grad()
def score(model: nn.Module, cases: Sequence[Case], encoder: Encoder) -> list[CaseScore]:
    """Return the score of each case, in their order."""
    newlines = encoder.newline_ids()
    was_training = model.training
    model.eval()
    scores: dict[int, CaseScore] = {}
    for numbers in _batches(cases, model):
        batch = [cases[n] for n in numbers]
        first = _first(batch)
        nll_BT, best_BT, is_best_BT = _judged(model, batch, first, encoder.pad_id)
        for row, (number, case) in enumerate(zip(numbers, batch, strict=True)):
            where = slice(case.start - first, len(case.ids) - first)
            nll, best = nll_BT[row, where], best_BT[row, where]
            is_plain = case.task == Task.PLAIN
            last = int(best[-1])
            ends = last == encoder.end_id or (case.is_line and last in newlines)
            scores[number] = CaseScore(
                task=case.task,
                language=case.language,
                group=case.group,
                nats=float(nll.sum() if is_plain else nll[:-1].sum()),
                num_bytes=case.num_bytes,
                is_exact=not is_plain and ends and bool(is_best_BT[row, where][:-1].all()),
                is_stopped=not is_plain and last == encoder.end_id,
                is_line=case.is_line,
            )
    model.train(was_training)
    return [scores[number] for number in range(len(cases))]


def summary(scores: Sequence[CaseScore]) -> dict[str, float]:
    """Return the scores of a model by name, as a manifest states them.

    `exact_match/TASK`, `stop_accuracy/TASK` and `middle_bits_per_byte/TASK`, over all cases of a
    task; `bits_per_byte` of plain text; means over tasks under `.../mean`; the first two also over
    all middles within a line, `.../single_line`, and over longer ones, `.../multi_line`.
    """
    by_task: dict[str, list[CaseScore]] = defaultdict(list)
    for each in scores:
        by_task[each.task].append(each)
    plain = by_task.pop(Task.PLAIN.value, [])
    result: dict[str, float] = {"bits_per_byte": bits_per_byte(plain)} if plain else {}
    for task, of in sorted(by_task.items()):
        result[f"exact_match/{task}"] = float(np.mean([each.is_exact for each in of]))
        result[f"stop_accuracy/{task}"] = float(np.mean([each.is_stopped for each in of]))
        result[f"middle_bits_per_byte/{task}"] = bits_per_byte(of)
    for name in ("exact_match", "stop_accuracy", "middle_bits_per_byte") if by_task else ():
        result[f"{name}/mean"] = float(np.mean([result[f"{name}/{task}"] for task in by_task]))
    asked = [each for of in by_task.values() for each in of]
    for kind, is_line in (("single_line", True), ("multi_line", False)):
        if of := [each for each in asked if each.is_line is is_line]:
            result[f"exact_match/{kind}"] = float(np.mean([each.is_exact for each in of]))
            result[f"stop_accuracy/{kind}"] = float(np.mean([each.is_stopped for each in of]))
    return {name: round(value, 6) for name, value in result.items()}


def bits_per_byte(scores: Sequence[CaseScore]) -> float:
    """Return the bits that a byte of some texts costs."""
    return sum(s.nats for s in scores) / sum(s.num_bytes for s in scores) / math.log(2)


def padded(rows: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """Return (B, T) int64: rows filled up at their ends."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows])


def _judged(
    model: nn.Module, batch: Sequence[Case], first: int, pad_id: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (B, T-first) each, from token `first` on: its loss, the most probable one, if it is.

    Logits of prompts, which nobody judges, would be nearly all of the memory: they are left out.
    """
    device = next(model.parameters()).device
    ids_BT = padded([case.ids for case in batch], pad_id).to(device)
    num_kept = ids_BT.shape[1] - first + 1
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits_BTV = model(input_ids=ids_BT, logits_to_keep=num_kept).logits[:, :-1]
    targets_BT = ids_BT[:, first:]
    nll_BT = F.cross_entropy(
        logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), reduction="none"
    ).view_as(targets_BT)
    best_BT = logits_BTV.argmax(-1)
    is_best_BT = best_BT == targets_BT
    return nll_BT.cpu().numpy(), best_BT.cpu().numpy(), is_best_BT.cpu().numpy()


def _first(batch: Sequence[Case]) -> int:
    """Return the first token that is judged in any of some cases."""
    return min(case.start for case in batch)


def _batches(cases: Sequence[Case], model: nn.Module) -> Iterator[list[int]]:
    """Yield the numbers of cases of similar length together; plain texts are judged whole."""
    vocab_size = int(getattr(model, "config").vocab_size)  # noqa: B009 - modules type attributes as tensors
    factor = _CUDA_FACTOR if next(model.parameters()).device.type == "cuda" else 1
    numbers: list[int] = []
    for number in sorted(
        range(len(cases)), key=lambda n: (cases[n].task == Task.PLAIN, len(cases[n].ids))
    ):
        together = [*numbers, number]
        num_rows, longest = len(together), len(cases[number].ids)
        num_judged = longest - _first([cases[n] for n in together]) + 1
        is_too_much = (
            num_rows * longest > _TOKENS_AT_ONCE * factor
            or num_rows * num_judged * vocab_size > _LOGITS_AT_ONCE * factor
        )
        if numbers and is_too_much:
            yield numbers
            together = [number]
        numbers = together
    if numbers:
        yield numbers
