"""Measurements on held-out projects, comparable across vocabularies and cheap enough to repeat.

Bits per byte of plain text, and infilling by one forward pass: greedy decoding gives exactly the
true middle if and only if every token of it is the most probable one after the true tokens before
it, so exact match needs no generation.

Shapes: B = rows, T = tokens of a row.
"""

from __future__ import annotations

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
    Document,
    document_rng,
    encode_parts,
    flat,
    load_tokenizer,
)
from training.examples.chunks import chunks
from training.examples.shards import document_at, open_documents
from training.examples.spans import line_span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tokenizers import Tokenizer
    from torch import nn

    from training.recipe import ValidationConfig

CHUNK_BYTES = 4000
_SEED = 20_260_101
"""Seed of the cases: the same for every run, so that runs compare."""


class Row(NamedTuple):
    """One measured text."""

    group: str
    """`plain`, `line/spm`, `line/psm`, `block/spm`."""
    language: str
    ids: list[int]
    start: int
    """First token that counts as a target."""
    num_bytes: int


def validation_rows(
    documents: Path, tokenizer_path: Path, config: ValidationConfig, *, context_tokens: int
) -> list[Row]:
    """Return the texts and cases to measure; the same for equal arguments."""
    table = open_documents(documents)
    tokenizer = load_tokenizer(tokenizer_path)
    order = document_rng(_SEED, 0, -1).permutation(table.num_rows)
    text_bytes: dict[str, int] = defaultdict(int)
    cases: dict[str, int] = defaultdict(int)
    rows: list[Row] = []
    for doc_id in order:
        language = table["language"][int(doc_id)].as_py()
        wants_text = text_bytes[language] < config.bytes_per_language
        wants_case = cases[language] < config.cases_per_language
        if not (wants_text or wants_case):
            continue
        document = document_at(table, int(doc_id))
        found = []
        if wants_text:
            found += list(_plain_rows(document, tokenizer))
            text_bytes[language] += sum(row.num_bytes for row in found)
        if wants_case and (infill := list(_infill_rows(document, tokenizer))):
            found += infill
            cases[language] += 1
        rows += [row for row in found if len(row.ids) <= context_tokens]
    return rows


def _plain_rows(document: Document, tokenizer: Tokenizer) -> Iterator[Row]:
    rng = document_rng(_SEED, 1, document.doc_id)
    header = flat(encode_parts(document_header(path=document.path), tokenizer))
    for chunk in list(chunks(document.text, (CHUNK_BYTES,), rng))[:4]:
        ids = tokenizer.encode(chunk, add_special_tokens=False).ids
        yield Row("plain", document.language, [*header, *ids], len(header), len(chunk.encode()))


def _infill_rows(document: Document, tokenizer: Tokenizer) -> Iterator[Row]:
    """Yield a single-line case in both orders and a multi-line case, as the server would ask."""
    rng = document_rng(_SEED, 2, document.doc_id)
    wanted = {"line": False, "block": True}
    for _ in range(40):
        span = line_span(document.text, rng)
        middle = document.text[span.start : span.end]
        name = next((n for n, multi in wanted.items() if multi == ("\n" in middle)), None)
        if name is None or len(middle.strip()) < 3:
            continue
        del wanted[name]
        around = window(document.text[: span.start], document.text[span.end :], WindowBudget())
        orders = (FimOrder.SPM, FimOrder.PSM) if name == "line" else (FimOrder.SPM,)
        for order in orders:
            parts = infill_prompt(
                prefix=around.prefix, suffix=around.suffix, order=order, path=document.path
            )
            prompt = flat(encode_parts(parts, tokenizer))
            ids = [*prompt, *tokenizer.encode(middle, add_special_tokens=False).ids, END_ID]
            yield Row(f"{name}/{order}", document.language, ids, len(prompt), len(middle.encode()))
        if not wanted:
            return


@torch.no_grad()
def measure(
    model: nn.Module, rows: list[Row], *, vocab_newline_ids: set[int], batch_tokens: int = 65_536
) -> dict[str, float]:
    """Return the scores of a model on `rows`.

    `bits_per_byte/LANGUAGE` on plain text; per case group and language `exact_match/...`
    (every token of the middle is the most probable one, and after the last one the model ends, or
    in a single-line case starts a new line, where the server cuts), `stop_accuracy/...` (the end
    token is the most probable one at the end); the mean over languages under `.../mean`.
    """
    device = next(model.parameters()).device
    newline = torch.tensor(sorted(vocab_newline_ids), device=device)
    scores: dict[str, list[float]] = defaultdict(list)
    nll: dict[str, float] = defaultdict(float)
    num_bytes: dict[str, int] = defaultdict(int)
    was_training = model.training
    model.eval()
    for batch in _batches(rows, batch_tokens):
        ids_BT = _padded(batch).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits_BTV = model(input_ids=ids_BT).logits[:, :-1]
        targets_BT = ids_BT[:, 1:]
        for index, row in enumerate(batch):
            where = slice(row.start - 1 if row.start else 0, len(row.ids) - 1)
            logits_NV = logits_BTV[index, where].float()
            targets_N = targets_BT[index, where]
            if row.group == "plain":
                nll[row.language] += float(F.cross_entropy(logits_NV, targets_N, reduction="sum"))
                num_bytes[row.language] += row.num_bytes
                continue
            best_N = logits_NV.argmax(-1)
            is_body_right = bool((best_N[:-1] == targets_N[:-1]).all())
            ends = int(best_N[-1]) == END_ID
            ends_line = row.group.startswith("line") and bool(torch.isin(best_N[-1], newline))
            scores[f"exact_match/{row.group}/{row.language}"].append(
                float(is_body_right and (ends or ends_line))
            )
            scores[f"stop_accuracy/{row.group}/{row.language}"].append(float(ends))
    model.train(was_training)
    result = {name: float(np.mean(values)) for name, values in scores.items()}
    result |= {
        f"bits_per_byte/{language}": nll[language] / num_bytes[language] / math.log(2)
        for language in nll
    }
    return {**result, **_means(result)}


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
