"""Where a completion ends: the same for the server, which trims, and the eval, which truncates.

`cut` looks at everything generated so far. While it gives no reason, generation goes on; with a
reason, the text is final and the stream can be closed. Engines' own stop strings cannot do this:
they are tested at token ends only, and know nothing of indentation or of the suffix.

Each rule is causal: it says how much of the text it needed to see (`_Verdict.seen`), and text
behind that never changes its mind. The rule that needed least wins, so a text that arrives in
pieces is cut exactly as the whole would be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from fimble.blocks import BlockSite, closes_block, end_of_block, opens_block
from fimble.languages import Language
from fimble.nesting import CLOSERS, CODE, OPENERS, depths, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fimble.nesting import Bracket

_NUM_EQUAL_GROUPS = 3
_MAX_GROUP_LINES = 4
_AUTO_PAIRED = ")]}\"'`;,: \t"
_QUOTES = "\"'`"
_MAX_SCANNED_CHARS = 1000
"""Of a line around the cursor, so that minified files cost no more than others."""
_FULL_LINE = re.compile(r"^[^\n]*\S[^\n]*", re.MULTILINE)
# Six copies of four characters or more: lists of equal values are seldom so long, loops always are.
_DANGLING = re.compile(r"(?:\s|[-+*/%&|^=<>.,~!?\\]|(?<!\w)(?:and|or|not|in|is))+$")
_LOOP = re.compile(r"(\w[^\n]{3,31}?)\1{5}")


class Scope(StrEnum):
    """How far a suggestion may reach."""

    LINE = "line"
    BLOCK = "block"
    SPAN = "span"
    """Anything between prefix and suffix; only benchmarks of such spans ask for it."""


class StopReason(StrEnum):
    """Why a completion ended where it did."""

    END_TOKEN = "end_token"  # noqa: S105 - a reason, not a password
    LENGTH = "length"
    LINE = "line"
    BLOCK = "block"
    SUFFIX = "suffix"
    REPETITION = "repetition"
    SYNTAX = "syntax"
    """Its rest would have broken code that parses."""
    DEADLINE = "deadline"
    """It was shown before it was complete; its rest is the next suggestion."""
    DELETION = "deletion"
    """It was not asked for: the user deletes."""


class Cut(NamedTuple):
    """A completion so far."""

    text: str
    """What may be shown: the start of the generated text, without white space before a line end."""
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
        line. An empty line, a line that opens a block, or the very start of a line means a block.
        """
        site = cls(prefix=prefix, suffix=suffix, language=language, scope=Scope.LINE)
        head, rest = site.head, site.rest
        if head.strip():
            is_block = not rest.strip() and opens_block(head, language)
        else:
            is_block = not head or not rest.strip(_AUTO_PAIRED)
        scope = Scope.BLOCK if is_block else Scope.LINE
        return cls(prefix=prefix, suffix=suffix, language=language, scope=scope)

    @property
    def head(self) -> str:
        """Text before the cursor on its line."""
        return self.prefix[self.prefix.rfind("\n") + 1 :]

    @property
    def rest(self) -> str:
        """Text behind the cursor on its line."""
        end = self.suffix.find("\n")
        return self.suffix if end < 0 else self.suffix[:end]

    @property
    def is_between_lines(self) -> bool:
        """Whether the cursor stands at the start of a line: whole lines go before that one."""
        return self.scope is not Scope.LINE and not self.head and bool(self.rest.strip())

    @property
    def next_line(self) -> str:
        """First line below the completion's that is not blank; empty if there is none."""
        return next(iter(self.next_lines(1)), "")

    def next_lines(self, count: int) -> list[str]:
        """Return the first `count` lines below the completion's that are not blank."""
        below = 0 if self.is_between_lines else self.suffix.find("\n")
        matches = _FULL_LINE.finditer(self.suffix, below) if below >= 0 else ()
        return [match.group() for match in islice(matches, count)]


class _Verdict(NamedTuple):
    """One rule's word."""

    seen: int
    """Length of the text that the rule needed to see; longer texts get the same verdict."""
    keep: int
    """Length of the text that belongs to the completion."""
    reason: StopReason


