"""Documents to examples: FIM transform and token ids.

An example is one chunk of a document, whole: header, marks, text, end token. Its draws depend on
(seed, epoch, document) alone, so any worker count and any resume gives the same examples.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from fimble.context import WindowBudget, window
from fimble.fim import FIMBLE, SPECIAL_TOKENS, FimOrder, Mark, Part, document_header, infill_prompt
from training.examples.chunks import chunks
from training.examples.spans import SpanKind, draw_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from training.recipe import ExampleConfig

MARK_IDS: dict[Mark, int] = {mark: SPECIAL_TOKENS.index(FIMBLE.sentinel(mark)) for mark in Mark}
END_ID = MARK_IDS[Mark.END]
PAD_ID = MARK_IDS[Mark.PAD]
MIDDLE_ID = MARK_IDS[Mark.MIDDLE]


class Document(NamedTuple):
    """One file of the corpus."""

    doc_id: int
    """Place in the corpus."""
    project: str
    path: str
    language: str
    text: str


class Example(NamedTuple):
    """One chunk as token ids."""

    doc_id: int
    ids: np.ndarray
    """uint16; ends with the end token."""
    kind: str
    """`plain`, or the kind of the middle."""


def load_tokenizer(path: Path) -> Tokenizer:
    """Return a tokenizer that reads text as text, even where it spells a sentinel."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer


def document_rng(seed: int, epoch: int, doc_id: int) -> np.random.Generator:
    """Return the source of chance of one document in one epoch."""
    key = hashlib.blake2b(f"{seed}/{epoch}/{doc_id}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def examples(
    document: Document,
    *,
    config: ExampleConfig,
    tokenizer: Tokenizer,
    context_tokens: int,
    rng: np.random.Generator,
) -> Iterator[Example]:
    """Yield the examples of one document.

    Args:
        document: The file.
        config: Rates and mixes.
        tokenizer: From `load_tokenizer`.
        context_tokens: Length of a row, which no example exceeds.
        rng: From `document_rng`.
    """
    for chunk in chunks(document.text, config.chunk_bytes, rng):
        kind, parts, middle = _transform(chunk, document, config, rng)
        ids = _encode(parts, middle, tokenizer=tokenizer, limit_tokens=context_tokens)
        yield Example(document.doc_id, ids, kind)


def _transform(
    chunk: str, document: Document, config: ExampleConfig, rng: np.random.Generator
) -> tuple[str, tuple[Part, ...], str]:
    """Draw the form of one chunk: its kind, its prompt, and the middle that follows it."""
    path = document.path if rng.random() < config.header_rate else ""
    repository = document.project if path and rng.random() < config.repository_rate else ""
    if rng.random() >= config.fim_rate:
        return "plain", document_header(path=path, repository=repository), chunk
    kind, span = draw_span(chunk, language=document.language, mix=config.spans, rng=rng)
    prefix, middle, suffix = chunk[: span.start], chunk[span.start : span.end], chunk[span.end :]
    if rng.random() < config.empty_suffix_rate:
        suffix = ""
    if rng.random() < config.empty_prefix_rate and kind is not SpanKind.EMPTY:
        prefix = ""
    if config.window_rate and rng.random() < config.window_rate:
        prefix, suffix = window(prefix, suffix, WindowBudget())
    order = FimOrder.SPM if rng.random() < config.spm_share else FimOrder.PSM
    parts = infill_prompt(
        prefix=prefix, suffix=suffix, order=order, path=path, repository=repository
    )
    return kind.value, parts, middle


def encode_parts(parts: Sequence[Part], tokenizer: Tokenizer) -> list[list[int]]:
    """Return the ids of each part; a mark is one id."""
    return [
        [MARK_IDS[part]]
        if isinstance(part, Mark)
        else tokenizer.encode(part, add_special_tokens=False).ids
        for part in parts
    ]


def flat(parts: Sequence[Sequence[int]]) -> list[int]:
    """Return the ids of all parts in one list."""
    return [token for part in parts for token in part]


def _encode(
    parts: tuple[Part, ...], middle: str, *, tokenizer: Tokenizer, limit_tokens: int
) -> np.ndarray:
    """Return the ids of prompt, middle and end token, cut to the limit at the far ends.

    What is cut is the start of the prefix and the end of the suffix, never the middle; a middle
    that fills a row alone loses its end and its end token.
    """
    encoded = encode_parts(parts, tokenizer)
    tail = [*tokenizer.encode(middle, add_special_tokens=False).ids, END_ID]
    excess = sum(map(len, encoded)) + len(tail) - limit_tokens
    if excess > 0:
        excess = _trim(encoded, parts, excess)
    ids = flat(encoded) + tail
    return np.array(ids[:limit_tokens], dtype=np.uint16)


def _trim(encoded: list[list[int]], parts: tuple[Part, ...], excess: int) -> int:
    """Shorten prefix and suffix, 3:1 as llama.cpp does, and return what is still too much."""
    after = {part: n + 1 for n, part in enumerate(parts) if isinstance(part, Mark)}
    if Mark.PREFIX not in after:
        return excess
    prefix, suffix = encoded[after[Mark.PREFIX]], encoded[after[Mark.SUFFIX]]
    from_suffix = min(len(suffix), max(excess // 4, excess - len(prefix)))
    from_prefix = min(len(prefix), excess - from_suffix)
    del prefix[:from_prefix]
    del suffix[len(suffix) - from_suffix :]
    return excess - from_prefix - from_suffix
