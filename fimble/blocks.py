"""Where a block of generated lines ends: by indentation, by its brackets, by what stands below.

`fimble.stops` decides with it. Everything here is causal: a verdict depends on the text up to
`Verdict.seen` only, so that text which arrives in pieces is cut as the whole would be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fimble.nesting import CLOSERS, OPENERS, depths, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fimble.languages import BlockWords, Language

MAX_BLOCK_LINES = 12
"""A suggestion is cut after so many lines: longer ones are rarely right, and rarely read."""
_TAB_COLUMNS = 4
_PREPROCESSED = frozenset({"c", "cpp", "csharp"})
_LABEL = re.compile(r"\s*(case\b.*|default\s*|public\s*|private\s*|protected\s*):\s*")


class BlockSite(NamedTuple):
    """The place of a block."""

    head: str
    """Text before the cursor on its line; blank where the block's lines follow one another."""
    next_line: str
    """First line below that is not blank; empty if there is none."""
    language: Language | None

    @property
    def own_depth(self) -> int:
        """Number of brackets that the head opens and does not close."""
        return depths(scan(self.head, self.language).brackets)[1]


class BlockEnd(NamedTuple):
    """Where a block ends."""

    seen: int
    """Length of the text that had to be seen to know."""
    keep: int
    """Length of the text that belongs to the block."""


class _Line(NamedTuple):
    """One line of head and text."""

    number: int
    start: int
    """Index into the text; 0 for the first."""
    text: str
    """With the head, for the first."""
    newline: int | None
    """Index of its end in the text; None while it is incomplete."""
    is_in_string: bool
    """Whether it starts within a string or a comment of several lines."""
    depth_before: int
    """Brackets that head and text have opened before this line."""
    depth_after: int

    @property
    def indent(self) -> int:
        """Width of the indentation in columns."""
        return indent(self.text)

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands on it."""
        return not self.text.strip() and not self.is_in_string

    @property
    def closes(self) -> bool:
        """Whether it starts with a closing bracket."""
        return self.text.lstrip().startswith(tuple(CLOSERS))

    @property
    def seen_at_first_char(self) -> int:
        """Length of the text with which the line's first character is known."""
        return self.start + len(self.text) - len(self.text.lstrip()) + 1


def opens_block(line: str, language: Language | None) -> bool:
    """Return whether `line` ends with what opens a block in its language."""
    stripped = line.strip()
    if stripped.endswith(tuple(OPENERS)):
        return language is None or not _is_line_comment(stripped, language)
    if language is None or _is_line_comment(stripped, language):
        return False
    match language.blocks:
        case "indent":
            return stripped.endswith(":")
        case "braces":
            return _LABEL.fullmatch(line) is not None
        case _:
            words = language.block_words
            return words is not None and words.opens.match(line) is not None


def closes_block(line: str, language: Language | None) -> bool:
    """Return whether `line` starts with what closes a block: a bracket, a word or a tag."""
    if line.lstrip().startswith(tuple(CLOSERS)):
        return True
    words = None if language is None else language.block_words
    return words is not None and words.closes.match(line) is not None


def _is_line_comment(stripped: str, language: Language) -> bool:
    return bool(language.line_comment) and stripped.startswith(language.line_comment)


def indent(line: str) -> int:
    """Return the width of a line's indentation in columns."""
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(_TAB_COLUMNS))


def end_of_block(text: str, site: BlockSite) -> BlockEnd | None:
    """Return where the block that `text` continues ends, or None while it may go on."""
    base = indent(site.head) if site.head.strip() else None
    num_blank = 0
    for line in _lines(text, site):
        if line.number >= MAX_BLOCK_LINES:
            return BlockEnd(line.start, line.start)
        if line.is_blank:
            num_blank += 1
            end = _end_at_blank(line) if num_blank == 2 and text[: line.start].strip() else None
        else:
            end = None if base is None else _end_at_line(line, site, base, num_blank)
            end = end or _end_behind_line(line, site)
            base = line.indent if base is None else base
            num_blank = 0
        if end:
            return end
    return None


def _end_at_blank(line: _Line) -> BlockEnd | None:
    return BlockEnd(line.newline + 1, line.start) if line.newline is not None else None


