"""Measurements on held-out projects, comparable across vocabularies and cheap enough to repeat.

Bits per byte of plain text, and infilling by one forward pass: greedy decoding gives exactly the
true middle if and only if every token of it is the most probable one after the true tokens before
it, so exact match needs no generation. Bits per byte of the true middle, its end token left out,
tell the same with far less noise. Every case is asked twice, with its suffix and without: what is
gained is what the model makes of the text below the cursor.

Shapes: B = rows, T = tokens of a row, V = vocabulary.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention

from fimble.context import WindowBudget, window
from fimble.fim import FimOrder, document_header, infill_prompt
from training.examples.build import (
    END_ID,
    PAD_ID,
    document_rng,
    encode_parts,
    flat,
    load_tokenizer,
)
from training.examples.chunks import chunks
from training.examples.documents import Documents
from training.examples.spans import line_span
from training.parse_rate import ParseMeter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tokenizers import Tokenizer
    from torch import nn
    from transformers import LlamaForCausalLM

    from fimble.fim import Part
    from training.examples.documents import Document
    from training.recipe import ValidationConfig

CHUNK_BYTES = 4000
_SEED = 20_260_101
"""Seed of the cases: the same for every run, so that runs compare."""


class Row(NamedTuple):
    """One measured text."""

    group: str
    """`plain`, or lines, order and suffix: `line/spm`, `line/psm/no_suffix`, `block/spm`..."""
    language: str
    ids: list[int]
    start: int
    """First token that counts as a target."""
    num_bytes: int


def validation_rows(
    documents: Path, tokenizer_path: Path, config: ValidationConfig, *, context_tokens: int
) -> list[Row]:
    """Return the texts and cases to measure; the same for equal arguments."""
    held_out = Documents(documents)
    tokenizer = load_tokenizer(tokenizer_path)
    order = document_rng(_SEED, 0, -1).permutation(len(held_out))
    text_bytes: dict[str, int] = defaultdict(int)
    cases: dict[str, int] = defaultdict(int)
    rows: list[Row] = []
    for doc_id in order:
        language = held_out.language(int(doc_id))
        wants_text = text_bytes[language] < config.bytes_per_language
        wants_case = cases[language] < config.cases_per_language
        if not (wants_text or wants_case):
            continue
        document = held_out[int(doc_id)]
        found = []
        if wants_text:
            found += list(_plain_rows(document, tokenizer))
            text_bytes[language] += sum(row.num_bytes for row in found)
        if wants_case and (infill := list(_infill_rows(document, tokenizer))):
            fits = max(len(row.ids) for row in infill) <= context_tokens
            found += infill if fits else []
            cases[language] += fits
        rows += [row for row in found if len(row.ids) <= context_tokens]
    return rows


def _plain_rows(document: Document, tokenizer: Tokenizer) -> Iterator[Row]:
    rng = document_rng(_SEED, 1, document.doc_id)
    header = flat(encode_parts(document_header(path=document.path), tokenizer))
    for chunk in list(chunks(document.text, (CHUNK_BYTES,), rng))[:4]:
        ids = tokenizer.encode(chunk, add_special_tokens=False).ids
        yield Row("plain", document.language, [*header, *ids], len(header), len(chunk.encode()))


def _infill_rows(document: Document, tokenizer: Tokenizer) -> Iterator[Row]:
    """Yield a case within a line, in both orders, and one of several lines.

    Each is asked as the server would, with its suffix and without; a place at the end of a file is
    no case.
    """
    rng = document_rng(_SEED, 2, document.doc_id)

    @functools.cache
    def encode(part: Part) -> list[int]:
        return flat(encode_parts((part,), tokenizer))

    wanted = {"line": False, "block": True}
    for _ in range(40):
        span = line_span(document.text, rng)
        middle = document.text[span.start : span.end]
        name = next((n for n, multi in wanted.items() if multi == ("\n" in middle)), None)
        if name is None or len(middle.strip()) < 3:
            continue
        around = window(document.text[: span.start], document.text[span.end :], WindowBudget())
        if not around.suffix.strip():
            continue
        del wanted[name]
        ending = [*encode(middle), END_ID]
        orders = (FimOrder.SPM, FimOrder.PSM) if name == "line" else (FimOrder.SPM,)
        for order, suffix in itertools.product(orders, (around.suffix, "")):
            parts = infill_prompt(
                prefix=around.prefix, suffix=suffix, order=order, path=document.path
            )
            prompt = flat([encode(part) for part in parts])
            group = f"{name}/{order}" if suffix else f"{name}/{order}/no_suffix"
            ids = [*prompt, *ending]
            yield Row(group, document.language, ids, len(prompt), len(middle.encode()))
        if not wanted:
            return


class Validation:
    """All measurements of a run; made once, taken often."""

    def __init__(
        self,
        documents: Path,
        tokenizer_path: Path,
        config: ValidationConfig,
        *,
        context_tokens: int,
    ) -> None:
        """Choose texts and places; the same for equal arguments.

        Args:
            documents: Held-out ones, from `write_documents`.
            tokenizer_path: `tokenizer.json`.
            config: How much to measure.
            context_tokens: Of the model.
        """
        self._rows = validation_rows(
            documents, tokenizer_path, config, context_tokens=context_tokens
        )
        self._newline_ids = newline_ids(load_tokenizer(tokenizer_path))
        self._parse_meter = ParseMeter(
            documents, tokenizer_path, config, context_tokens=context_tokens
        )

    def scores(self, model: LlamaForCausalLM) -> dict[str, float]:
        """Return what `measure` gives, and the share of files that still parse."""
        scores = measure(model, self._rows, vocab_newline_ids=self._newline_ids)
        return scores | self._parse_meter.measure(model)

    def close(self) -> None:
        """End the process that parses."""
        self._parse_meter.close()


@torch.no_grad()
def measure(
    model: nn.Module, rows: list[Row], *, vocab_newline_ids: set[int], batch_tokens: int = 16_384
) -> dict[str, float]:
    """Return the scores of a model on `rows`.

    `bits_per_byte/LANGUAGE` on plain text; per group of cases and language
    `middle_bits_per_byte/...`, `exact_match/...` (every token of the middle is the most probable
    one, and after the last one the model ends, or in a single-line case starts a new line, where
    the server cuts), `stop_accuracy/...` (the end token is the most probable one at the end); the
    mean over languages under `.../mean`.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    nll: dict[str, float] = defaultdict(float)
    num_bytes: dict[str, int] = defaultdict(int)
    was_training = model.training
    model.eval()
    for batch in _batches(rows, batch_tokens):
        for row, targets in zip(batch, _targets(model, batch), strict=True):
            is_plain = row.group == "plain"
            key = "bits_per_byte" if is_plain else f"middle_bits_per_byte/{row.group}"
            body = targets.nll if is_plain else targets.nll[:-1]
            nll[f"{key}/{row.language}"] += float(body.sum())
            num_bytes[f"{key}/{row.language}"] += row.num_bytes
            if is_plain:
                continue
            last = int(targets.best[-1])
            ends_line = row.group.startswith("line") and last in vocab_newline_ids
            is_exact = bool(targets.is_best[:-1].all()) and (last == END_ID or ends_line)
            scores[f"exact_match/{row.group}/{row.language}"].append(float(is_exact))
            scores[f"stop_accuracy/{row.group}/{row.language}"].append(float(last == END_ID))
    model.train(was_training)
    result = {name: float(np.mean(values)) for name, values in scores.items()}
    result |= {name: nll[name] / num_bytes[name] / math.log(2) for name in nll}
    return {**result, **_means(result)}


