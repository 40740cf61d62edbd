"""Whether a suggestion breaks code that was sound: a parse before it, and one with it.

A suggestion is judged only where the code around the cursor's line parses, and only by errors that
touch what it adds. What it opens and leaves open is closed for the test, so that the start of a
block or of a call is no error.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tree_sitter import Parser, Point

from fimble.blocks import closes_block
from fimble.languages import grammar
from fimble.nesting import CODE, OPENERS, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node, Tree

    from fimble.stops import Site

NEAR_CHARS = 4096
"""Text on each side of the cursor that is parsed."""
_UNINDENTED = re.compile(r"^[^\s#].*\n?", re.MULTILINE)
_NUM_BELOW = 3
"""So many unindented lines below may belong to the cursor's: a decorator's function, its brace."""
_CLOSER = {"(": ")", "[": "]", "{": "}"}


class _Lines(NamedTuple):
    """A site, cut at its line."""

    above: str
    head: str
    rest: str
    below: str


class Soundness:
    """Judges suggestions for one site; the text around it is parsed once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lines = _lines_of(site)
        self._parser: Parser | None = None
        self._around: Tree | None = None
        self._latest = "", ""
        """The latest text that was judged, and its sound part."""
        # A piece of a very long line says nothing about the whole.
        if site.language is not None and len(self._lines.head) < NEAR_CHARS:
            self._parser = Parser(grammar(site.language.name))
            data = _data(self._lines.above + self._lines.below)
            self._around = self._parser.parse(data)

    def sound_part(self, text: str) -> str:
        """Return the longest start of `text`, in whole lines, that breaks nothing; maybe empty."""
        if text != self._latest[0]:
            part = text
            while part.strip() and self.breaks(part):
                part = part[: max(part.rstrip().rfind("\n"), 0)].rstrip()
            self._latest = text, part
        return self._latest[1]

    def breaks(self, text: str) -> bool:
        """Return whether `text` at the cursor adds an error to code that had none there."""
        if self._around is None or self._around.root_node.has_error:
            return False
        head, rest = self._lines.head, self._lines.rest
        is_open = scan(head + text, self._site.language).state != CODE
        if is_open or not self._is_broken_by(text):  # a string may go on below
            return False
        if rest.strip() and self._is_broken_by(""):  # what stands behind is wrong by itself
            return False
        # The start of a call or of a block is no error: what it lacks may follow.
        closers = self._closers(head + text, rest)
        return not closers or self._is_broken_by(text + closers)

    def _is_broken_by(self, text: str) -> bool:
        assert self._parser is not None
        assert self._around is not None
        above, head, rest, below = self._lines
        added = f"{head}{text}{rest}\n"
        start, size = len(_data(above)), len(_data(added))
        row = above.count("\n")
        at = Point(row, 0)
        tree = self._around.copy()
        tree.edit(start, start, start + size, at, at, Point(row + added.count("\n"), 0))
        root = self._parser.parse(_data(above + added + below), tree).root_node
        first = start + len(_data(head))
        return any(_touches(each, first, first + len(_data(text))) for each in _errors(root))

    def _closers(self, text: str, rest: str) -> str:
        """Return what closes the brackets that `text` opens and `rest` does not close."""
        language = self._site.language
        opened: list[str] = []
        for bracket in (*scan(text, language).brackets, *scan(rest, language).brackets):
            if bracket.char in OPENERS:
                opened.append(bracket.char)
            elif opened:
                opened.pop()
        return "".join(_CLOSER[char] for char in reversed(opened))


def _lines_of(site: Site) -> _Lines:
    """Return the lines around the cursor's, from one that begins something to another one."""
    near = site.prefix[-NEAR_CHARS:]
    line = near.rfind("\n") + 1
    above = reversed(list(_UNINDENTED.finditer(near, 0, line)))
    starts = (m.start() for m in above if _begins(m.group(), site))
    rest, _, below = site.suffix[:NEAR_CHARS].partition("\n")
    ends = (m.start() for m in _UNINDENTED.finditer(below) if _begins(m.group(), site))
    start, end = next(starts, 0), next(islice(ends, _NUM_BELOW, None), len(below))
    return _Lines(near[start:line], near[line:], rest, below[:end])


def _begins(line: str, site: Site) -> bool:
    """Return whether a line that is not indented begins something new."""
    words = None if site.language is None else site.language.block_words
    goes_on = words is not None and words.goes_on.match(line) is not None
    return not goes_on and not closes_block(line, site.language)


def _touches(error: Node, first: int, end: int) -> bool:
    """Return whether an error lies in the bytes from `first` to `end`; a missing node is empty."""
    is_behind_start = error.end_byte > first or error.start_byte == error.end_byte == first
    return is_behind_start and error.start_byte <= end


def _data(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _errors(node: Node) -> Iterator[Node]:
    """Yield the errors of a tree."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each.is_error or each.is_missing:
            yield each
        if each.has_error:
            waiting += each.children
