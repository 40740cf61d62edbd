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
from training.examples.chunks import NO_ROOM, Chunk, Room, chunks_with_room, halfway
from training.examples.spans import SpanKind, draw_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fimble.fim import Snippet
    from training.examples.documents import Document
    from training.examples.neighbours import Neighbours
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
    others: tuple[int, ...] = ()
    """Documents whose code stands before it."""


class _Drawn(NamedTuple):
    """The form of one chunk."""

    kind: str
    prompt: Callable[[Sequence[Snippet]], tuple[Part, ...]]
    """Gives the prompt with some code of other files."""
    middle: str
    snippets: Sequence[Snippet] = ()
    """Code of other files, the most important last."""


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
    neighbours: Neighbours | None = None,
) -> Iterator[Example]:
    """Yield the examples of one document, whole: together they hold all of its text.

    A chunk that is too dense in tokens for a row loses the least important code of other files,
    then is cut in two, and each half is drawn anew.

    Args:
        document: The file.
        config: Rates and mixes.
        tokenizer: From `load_tokenizer`.
        context_tokens: Length of a row, which no example exceeds.
        rng: From `document_rng`.
        neighbours: The other files of its project; None where no example gets code of them.
    """
    # A path that fills a row would leave no room for what it is of.
    is_short = len((document.path + document.project).encode()) <= context_tokens // 4
    origin = document if is_short else document._replace(path="")
    has_others = neighbours is not None and bool(origin.path)
    room = Room(config.snippet_rate, config.snippet_bytes) if has_others else NO_ROOM
    for chunk in chunks_with_room(document.text, config.chunk_bytes, room, rng):
        rest = [chunk]
        while rest:
            piece = rest.pop()
            drawn = _transform(piece, origin, config, rng, neighbours)
            fitted = _fitted(drawn, context_tokens, tokenizer)
            if fitted is None:
                rest += reversed(_halves(piece))
                continue
            others = neighbours.doc_ids(fitted.snippets) if neighbours else ()
            yield Example(document.doc_id, fitted.ids, drawn.kind, others)


class _Fitted(NamedTuple):
    """An example that fits a row."""

    ids: np.ndarray
    snippets: Sequence[Snippet]


def _fitted(drawn: _Drawn, context_tokens: int, tokenizer: Tokenizer) -> _Fitted | None:
    """Return an example with as much code of other files as a row holds; None if it holds none."""
    snippets = drawn.snippets
    while True:
        parts = encode_parts((*drawn.prompt(snippets), drawn.middle), tokenizer)
        ids = flat([*parts, [END_ID]])
        if len(ids) <= context_tokens:
            return _Fitted(np.array(ids, dtype=np.uint16), snippets)
        if not snippets:
            return None
        snippets = snippets[1:]


def _halves(chunk: Chunk) -> tuple[Chunk, Chunk]:
    place = halfway(chunk.text)
    second = chunk._replace(text=chunk.text[place:], start=chunk.start + place)
    return chunk._replace(text=chunk.text[:place]), second


def _transform(
    chunk: Chunk,
    document: Document,
    config: ExampleConfig,
    rng: np.random.Generator,
    neighbours: Neighbours | None,
) -> _Drawn:
    """Draw the form of one chunk: its kind, its prompt, and the middle that follows it."""
    text = chunk.text
    path = document.path if rng.random() < config.header_rate else ""
    repository = document.project if path and rng.random() < config.repository_rate else ""
    if rng.random() >= config.fim_rate:

        def header(snippets: Sequence[Snippet]) -> tuple[Part, ...]:
            return document_header(path=path, repository=repository, snippets=snippets)

        return _Drawn("plain", header, text)
    kind, span = draw_span(text, language=document.language, mix=config.spans, rng=rng)
    prefix, middle, suffix = text[: span.start], text[span.start : span.end], text[span.end :]
    before, behind = document.text[: chunk.start], document.text[chunk.start + len(text) :]
    if rng.random() < config.empty_suffix_rate:
        suffix = behind = ""
    if rng.random() < config.empty_prefix_rate and kind is not SpanKind.EMPTY:
        prefix = before = ""
    snippets: Sequence[Snippet] = ()
    if chunk.wants_snippets and neighbours is not None:
        # Where the server sends code of other files, it sends the file's own path, too.
        path = document.path
        snippets = neighbours.snippets(
            document, before + prefix, suffix + behind, config.snippet_bytes
        )
    if config.window_rate and rng.random() < config.window_rate:
        prefix, suffix = window(prefix, suffix, WindowBudget())
    order = FimOrder.SPM if rng.random() < config.spm_share else FimOrder.PSM

    def prompt(snippets: Sequence[Snippet]) -> tuple[Part, ...]:
        return infill_prompt(
            prefix=prefix,
            suffix=suffix,
            order=order,
            path=path,
            repository=repository,
            snippets=snippets,
        )

    return _Drawn(kind.value, prompt, middle, snippets)


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
