"""Which part of a chunk is the middle.

Three kinds, for three kinds of cursor: syntax nodes (what one deletes and writes anew), line ends
(what one types), and two uniform cuts (anything, and long; without the long ones infilling was not
learnt). Spans are in characters of the chunk.

Source: Bavarian et al. 2022, arXiv:2207.14255, section 3; AST-FIM, arXiv:2506.00204.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tree_sitter import Node, Parser

from fimble.languages import grammar

if TYPE_CHECKING:
    from training.recipe import SpanMix

MAX_NODE_BYTES = 700
_MAX_EXTRA_LINES = 7
_SHORT_LINE_SHARE = 0.6
"""Share of line spans that end on the cursor's own line."""


class SpanKind(StrEnum):
    """How a middle was chosen."""

    NODE = "node"
    LINE = "line"
    UNIFORM = "uniform"
    EMPTY = "empty"


class Span(NamedTuple):
    """Characters `start` to `end` of a chunk."""

    start: int
    end: int


def draw_span(
    text: str, *, language: str, mix: SpanMix, rng: np.random.Generator
) -> tuple[SpanKind, Span]:
    """Draw the kind and the place of a middle.

    Args:
        text: The chunk, not empty.
        language: Our name of its language; one without a grammar gets no node spans.
        mix: Weights of the kinds.
        rng: Source of all chance.
    """
    bounds = np.cumsum((mix.node, mix.line, mix.uniform, mix.empty))
    kind = list(SpanKind)[int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))]
    match kind:
        case SpanKind.NODE:
            span = node_span(text, language=language, rng=rng)
            return (kind, span) if span else (SpanKind.LINE, line_span(text, rng))
        case SpanKind.LINE:
            return kind, line_span(text, rng)
        case SpanKind.UNIFORM:
            ends = rng.integers(0, len(text) + 1, size=2)
            return kind, Span(int(ends.min()), int(ends.max()))
        case SpanKind.EMPTY:
            place = int(rng.integers(0, len(text) + 1))
            return kind, Span(place, place)


def line_span(text: str, rng: np.random.Generator) -> Span:
    """Draw a span from a place in a line to the end of that line or of one up to 7 lines below.

    The place is the first character that is not blank, any character, or the end of the line (then
    the middle starts with the line end and takes at least one more line).
    """
    line_start = text.rfind("\n", 0, int(rng.integers(0, len(text)))) + 1
    line_end = _line_end(text, line_start)
    line = text[line_start:line_end]
    indent = len(line) - len(line.lstrip())
    place = float(rng.random())
    extra = 0 if rng.random() < _SHORT_LINE_SHARE else int(rng.integers(1, _MAX_EXTRA_LINES + 1))
    if place < 0.4:
        start = line_start + indent
    elif place < 0.8 and indent < len(line):
        start = line_start + int(rng.integers(indent, len(line)))
    else:
        start, extra = line_end, max(extra, 1)
    end = line_end
    for _ in range(extra):
        end = _line_end(text, min(end + 1, len(text)))
    return Span(start, max(start, end))


def node_span(text: str, *, language: str, rng: np.random.Generator) -> Span | None:
    """Draw a named syntax node of at most `MAX_NODE_BYTES`, or None where there is none.

    A leaf is drawn by its place in the text, then one of its ancestors: so small and large nodes
    both come, each about as often as a cursor would stand in it.
    """
    data = text.encode()
    root = Parser(grammar(language)).parse(data).root_node
    place = int(rng.integers(0, len(data)))
    leaf = root.named_descendant_for_byte_range(place, place)
    chain = _ancestors(leaf)
    if not chain:
        return None
    node = chain[int(rng.integers(0, len(chain)))]
    start = len(data[: node.start_byte].decode(errors="ignore"))
    return Span(start, start + len(data[node.start_byte : node.end_byte].decode(errors="ignore")))


def _ancestors(leaf: Node | None) -> list[Node]:
    """Return the node and its named ancestors, those that are neither empty nor too long."""
    chain: list[Node] = []
    node = leaf
    while node is not None and node.end_byte - node.start_byte <= MAX_NODE_BYTES:
        if node.is_named and node.end_byte > node.start_byte:
            chain.append(node)
        node = node.parent
    return chain


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return end if end >= 0 else len(text)
