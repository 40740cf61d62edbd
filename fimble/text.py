"""Text as the loop sees it: line ends and positions, defined once.

Lines end at LF, CRLF or a lone CR and nowhere else (LSP 3.18, section "Text Documents"); Python's
`str.splitlines` also breaks at form feeds and U+2028, which corrupts incremental edits. Models see
LF only: `to_lf` on the way in, `with_line_end` on the way out.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import StrEnum
from typing import NamedTuple

from fimble.errors import PositionError

_LINE_END = re.compile(r"\r\n|\n|\r")


class PositionEncoding(StrEnum):
    """Unit in which a client counts characters; the values are LSP's."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


class Position(NamedTuple):
    """A place between two characters; both numbers start at zero."""

    line: int
    character: int
    """Count of code units of the client's encoding before the place."""


def to_lf(text: str) -> str:
    """Return `text` with every line end as LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def line_end_of(text: str) -> str:
    """Return the first line end that occurs in `text`; LF if there is none."""
    match = _LINE_END.search(text)
    return match.group() if match else "\n"


def with_line_end(text: str, line_end: str) -> str:
    """Return LF text with `line_end` in place of each LF."""
    return text if line_end == "\n" else text.replace("\n", line_end)


def decode_source(data: bytes) -> str | None:
    """Return the text of a source file, or None where it is not one (NUL bytes, not UTF-8).

    A UTF-8 byte order mark is dropped.
    """
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def units(text: str, encoding: PositionEncoding) -> int:
    """Return the length of `text` in code units of `encoding`.

    Half a surrogate pair, which JSON can carry, counts as a character of its own.
    """
    if encoding is PositionEncoding.UTF32 or text.isascii():
        return len(text)
    if encoding is PositionEncoding.UTF16:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text.encode("utf-8", "surrogatepass"))


class LineIndex:
    """Positions of one text. Building it costs one pass; a lookup costs one line."""

    __slots__ = ("_starts", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    @property
    def num_lines(self) -> int:
        """Number of lines; a text that ends with a line end has an empty last line."""
        return len(self._starts)

    def line(self, number: int) -> str:
        """Return line `number` without its line end."""
        start = self._starts[number]
        end = self._starts[number + 1] if number + 1 < len(self._starts) else len(self._text)
        return self._text[start:end].rstrip("\r\n")

    def offset(self, position: Position, encoding: PositionEncoding) -> int:
        """Return the index into the text of `position`.

        A character beyond the line means its end (LSP 3.18, `Position`); one inside a surrogate
        pair or a UTF-8 sequence means the start of that character.

        Raises:
            PositionError: The text has no such line.
        """
        if not 0 <= position.line < len(self._starts) or position.character < 0:
            raise PositionError(
                f"position {position.line}:{position.character} is outside the text, "
                f"whose lines are 0 to {len(self._starts) - 1}"
            )
        line = self.line(position.line)
        start = self._starts[position.line]
        if encoding is PositionEncoding.UTF32 or line.isascii():
            return start + min(position.character, len(line))
        return start + _num_chars(line, position.character, encoding)

    def position(self, offset: int, encoding: PositionEncoding) -> Position:
        """Return the position of an index into the text; one inside a CRLF is the line's end.

        Raises:
            PositionError: The index lies outside the text.
        """
        if not 0 <= offset <= len(self._text):
            raise PositionError(f"offset {offset} is outside the text of {len(self._text)}")
        line = bisect_right(self._starts, offset) - 1
        before = self._text[self._starts[line] : offset].rstrip("\r")
        return Position(line, units(before, encoding))


def _num_chars(line: str, num_units: int, encoding: PositionEncoding) -> int:
    """Return how many whole characters at the start of `line` fit into `num_units`."""
    low, high = 0, min(len(line), num_units)  # a character has at least one unit
    while low < high:
        middle = (low + high + 1) // 2
        if units(line[:middle], encoding) <= num_units:
            low = middle
        else:
            high = middle - 1
    return low
