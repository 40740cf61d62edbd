"""Where a completion ends: the same for the server, which trims, and the eval, which truncates.

`cut` looks at everything generated so far. While it gives no reason, generation goes on; with a
reason, the text is final and the stream can be closed. Engines' own stop strings cannot do this:
they are tested at token ends only, and know nothing of indentation or of the suffix.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fimble.languages import Language

MAX_BLOCK_LINES = 12
"""A suggestion is cut after so many lines: longer ones are rarely right, and rarely read."""
_MAX_EQUAL_LINES = 2
_TAB_COLUMNS = 4
_CLOSER_OF = {"(": ")", "[": "]", "{": "}"}
_CLOSERS = frozenset(_CLOSER_OF.values())
_QUOTES = frozenset("\"'`")
_AUTO_PAIRED = ")]}\"'`;,: \t"


class Scope(StrEnum):
    """How far a suggestion may reach."""

    LINE = "line"
    BLOCK = "block"


class StopReason(StrEnum):
    """Why a completion ended where it did."""

    END_TOKEN = "end_token"  # noqa: S105 - a reason, not a password
    LENGTH = "length"
    LINE = "line"
    BLOCK = "block"
    SUFFIX = "suffix"
    REPETITION = "repetition"


class Cut(NamedTuple):
    """A completion so far."""

    text: str
    """What may be shown, without trailing white space."""
    reason: StopReason | None
    """None while more text could belong to the completion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The place a completion is for."""

    prefix: str
    """Text before the cursor, LF only."""
    suffix: str
    """Text behind the cursor, LF only."""
    language: Language | None
    """The file's language, None where we do not know it."""
    scope: Scope

    @classmethod
    def at(cls, prefix: str, suffix: str, language: Language | None) -> Site:
        """Return the site at a cursor, its scope decided by the text around it.

        Text behind the cursor on its line, other than what editors close by themselves, means one
        line. An empty line, or a line that opens a block, means a block.
        """
        head = prefix.rpartition("\n")[2]
        rest = suffix.partition("\n")[0]
        is_block = not rest.strip() and (not head.strip() or _opens_block(head, language))
        if not head.strip() and not rest.strip(_AUTO_PAIRED):
            is_block = True
        scope = Scope.BLOCK if is_block else Scope.LINE
        return cls(prefix=prefix, suffix=suffix, language=language, scope=scope)

    @property
    def head(self) -> str:
        """Text before the cursor on its line."""
        return self.prefix.rpartition("\n")[2]

    @property
    def rest(self) -> str:
        """Text behind the cursor on its line."""
        return self.suffix.partition("\n")[0]

    @property
    def next_line(self) -> str:
        """First line below the cursor's that is not blank; empty if there is none."""
        below = self.suffix.partition("\n")[2]
        return next((line for line in below.split("\n") if line.strip()), "")


def cut(text: str, site: Site) -> Cut:
    """Cut what was generated so far to what belongs at the site.

    Args:
        text: Everything generated so far, LF only.
        site: Where it goes.
    """
    within = _cut_line(text) if site.scope is Scope.LINE else _cut_block(text, site)
    for rule in (_cut_repetition, _cut_lines_below, _cut_rest_of_line):
        within = rule(within, site)
    return Cut(within.text.rstrip(), within.reason)


def finish(text: str, site: Site, reason: StopReason) -> Cut:
    """Cut a text whose generation ended by itself, for `reason`.

    Where the token limit ended it within a block, the unfinished last line goes: half a line is
    noise below lines that are whole.
    """
    if reason is StopReason.LENGTH and site.scope is Scope.BLOCK and "\n" in text.strip("\n"):
        text = text.rpartition("\n")[0]
    so_far = cut(text, site)
    if so_far.reason is not None:
        return so_far
    # The text is complete now, so its last line counts as a whole line too.
    whole = cut(f"{text}\n", site)
    is_cut = whole.reason in {StopReason.SUFFIX, StopReason.REPETITION}
    return whole if is_cut else Cut(so_far.text, reason)


