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
from training.examples.chunks import chunks, halfway
from training.examples.spans import SpanKind, draw_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from training.examples.documents import Document
    from training.recipe import ExampleConfig

MARK_IDS: dict[Mark, int] = {mark: SPECIAL_TOKENS.index(FIMBLE.sentinel(mark)) for mark in Mark}
END_ID = MARK_IDS[Mark.END]
PAD_ID = MARK_IDS[Mark.PAD]
MIDDLE_ID = MARK_IDS[Mark.MIDDLE]


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
    """Yield the examples of one document, whole: together they hold all of its text.

    A chunk that is too dense in tokens for a row is cut in two, and each half is drawn anew.

    Args:
        document: The file.
        config: Rates and mixes.
        tokenizer: From `load_tokenizer`.
        context_tokens: Length of a row, which no example exceeds.
        rng: From `document_rng`.
    """
    # A path that fills a row would leave no room for what it is of.
    is_short = len((document.path + document.project).encode()) <= context_tokens // 4
    origin = document if is_short else document._replace(path="")
    for chunk in chunks(document.text, config.chunk_bytes, rng):
        rest = [chunk]
        while rest:
            text = rest.pop()
            kind, parts, middle = _transform(text, origin, config, rng)
            encoded = [*encode_parts(parts, tokenizer), _plain_ids(middle, tokenizer), [END_ID]]
            if sum(map(len, encoded)) > context_tokens:
                place = halfway(text)
                rest += [text[place:], text[:place]]
                continue
            yield Example(document.doc_id, np.array(flat(encoded), dtype=np.uint16), kind)


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
        [MARK_IDS[part]] if isinstance(part, Mark) else _plain_ids(part, tokenizer)
        for part in parts
    ]


def _plain_ids(text: str, tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def flat(parts: Sequence[Sequence[int]]) -> list[int]:
    """Return the ids of all parts in one list."""
    return [token for part in parts for token in part]
