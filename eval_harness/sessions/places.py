"""Places in files whose code is taken out and typed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fimble.blocks import indent, opens_block

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from fimble.languages import Language

BODY_LINES = (2, 4)
"""Fewest and most lines of a body that is written again; what is typed takes a minute in all."""
BODY_CHARS = (40, 90)
REST_CHARS = (12, 30)
_NOT_CODE = ('"', "'", "*", "/*", "//", "#", "@", "}", ")", "]")
_REST_STARTS = (" = ", "return ", "(")


class Place(NamedTuple):
    """Text that is taken out of a file and typed again."""

    line: int
    """From 0."""
    column: int
    text: str
    """What stood there, up to the end of a line; LF line ends."""


def places_in(text: str, language: Language, rng: random.Random) -> list[Place]:
    """Return a body and the rest of a line elsewhere, chosen by `rng` and by nothing else.

    Neither the model nor its earlier answers have a say in what is typed. A file that has no body,
    or no such line, gives what it has.
    """
    lines = text.split("\n")
    bodies = list(_bodies(lines, language))
    places = [rng.choice(bodies)] if bodies else []
    taken = {place.line + n for place in places for n in range(place.text.count("\n") + 1)}
    rests = [rest for rest in _rests(lines) if rest.line not in taken]
    return sorted([*places, *([rng.choice(rests)] if rests else [])])


def without(text: str, place: Place) -> str:
    """Return a file's text without what stands at `place`."""
    lines = text.split("\n")
    start = sum(len(line) + 1 for line in lines[: place.line]) + place.column
    assert text.startswith(place.text, start)
    return text[:start] + text[start + len(place.text) :]


def _middle(lines: list[str]) -> range:
    """Return the line numbers that have text of the file above and below them."""
    return range(len(lines) // 8, len(lines) * 7 // 8)


def _bodies(lines: list[str], language: Language) -> Iterator[Place]:
    """Yield every run of lines that starts a body, or is all of it."""
    for first in _middle(lines):
        opening = lines[first - 1].rstrip()
        if opening.endswith(("(", "[")) or not opens_block(opening, language):
            continue
        column = len(lines[first]) - len(lines[first].lstrip())
        if indent(lines[first]) <= indent(opening):
            continue
        for count in range(BODY_LINES[0], BODY_LINES[1] + 1):
            taken = lines[first : first + count]
            text = "\n".join(taken)[column:]
            fits = BODY_CHARS[0] <= len(text) <= BODY_CHARS[1]
            if fits and all(_is_code(line) for line in taken) and indent(taken[-1]):
                yield Place(first, column, text)


def _rests(lines: list[str]) -> Iterator[Place]:
    """Yield the ends of lines behind `=`, `return` or an opening bracket."""
    for number in _middle(lines):
        line = lines[number]
        if not _is_code(line) or not indent(line):
            continue
        found = [line.find(start) + len(start) for start in _REST_STARTS if start in line]
        for column in found:
            if REST_CHARS[0] <= len(line) - column <= REST_CHARS[1]:
                yield Place(number, column, line[column:])


def _is_code(line: str) -> bool:
    """Return whether a line is plain code: no comment, no text, no lone closing bracket."""
    stripped = line.strip()
    return bool(stripped) and line.isascii() and not stripped.startswith(_NOT_CODE)