def _opens_block(line: str, language: Language | None) -> bool:
    """Return whether `line` ends with what opens a block in its language."""
    stripped = line.rstrip()
    if language is not None and language.blocks == "indent" and stripped.endswith(":"):
        return True
    return stripped.endswith(tuple(_CLOSER_OF))


def _indent(line: str) -> int:
    """Return the width of the indentation in columns."""
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(_TAB_COLUMNS))


def _cut_line(text: str) -> Cut:
    line, newline, _ = text.partition("\n")
    return Cut(line, StopReason.LINE if newline else None)


def _cut_block(text: str, site: Site) -> Cut:
    """Cut at a blank line, at the first line that leaves the block, or at its closing line."""
    opens = bool(site.head.strip())
    lines = (site.head + text).split("\n")
    base = _indent(site.head if opens else next(filter(str.strip, lines), ""))
    first = 1 if opens else next((n for n, line in enumerate(lines) if line.strip()), 0) + 1
    for number in range(first, len(lines)):
        line, is_complete = lines[number], number < len(lines) - 1
        if not line.strip():
            if is_complete and number > 1:
                return _block(lines, number, site)
            continue
        closes = line.lstrip()[0] in _CLOSERS
        if opens and closes and _indent(line) == base:
            return _block(lines, number + 1, site) if is_complete else Cut(text, None)
        if _indent(line) < base + opens or number >= MAX_BLOCK_LINES:
            return _block(lines, number, site)
    return Cut(text, None)


def _block(lines: list[str], count: int, site: Site) -> Cut:
    """Return the first `count` lines as the whole block."""
    return Cut("\n".join(lines[:count])[len(site.head) :], StopReason.BLOCK)


def _cut_repetition(so_far: Cut, _: Site) -> Cut:
    """Cut where one line comes again and again."""
    lines = so_far.text.split("\n")
    run = 1
    for number in range(1, len(lines)):
        is_same = bool(lines[number].strip()) and lines[number] == lines[number - 1]
        run = run + 1 if is_same else 1
        if run > _MAX_EQUAL_LINES:
            kept = number - run + 2
            return Cut("\n".join(lines[:kept]), StopReason.REPETITION)
    return so_far


def _cut_lines_below(so_far: Cut, site: Site) -> Cut:
    """Cut before a whole line that stands below the cursor already."""
    below = site.next_line.rstrip()
    if not below or site.rest.strip():
        return so_far
    lines = (site.head + so_far.text).split("\n")
    num_complete = len(lines) if so_far.reason else len(lines) - 1
    for number in range(num_complete):
        if lines[number].rstrip() == below:
            kept = "\n".join(lines[:number])[len(site.head) :]
            return Cut(kept, StopReason.SUFFIX)
    return so_far


def _cut_rest_of_line(so_far: Cut, site: Site) -> Cut:
    """Cut what stands behind the cursor on its line already."""
    rest = site.rest.strip()
    if not rest:
        return so_far
    line, newline, _ = so_far.text.partition("\n")
    stray = _first_unmatched_closer(line)
    if stray is not None and rest.startswith(line[stray]):
        return Cut(line[:stray], StopReason.SUFFIX)
    is_complete = bool(newline) or so_far.reason is not None
    if is_complete and rest[0] not in _CLOSERS and line.rstrip().endswith(rest):
        return Cut(line.rstrip()[: -len(rest)], StopReason.SUFFIX)
    return so_far


def _first_unmatched_closer(line: str) -> int | None:
    """Return the index of the first closing bracket that nothing in `line` opens, or None.

    Brackets between quotes do not count; an unclosed quote reaches to the end of the line.
    """
    expected: list[str] = []
    quote = previous = ""
    for index, char in enumerate(line):
        if quote:
            quote = "" if char == quote and previous != "\\" else quote
        elif char in _QUOTES:
            quote = char
        elif char in _CLOSER_OF:
            expected.append(_CLOSER_OF[char])
        elif char in _CLOSERS:
            if not expected:
                return index
            expected.pop()
        previous = char
    return None