def _end_at_line(line: _Line, site: BlockSite, base: int, num_blank: int) -> BlockEnd | None:
    """Return the end of the block before or behind `line`, if its start decides that."""
    if not line.number or line.is_in_string:
        return None
    leaves = BlockEnd(line.seen_at_first_char, line.start)
    if line.closes and line.depth_before <= 0:
        return leaves if _is_closed_below(line.indent, site) else _end_behind_closer(line, site)
    opens = bool(site.head.strip())
    if line.indent >= base + opens:
        is_paragraph = num_blank > 0 and line.indent == 0 and not opens and not line.closes
        return leaves if is_paragraph else None
    if _may_stand_left(line, site, base):
        return None
    words = None if site.language is None else site.language.block_words
    return _end_at_word(line, site, base, words) if words else _end_at_label(line, site, base)


def _end_at_word(line: _Line, site: BlockSite, base: int, words: BlockWords) -> BlockEnd | None:
    """Return the end at a line to the left, which may be the one that closes the block.

    Of an opening line's block, what stands as far left as that line decides; where the cursor
    stands within a block, the first line further left.
    """
    start = words.start.match(line.text if line.newline is None else f"{line.text}\n")
    if start is None:
        return None
    opens = bool(site.head.strip())
    is_own = line.indent == base if opens else line.indent < base
    if is_own and opens and words.goes_on.match(line.text):
        return None
    if is_own and words.closes.match(line.text) and not _is_closed_below(line.indent, site):
        return _end_behind_closer(line, site)
    return BlockEnd(line.start + start.end(), line.start)


def _end_at_label(line: _Line, site: BlockSite, base: int) -> BlockEnd | None:
    """Return the end before a line to the left, unless it is a label such as `case 1:`.

    A label may stand no deeper than the line that opens its block.
    """
    if line.indent < base or line.depth_before <= 0 or not _is_braces(site.language):
        return BlockEnd(line.seen_at_first_char, line.start)
    if line.newline is None or _LABEL.match(line.text):
        return None
    return BlockEnd(line.newline + 1, line.start)


def _may_stand_left(line: _Line, site: BlockSite, base: int) -> bool:
    """Return whether a line belongs to the block although its indentation says it does not."""
    language = site.language
    if language is not None and language.name in _PREPROCESSED and line.text.startswith("#"):
        return True
    if not _is_braces(language) and line.depth_before > site.own_depth:
        return True
    return line.closes and line.indent == base


def _end_behind_closer(line: _Line, site: BlockSite) -> BlockEnd | None:
    """Return the end behind a line that closes what was opened above, or before `} else {`."""
    if line.newline is None:
        return None
    keep = line.start if opens_block(line.text, site.language) else line.newline
    return BlockEnd(line.newline + 1, keep)


def _end_behind_line(line: _Line, site: BlockSite) -> BlockEnd | None:
    """Return the end behind the line that closes the brackets that the head opened."""
    if line.newline is None or line.depth_after > 0 or line.depth_before <= 0:
        return None
    if site.own_depth == 0 or opens_block(line.text, site.language):
        return None
    return BlockEnd(line.newline + 1, line.newline)


def _is_closed_below(columns: int, site: BlockSite) -> bool:
    """Return whether the line below closes, or goes on with, the block around the cursor.

    Args:
        columns: Indentation of the line that would close it.
        site: The place.
    """
    below = site.next_line
    if not below:
        return False
    words = None if site.language is None else site.language.block_words
    goes_on = words is not None and words.goes_on.match(below) is not None
    is_closer = goes_on or closes_block(below, site.language)
    return indent(below) > columns or (indent(below) == columns and is_closer)


def _is_braces(language: Language | None) -> bool:
    return language is not None and language.blocks == "braces"


def _lines(text: str, site: BlockSite) -> Iterator[_Line]:
    """Yield the lines of head and text with the nesting at their ends."""
    head = scan(site.head, site.language)
    body = scan(text, site.language, head.state)
    depth = depths(head.brackets)[1]
    brackets = iter([*body.brackets])
    bracket = next(brackets, None)
    start, is_in_string = 0, False
    for number, line in enumerate(text.split("\n")):
        end = start + len(line)
        depth_before = depth
        while bracket is not None and bracket.index < end:
            depth += 1 if bracket.char in OPENERS else -1
            bracket = next(brackets, None)
        newline = end if end < len(text) else None
        whole = line if number else site.head + line
        yield _Line(number, start, whole, newline, is_in_string, depth_before, depth)
        is_in_string = newline in body.inner_newlines
        start = end + 1