def cut(text: str, site: Site) -> Cut:
    """Cut what was generated so far to what belongs at the site.

    Args:
        text: Everything generated so far, LF only.
        site: Where it goes.
    """
    verdict = _verdict(text, site)
    if verdict is None:
        return Cut(_without_trailing_space(text, site), None)
    return Cut(_kept(text, verdict, site), verdict.reason)


def finish(text: str, site: Site, reason: StopReason) -> Cut:
    """Cut a text whose generation ended by itself, for `reason`.

    Where the token limit ended it within a block, the unfinished last line goes: half a line is
    noise below lines that are whole.
    """
    so_far = cut(text, site)
    if so_far.reason is not None:
        return so_far
    if reason is StopReason.LENGTH and site.scope is Scope.BLOCK and "\n" in text.strip("\n"):
        text = text[: text.rfind("\n")]
    # The text is complete now, so its last line counts as a whole line too.
    whole = _verdict(f"{text}\n", site) or _last_line(text, site)
    if whole is not None and whole.reason in {StopReason.SUFFIX, StopReason.REPETITION}:
        return Cut(_kept(text, whole, site), whole.reason)
    return Cut(_without_trailing_space(text, site), reason)


def _kept(text: str, verdict: _Verdict, site: Site) -> str:
    """Return what a verdict leaves of a text; a loop is not left with `a +` at its end."""
    kept = text[: verdict.keep]
    if verdict.reason is StopReason.REPETITION:
        kept = _DANGLING.sub("", kept)
    return _without_trailing_space(kept, site)


def _verdict(text: str, site: Site) -> _Verdict | None:
    """Return the verdict that needed the least text; of equals, that of the first rule."""
    rules = (
        *(_rest_of_string, _rest_of_brackets, _rest_of_line, _lines_below, _same_lines, _loop),
        *((_end_of_line,) if site.scope is Scope.LINE else ()),
        *((_end_of_block,) if site.scope is Scope.BLOCK else ()),
    )
    verdicts = [verdict for rule in rules if (verdict := rule(text, site))]
    return min(verdicts, key=lambda verdict: verdict.seen, default=None)


def _without_trailing_space(text: str, site: Site) -> str:
    """Return `text` without white space at its end, unless code follows there on the same line.

    Before code (`if a and |b:`) a blank belongs to the text, before `)` it does not; in front of
    a closing line, its line end and indentation do.
    """
    kept = text.rstrip()
    if not kept or not site.rest.strip():
        return kept
    is_line_end = site.scope is not Scope.LINE and "\n" in text[len(kept) :]
    return text if is_line_end or site.rest[0] not in _AUTO_PAIRED else kept


def _around(site: Site) -> tuple[str, str]:
    """Return the text before and behind the cursor on its line, as much of it as rules look at."""
    if site.is_between_lines:
        return "", ""
    return site.head[-_MAX_SCANNED_CHARS:], site.rest[:_MAX_SCANNED_CHARS]


def _rest_of_string(text: str, site: Site) -> _Verdict | None:
    """Cut before the quote that stands behind the cursor already."""
    head, rest = _around(site)
    quote = scan(head, site.language).state
    if quote.strip(_QUOTES) or not quote:
        return None
    is_closed_behind = scan(rest, site.language, quote).state == CODE
    end = scan(text, site.language, quote).first_end
    if not is_closed_behind or end is None or text[end] == "\n":
        return None
    return _Verdict(end + len(quote), end, StopReason.SUFFIX)


def _rest_of_brackets(text: str, site: Site) -> _Verdict | None:
    """Cut before the closing bracket that stands behind the cursor already.

    Of the brackets that are open before the cursor on its line, those not closed behind it are for
    the completion to close.
    """
    head, rest = _around(site)
    before = scan(head, site.language)
    behind = scan(rest, site.language, before.state)
    num_behind = depths(behind.brackets)[0]
    if num_behind == 0:
        return None
    num_ours = max(0, depths(before.brackets)[1] - num_behind)
    brackets = scan(text, site.language, before.state).brackets
    end = _stray_closer(brackets, num_ours)
    if end is None:
        return None
    # `f(|, b)` may be answered by `a, b)`: what leads to the bracket stands behind already, too.
    lead = rest[: (_stray_closer(behind.brackets, 0) or 0) + 1]
    keep = end + 1 - len(lead) if text[: end + 1].endswith(lead) else end
    return _Verdict(end + 1, keep, StopReason.SUFFIX)


