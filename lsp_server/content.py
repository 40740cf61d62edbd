"""What a user at level `content` lets be recorded: suggestions with their code, and what became.

A span begins at the place of each suggestion. It takes up what is written there, edit by edit: of
an accepted text all of it and no more, of anything else what goes on from there. It is looked at
after half a minute and after ten. The writer's thread looks for secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fimble.content import (
    LATER_CHARS,
    LATER_S,
    PREFIX_CHARS,
    SUFFIX_CHARS,
    Content,
    ContentLater,
    ContentServed,
    to_content_record,
)
from lsp_server.documents import Document, advanced
from lsp_server.span import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from fimble.clock import Clock
    from fimble.events import Envelope
    from fimble.fim import Snippet
    from lsp_server.documents import Edit, Place
    from lsp_server.outbox import Outbox

MAX_WATCHED = 64


class Sent(NamedTuple):
    """What the prompt of a suggestion held besides the code around it, and who answered."""

    model_digest: str
    path: str = ""
    """Of the file within its project; empty where the prompt did not name it."""
    snippets: tuple[Snippet, ...] = ()
    """Code of other files."""


@dataclass(slots=True)
class _Watched:
    """A suggestion whose place is looked at."""

    completion_id: str
    text: str
    document: Document
    span: Span
    served_ms: float
    after_s: int
    was_whole: bool = False
    """All of the suggestion has stood there: what is written behind it is something else."""
    is_other: bool = False
    """Something else stands there, so that writing on cannot make it the suggestion."""

    def follow(self, edit: Edit) -> None:
        """Move with an edit, and take up what continues the span."""
        is_behind = edit.start == self.span.end and edit.new
        if self.span.follow(edit):
            self.is_other = False
        elif is_behind and not self.was_whole:
            self.span.end = advanced(edit.start, edit.new)
        if is_behind and not self.was_whole and not self.is_other:
            self._compare()

    def _compare(self) -> None:
        written = "".join(self.document.between(*self.span.places)[:LATER_CHARS].split())
        suggested = "".join(self.text.split())
        self.was_whole = written.startswith(suggested)
        self.is_other = not suggested.startswith(written)


class ContentRecorder:
    """The content of one session."""

    def __init__(self, outbox: Outbox, *, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._watched: list[_Watched] = []

    def served(
        self, completion_id: str, text: str, *, document: Document, place: Place, sent: Sent
    ) -> None:
        """Record a suggestion that goes to the editor.

        Args:
            completion_id: Its name.
            text: What is suggested.
            document: Where, as it is now.
            place: Where it starts.
            sent: What the prompt held besides.
        """
        self._outbox.put(
            ContentServed(
                completion_id=completion_id,
                language=document.language_id,
                model_digest=sent.model_digest,
                path=sent.path,
                snippets=sent.snippets,
                prefix=document.tail(place, PREFIX_CHARS),
                suffix=document.after(place, SUFFIX_CHARS),
                completion=text,
            )
        )
        now_ms = self._clock.monotonic_ms()
        self._watched += [
            _Watched(completion_id, text, document, Span(place, place), now_ms, s) for s in LATER_S
        ]
        del self._watched[: -MAX_WATCHED * len(LATER_S)]

    def edited(self, document: Document, edit: Edit) -> None:
        """A document changed."""
        for each in self._watched:
            if each.document is document:
                each.follow(edit)

    def tick(self) -> None:
        """Look at the places whose time has come."""
        now_ms = self._clock.monotonic_ms()
        due = [each for each in self._watched if now_ms >= _due_ms(each)]
        self._watched = [each for each in self._watched if now_ms < _due_ms(each)]
        for each in due:
            text = each.document.between(*each.span.places)[:LATER_CHARS]
            self._outbox.put(
                ContentLater(completion_id=each.completion_id, after_s=each.after_s, text=text)
            )

    def closed(self, document: Document) -> None:
        """A document was closed: what became of it is not known."""
        self._watched = [each for each in self._watched if each.document is not document]

    def next_due_ms(self) -> float | None:
        """Return when `tick` has something to do; None if it has not."""
        return min((_due_ms(each) for each in self._watched), default=None)


def content_encoder(days: int) -> Callable[[object, Envelope], dict[str, object] | None]:
    """Return what makes lines of content, and of nothing else."""

    def encode(content: object, envelope: Envelope) -> dict[str, object] | None:
        if not isinstance(content, Content):
            return None
        return to_content_record(content, envelope, days=days)

    return partial(encode)


def _due_ms(watched: _Watched) -> float:
    return watched.served_ms + watched.after_s * 1000