class _Targets(NamedTuple):
    """What a model says of the tokens of one row that count."""

    nll: np.ndarray
    """Negative log-likelihood of each, in nats."""
    best: np.ndarray
    """The most probable token in the place of each."""
    is_best: np.ndarray


def _targets(model: nn.Module, batch: list[Row]) -> list[_Targets]:
    """Return the counted targets of each row, by one forward pass and one transfer."""
    device = next(model.parameters()).device
    ids_BT = _padded(batch).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits_BTV = model(input_ids=ids_BT).logits[:, :-1]
    targets_BT = ids_BT[:, 1:]
    nll_BT = F.cross_entropy(
        logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), reduction="none"
    ).view_as(targets_BT)
    best_BT = logits_BTV.argmax(-1)
    nll, best = nll_BT.cpu().numpy(), best_BT.cpu().numpy()
    is_best = (best_BT == targets_BT).cpu().numpy()
    places = [slice(max(row.start, 1) - 1, len(row.ids) - 1) for row in batch]
    return [_Targets(nll[n, w], best[n, w], is_best[n, w]) for n, w in enumerate(places)]


def newline_ids(tokenizer: Tokenizer) -> set[int]:
    """Return the tokens whose text starts with a line end."""
    return {
        index
        for index in range(tokenizer.get_vocab_size())
        if tokenizer.decode([index], skip_special_tokens=True).startswith("\n")
    }


def _means(scores: dict[str, float]) -> dict[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for name, value in scores.items():
        groups[name.rpartition("/")[0]].append(value)
    return {f"{name}/mean": float(np.mean(values)) for name, values in groups.items()}


def _batches(rows: Iterable[Row], batch_tokens: int) -> Iterator[list[Row]]:
    """Yield rows of similar length together."""
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if batch and (len(batch) + 1) * len(row.ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _padded(batch: list[Row]) -> torch.Tensor:
    longest = max(len(row.ids) for row in batch)
    return torch.tensor([row.ids + [PAD_ID] * (longest - len(row.ids)) for row in batch])