def _stray_closer(brackets: tuple[Bracket, ...], num_allowed: int) -> int | None:
    """Return the index of the first closing bracket too many, or None."""
    depth = num_allowed
    for bracket in brackets:
        depth += 1 if bracket.char in OPENERS else -1
        if depth < 0:
            return bracket.index
    return None


def _rest_of_line(text: str, site: Site) -> _Verdict | None:
    """Cut what stands behind the cursor on its line already, brackets aside."""
    rest = _around(site)[1].strip()
    line, newline, _ = text.partition("\n")
    if not rest or rest[0] in CLOSERS or not newline or not line.rstrip().endswith(rest):
        return None
    return _Verdict(len(line) + 1, len(line.rstrip()) - len(rest), StopReason.SUFFIX)


def _lines_below(text: str, site: Site) -> _Verdict | None:
    """Cut before whole lines that stand below the cursor already.

    One equal line may be chance (`return False`), so in a block the next one must be equal, too;
    a closing bracket, word or tag at the same depth is enough.
    """
    below = [line.rstrip() for line in site.next_lines(2)]
    if not below or _around(site)[1].strip():
        return None
    closes = closes_block(below[0], site.language)
    if site.scope is Scope.LINE or (site.scope is Scope.BLOCK and closes):
        below = below[:1]
    spans = [span for span in _complete_lines(text) if text[slice(*span)].strip()]
    lines = [text[start:end].rstrip() for start, end in spans]
    if spans and spans[0][0] == 0:
        lines[0] = site.head + lines[0]
    for first in range(len(lines) - len(below) + 1):
        if lines[first : first + len(below)] == below:
            return _Verdict(
                spans[first + len(below) - 1][1] + 1, spans[first][0], StopReason.SUFFIX
            )
    return None


def _last_line(text: str, site: Site) -> _Verdict | None:
    """Cut the last line of a complete text if it stands below the cursor already."""
    kept = text.rstrip()
    start = kept.rfind("\n") + 1
    last = kept[start:] if start else site.head + kept
    if not kept or last != site.next_line.rstrip() or _around(site)[1].strip():
        return None
    return _Verdict(len(text), start, StopReason.SUFFIX)


def _same_lines(text: str, _: Site) -> _Verdict | None:
    """Cut behind the first of three equal lines, or groups of lines, in a row."""
    spans = list(_complete_lines(text))
    lines = [text[start:end] for start, end in spans]
    for last in range(len(lines)):
        for size in range(1, min(_MAX_GROUP_LINES, (last + 1) // _NUM_EQUAL_GROUPS) + 1):
            first = last + 1 - size * _NUM_EQUAL_GROUPS
            group = lines[first : first + size]
            is_same = lines[first : last + 1] == group * _NUM_EQUAL_GROUPS
            if is_same and any(line.strip() for line in group):
                return _Verdict(
                    spans[last][1] + 1, spans[first + size - 1][1], StopReason.REPETITION
                )
    return None


def _loop(text: str, _: Site) -> _Verdict | None:
    """Cut behind the first of six equal pieces of a line in a row."""
    verdict = None
    match = _LOOP.search(text)
    while match:
        verdict = _Verdict(match.end(), match.end(1), StopReason.REPETITION)
        match = _LOOP.search(text, 0, match.end() - 1)  # another one may have been there before
    return verdict


def _complete_lines(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each line of `text` that has a line end."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield start, end
        start = end + 1


def _end_of_line(text: str, _: Site) -> _Verdict | None:
    """Cut at the first line end."""
    end = text.find("\n")
    return _Verdict(end + 1, end, StopReason.LINE) if end >= 0 else None


def _end_of_block(text: str, site: Site) -> _Verdict | None:
    """Cut where the block ends."""
    place = BlockSite(site.head[-_MAX_SCANNED_CHARS:], site.next_line, site.language)
    end = end_of_block(text, place)
    return _Verdict(end.seen, end.keep, StopReason.BLOCK) if end else None
