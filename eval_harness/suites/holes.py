"""What can be missing in a text: a line, some lines, an expression, a block.

Every hole of a kind is found first, then some are drawn by a hash of the text around them: the same
holes on every machine and in every order. Holes are in characters of the text.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.problem import Extent
from fimble.blocks import MAX_BLOCK_LINES, indent, opens_block
from fimble.languages import by_name, grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tree_sitter import Node, Parser

_MIN_CHARS, _MAX_CHARS = 4, 200
_WORD = re.compile(r"\w+")
_TRIVIAL = frozenset(
    {"begin", "break", "continue", "do", "done", "else", "end", "fi", "finally", "pass", "then"}
    | {"return", "try"}
)
_NO_EXPRESSION = re.compile(r"comment|string_content|string_start|string_end|text|escape|type$")
_BODIES = frozenset(
    {
        "block",
        "body_statement",
        "compound_statement",
        "do_group",
        "function_body",
        "statement_block",
    }
)


class Hole(NamedTuple):
    """Characters `start` to `end` of a text are missing."""

    start: int
    end: int


class Kind(NamedTuple):
    """A way to make holes."""

    name: str
    """`Problem.variant`."""
    extent: Extent
    find: Callable[[str, str, Hole], Iterator[Hole]]
    """All holes within a region of a text, given the text, its language and the region."""


def line_holes(text: str, language: str, region: Hole) -> Iterator[Hole]:
    """Yield each line that says something, from its first character to its end."""
    for start, end in _lines(text, region):
        line = text[start:end]
        first = start + len(line) - len(line.lstrip())
        if _says_something(line, language):
            yield Hole(first, first + len(line.strip()))


def lines_holes(text: str, language: str, region: Hole) -> Iterator[Hole]:
    """Yield each run of two lines or more, from its first character to the end of its last line."""
    lines = list(_lines(text, region))
    telling = [_says_something(text[start:end], language) for start, end in lines]
    for first, (start, end) in enumerate(lines):
        indent = len(text[start:end]) - len(text[start:end].lstrip())
        for last in range(first + 1, min(first + MAX_BLOCK_LINES, len(lines))):
            if telling[first] and telling[last]:
                yield Hole(start + indent, len(text[: lines[last][1]].rstrip()))


def node_holes(text: str, language: str, region: Hole) -> Iterator[Hole]:
    """Yield each expression within a line: a syntax node of several parts, but not all the line."""
    for node, hole in _nodes(text, language, region):
        piece = text[hole.start : hole.end]
        is_part = node.child_count > 1 and "\n" not in piece and node.is_named
        if not is_part or not _MIN_CHARS <= len(piece) <= _MAX_CHARS or not _WORD.search(piece):
            continue
        line_end = text.find("\n", hole.end)
        before = text[text.rfind("\n", 0, hole.start) + 1 : hole.start].strip()
        behind = text[hole.end : line_end if line_end >= 0 else len(text)].strip()
        if (before or behind.strip(";,")) and not _NO_EXPRESSION.search(node.type):
            yield hole


def block_holes(text: str, language: str, region: Hole) -> Iterator[Hole]:
    """Yield each body of a function, loop or condition, from the end of the line that opens it.

    What closes it stays: a brace or `end` on a line of its own.
    """
    for node, hole in _nodes(text, language, region):
        if node.type not in _BODIES or not node.is_named:
            continue
        start, end = hole
        if text[start : start + 1] == "{" and text[end - 1 : end] == "}":
            start, end = start + 1, end - 1
        opener_end = start + len(text[start:end]) - len(text[start:end].lstrip())
        # The body starts on a line of its own; the cursor stands at the end of the one above.
        above = text.rfind("\n", 0, opener_end)
        if above < region.start or text[above:opener_end].strip():
            continue
        start = len(text[:above].rstrip(" \t"))
        end = len(text[:end].rstrip())
        head, piece = text[text.rfind("\n", 0, start) + 1 : start], text[start:end]
        if not _opens(head, piece, language):
            continue
        behind = text[end : text.find("\n", end) if "\n" in text[end:] else len(text)]
        if (
            not behind.strip()
            and 1 <= piece.count("\n") <= MAX_BLOCK_LINES - 1
            and _WORD.search(piece)
        ):
            yield Hole(start, end)


LINE = Kind("line", Extent.LINE, line_holes)
LINES = Kind("lines", Extent.SPAN, lines_holes)
NODE = Kind("node", Extent.SPAN, node_holes)
EXPRESSION = Kind("expression", Extent.SPAN, node_holes)
BLOCK = Kind("block", Extent.BLOCK, block_holes)


def drawn(holes: Iterable[Hole], count: int, key: str) -> list[Hole]:
    """Return up to `count` different holes, drawn by a hash of `key` and their place.

    They come in the order of the text.
    """
    different = sorted(set(holes))
    different.sort(key=lambda hole: rank(f"{key}/{hole.start}-{hole.end}"))
    return sorted(different[:count])


def rank(key: str) -> str:
    """Return what draws are sorted by: it looks like chance and is the same everywhere."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _lines(text: str, region: Hole) -> Iterator[Hole]:
    """Yield start and end of each line that starts in the region, without line ends."""
    start = region.start
    while start < region.end:
        end = text.find("\n", start, region.end)
        end = region.end if end < 0 else end
        yield Hole(start, end)
        start = end + 1


def _says_something(line: str, language: str) -> bool:
    """Return whether a line is worth asking for: neither closer, keyword alone nor comment."""
    stripped = line.strip()
    row = by_name(language)
    starts = () if row is None else row.comment_starts
    words = [word for word in _WORD.findall(stripped) if word not in _TRIVIAL]
    return len("".join(words)) >= 2 and not (starts and stripped.startswith(starts))


def _nodes(text: str, language: str, region: Hole) -> Iterator[tuple[Node, Hole]]:
    """Yield the syntax nodes within a region that parsed; none where we have no grammar."""
    parser = _parser(language)
    if parser is None:
        return
    data = text.encode("utf-8", "surrogatepass")
    offsets = None if len(data) == len(text) else _char_offsets(text)
    waiting = [parser.parse(data).root_node]
    while waiting:
        node = waiting.pop()
        start, end = node.start_byte, node.end_byte
        hole = Hole(start, end) if offsets is None else Hole(offsets[start], offsets[end])
        if hole.end <= region.start or hole.start >= region.end or node.is_error:
            continue
        if region.start <= hole.start and hole.end <= region.end and not node.has_error:
            yield node, hole
        waiting += node.children


def _opens(head: str, body: str, language: str) -> bool:
    """Return whether a line opens the block below it, and by its indentation shows it."""
    first = next((line for line in body.split("\n") if line.strip()), "")
    return opens_block(head, by_name(language)) and indent(first) > indent(head)


def _char_offsets(text: str) -> list[int]:
    """Return the index of the character that each byte of the UTF-8 text belongs to."""
    offsets: list[int] = []
    for index, char in enumerate(text):
        offsets += [index] * len(char.encode("utf-8", "surrogatepass"))
    return [*offsets, len(text)]


@cache
def _parser(language: str) -> Parser | None:
    if by_name(language) is None:
        return None
    from tree_sitter import Parser

    return Parser(grammar(language))
