"""The documents an editor has open.

A document is a list of lines, each with its own line end, so that an edit costs as much as the
lines it touches, in a file of any size. Positions of the client (line, code units) become places
(line, code points) here, and every change is reported as the smallest edit that explains it.

pygls's own store is not used: it counts form feeds and U+2028 as line ends, which corrupts the text
at the first incremental edit below one.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import PositionError
from fimble.text import LineIndex, Position, PositionEncoding, to_lf, units

if TYPE_CHECKING:
    from collections.abc import Iterable

_STRIDE_LINES = 32
"""So many lines are counted at once."""
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Place(NamedTuple):
    """A place in a document, in code points; both numbers start at zero."""

    line: int
    column: int


class Range(NamedTuple):
    """What a client says it replaced."""

    start: Position
    end: Position


class Edit(NamedTuple):
    """The smallest replacement that explains a change; texts have LF line ends."""

    start: Place
    end: Place
    """End of what was replaced, in the document as it was before."""
    old: str
    new: str

    def shifted(self, line: int) -> int:
        """Return where a line below the edit stands afterwards."""
        return line + self.new.count("\n") - self.old.count("\n")


def advanced(place: Place, text: str) -> Place:
    """Return the place behind `text`, which starts at `place` and has LF line ends."""
    newlines = text.count("\n")
    if not newlines:
        return Place(place.line, place.column + len(text))
    return Place(place.line + newlines, len(text) - text.rindex("\n") - 1)


def split_lines(text: str) -> list[str]:
    """Return the lines of `text`, each with its line end; the last one has none.

    Universal newlines are exactly LSP's line ends: LF, CRLF and a lone CR.
    """
    lines = list(io.StringIO(text, newline=""))
    if not lines or lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return lines


@dataclass(slots=True, kw_only=True)
class Document:
    """One open document."""

    uri: str
    language_id: str
    version: int
    lines: list[str]
    """Lines with their line ends; the last has none."""
    size_bytes: int
    """Size of the text as UTF-8."""

    @classmethod
    def of(cls, uri: str, language_id: str, version: int, text: str) -> Document:
        """Return a document that holds `text`."""
        lines = split_lines(_without_surrogates(text))
        return cls(
            uri=uri,
            language_id=language_id,
            version=version,
            lines=lines,
            size_bytes=_size_bytes(lines),
        )

    @property
    def text(self) -> str:
        """The whole text, with the line ends it has."""
        return "".join(self.lines)

    @property
    def line_end(self) -> str:
        """The first line end of the text; LF if there is none."""
        first = self.lines[0]
        return first[len(first.rstrip("\r\n")) :] or "\n"

    def place(self, position: Position, encoding: PositionEncoding) -> Place:
        """Return the place of a client's position.

        Raises:
            PositionError: The document has no such line.
        """
        if not 0 <= position.line < len(self.lines):
            raise PositionError(
                f"line {position.line} is outside the document, "
                f"whose lines are 0 to {len(self.lines) - 1}"
            )
        index = LineIndex(self.lines[position.line])
        column = index.offset(Position(0, max(0, position.character)), encoding)
        return Place(position.line, column)

    def position(self, place: Place, encoding: PositionEncoding) -> Position:
        """Return a place as a client counts it."""
        return Position(place.line, units(self.lines[place.line][: place.column], encoding))

    def replace(self, span: Range | None, text: str, encoding: PositionEncoding) -> Edit:
        """Replace a range, or the whole text where there is none, and say what changed.

        A position below the last line means the end of the text: some editors count a line more.
        """
        text = _without_surrogates(text)
        if span is None:
            return self._replace_all(text)
        start, end = sorted(self._clamped(p, encoding) for p in (span.start, span.end))
        old = self._slice(start, end)
        self._splice(start, end, text)
        return _smallest(start, old, to_lf(text))

    def between(self, start: Place, end: Place) -> str:
        """Return the text between two places, LF only; places outside the text mean its end."""
        last = Place(len(self.lines) - 1, len(self.lines[-1]))
        return to_lf(self._slice(min(start, last), min(end, last)))

    def head(self, place: Place) -> str:
        """Return the text before `place` on its line."""
        return self.lines[place.line][: place.column]

    def rest(self, place: Place) -> str:
        """Return the text behind `place` on its line, without the line end."""
        return self.lines[place.line][place.column :].rstrip("\r\n")

    def before(self, place: Place, *, min_chars: int, step_lines: int) -> str:
        """Return text before `place`, LF only, for `fimble.context.window`.

        It has `min_chars` or more where the document has so many, and starts at a line from which
        the window is anchored as it would be from the first line: anchors are multiples of
        `step_lines`, halved again and again, and their common multiples are never between them.
        """
        anchor = math.lcm(*_halvings(step_lines))
        first = self._line_before(place, min_chars + 1)
        first -= first % anchor
        return to_lf("".join((*self.lines[first : place.line], self.head(place))))

    def tail(self, place: Place, num_chars: int) -> str:
        """Return the last `num_chars` characters before `place`, LF only."""
        first = self._line_before(place, num_chars)
        return to_lf("".join((*self.lines[first : place.line], self.head(place))))[-num_chars:]

    def after(self, place: Place, num_chars: int) -> str:
        """Return the first `num_chars` characters behind `place`, LF only."""
        rest = self.lines[place.line][place.column :]
        found, end = len(rest), place.line + 1
        while end < len(self.lines) and found - (end - place.line) < num_chars:
            below = min(len(self.lines), end + _STRIDE_LINES)
            found += sum(map(len, self.lines[end:below]))
            end = below
        return to_lf("".join((rest, *self.lines[place.line + 1 : end])))[:num_chars]

    def _line_before(self, place: Place, num_chars: int) -> int:
        """Return a line from which on `num_chars` characters or more stand before `place`."""
        first, found = place.line, place.column
        # A line end counts once in LF text, so a margin of one character a line is enough.
        while first > 0 and found - (place.line - first) < num_chars:
            above = max(0, first - _STRIDE_LINES)
            found += sum(map(len, self.lines[above:first]))
            first = above
        return first

    def _clamped(self, position: Position, encoding: PositionEncoding) -> Place:
        if position.line >= len(self.lines):
            return Place(len(self.lines) - 1, len(self.lines[-1]))
        return self.place(Position(max(0, position.line), position.character), encoding)

    def _slice(self, start: Place, end: Place) -> str:
        if start.line == end.line:
            return self.lines[start.line][start.column : end.column]
        middle = self.lines[start.line + 1 : end.line]
        first = self.lines[start.line][start.column :]
        return to_lf("".join((first, *middle, self.lines[end.line][: end.column])))

    def _splice(self, start: Place, end: Place, text: str) -> None:
        low, high = start.line, end.line + 1
        tail = self.lines[end.line][end.column :]
        joined = self.lines[start.line][: start.column] + text + tail
        # A lone CR at the end of a line joins an LF that follows it now.
        if low > 0 and self.lines[low - 1].endswith("\r") and joined.startswith("\n"):
            low -= 1
            joined = self.lines[low] + joined
        if high < len(self.lines) and joined.endswith("\r") and self.lines[high].startswith("\n"):
            joined += self.lines[high]
            high += 1
        fresh = split_lines(joined)
        if high < len(self.lines) and not fresh[-1]:
            fresh.pop()
        self.size_bytes += _size_bytes(fresh) - _size_bytes(self.lines[low:high])
        self.lines[low:high] = fresh

    def _replace_all(self, text: str) -> Edit:
        old, fresh = self.lines, split_lines(text)
        self.lines, self.size_bytes = fresh, _size_bytes(fresh)
        first = 0
        shorter = min(len(old), len(fresh)) - 1
        while first < shorter and old[first] == fresh[first]:
            first += 1
        changed = to_lf("".join(old[first:])), to_lf("".join(fresh[first:]))
        return _smallest(Place(first, 0), *changed)


class Documents:
    """All open documents of a session."""

    def __init__(self, encoding: PositionEncoding = PositionEncoding.UTF16) -> None:
        self.encoding = encoding
        self._by_uri: dict[str, Document] = {}

    def __len__(self) -> int:
        return len(self._by_uri)

    def open(self, uri: str, language_id: str, version: int, text: str) -> Document:
        """Hold a document from now on; one of the same name is replaced."""
        document = Document.of(uri, language_id, version, text)
        self._by_uri[uri] = document
        return document

    def close(self, uri: str) -> None:
        """Forget a document and its text."""
        self._by_uri.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        """Return an open document, or None."""
        return self._by_uri.get(uri)


def _smallest(start: Place, old: str, new: str) -> Edit:
    """Return the edit without the text that old and new share at both ends."""
    prefix = _num_equal(old, new)
    old, new, start = old[prefix:], new[prefix:], advanced(start, old[:prefix])
    suffix = _num_equal(old[::-1], new[::-1])
    old, new = old[: len(old) - suffix], new[: len(new) - suffix]
    return Edit(start, advanced(start, old), old, new)


def _num_equal(one: str, other: str) -> int:
    """Return how many characters two texts share at their start."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _halvings(number: int) -> list[int]:
    return [number >> shift for shift in range(number.bit_length())]


def _size_bytes(lines: Iterable[str]) -> int:
    return sum(len(line) if line.isascii() else len(line.encode()) for line in lines)


def _without_surrogates(text: str) -> str:
    """Return `text` with U+FFFD for surrogates that have no partner: no encoding can hold them."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
