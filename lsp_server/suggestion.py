"""One suggestion from served to resolved: what of its text stands, and who put it there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fimble.events import AcceptKind, Outcome
from lsp_server.documents import advanced
from lsp_server.trail import ONE_WORD, Between, Trail, is_typed

if TYPE_CHECKING:
    from lsp_server.documents import Place

GIVEN, TYPED, ACCEPTED = "g", "t", "a"


class Taken(NamedTuple):
    """An accepted text, and where it stands."""

    completion_id: str
    uri: str
    text: str
    start: Place
    end: Place
    """The place of `start` where the editor has announced the text and not inserted it yet."""


@dataclass(slots=True, kw_only=True)
class Suggestion:
    """One suggestion."""

    completion_id: str
    uri: str
    text: str
    trail: Trail
    origin: str
    """How each character of the text that stands already came there: given, typed, accepted."""
    requested_ms: float
    served_ms: float
    last_start: int = 0
    """Where in `origin` the latest addition starts."""
    last_ms: float
    """When the text last grew; at first, when it was served."""
    shown_ms: float | None = None
    accepted_until: int = 0
    """The editor said that so many characters were accepted."""
    by_editor: bool = False
    settling: Outcome | None = None
    settled_at_ms: float = 0.0
    steps: list[tuple[int, int]] = field(default_factory=list)
    """The accepting steps: from and to which character."""

    @property
    def accepted(self) -> str:
        """The characters that were accepted."""
        marks = zip(self.text, self.origin, strict=False)
        return "".join(char for char, mark in marks if mark == ACCEPTED)

    @property
    def kinds(self) -> list[AcceptKind]:
        """How much each accepting step took."""
        return [self._kind(start, end) for start, end in self.steps]

    def took(self, added: str, now_ms: float) -> None:
        """Note that `added` stands behind what stood already."""
        start = self.last_start = len(self.origin)
        end = start + len(added)
        between = Between(self.text[:start], self.text[end:], now_ms - self.last_ms)
        self.last_ms = now_ms
        if added and is_typed(added, between):
            self.origin += TYPED * len(added)
            self.accept_last(self.accepted_until)
        elif added:
            self.origin += ACCEPTED * len(added)
            self.steps.append((start, end))

    def shrank(self, num_chars: int) -> None:
        """Note that only `num_chars` characters are left standing."""
        self.origin = self.origin[:num_chars]
        self.last_start = min(self.last_start, num_chars)
        self.steps = [(start, min(end, num_chars)) for start, end in self.steps]
        self.steps = [step for step in self.steps if step[0] < step[1]]

    def accept_last(self, until: int) -> None:
        """Note that what came last was accepted, up to the character `until`."""
        start, end = self.last_start, min(until, len(self.origin))
        if start >= end:
            return
        if ACCEPTED in self.origin[start:end]:  # the same step, of which we know more now
            self.steps.pop()
        self.origin = self.origin[:start] + ACCEPTED * (end - start) + self.origin[end:]
        self.steps.append((start, end))

    def taken(self) -> Taken:
        """Return what was accepted, as one piece: typed characters between parts belong to it.

        Where nothing was, it is what came last: the editor's word may still follow.
        """
        first, last = self.origin.find(ACCEPTED), self.origin.rfind(ACCEPTED) + 1
        if first < 0:
            first, last = self.last_start, len(self.origin)
        standing = self.trail.text
        start = advanced(self.trail.anchor, standing[:first])
        end = advanced(self.trail.anchor, standing[:last])
        return Taken(self.completion_id, self.uri, self.text[first:last], start, end)

    def _kind(self, start: int, end: int) -> AcceptKind:
        part = self.text[start:end]
        if end == len(self.text) and (start, end) == self.steps[0]:
            return AcceptKind.FULL
        if ONE_WORD.fullmatch(part):
            return AcceptKind.WORD
        ends_line = part.endswith("\n") or self.text[end : end + 1] in {"\n", ""}
        return AcceptKind.LINE if ends_line else AcceptKind.CHARS
