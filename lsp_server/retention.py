"""What is left of accepted texts, later.

Each text is a span of its document that moves with the edits. At every horizon, and when the
document is closed, the text is aligned with what the span holds then; whoever takes a text back
within seconds has undone it. Like `outcomes`, this is pure: the time is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fimble.events import (
    HORIZONS_S,
    KEPT_MIN_RATE,
    SESSION_END_S,
    UNDO_MS,
    Kept,
    Retained,
    Undone,
)
from lsp_server.alignment import left_of
from lsp_server.documents import Document
from lsp_server.span import Span

if TYPE_CHECKING:
    from lsp_server.documents import Edit
    from lsp_server.suggestion import Taken

MAX_WATCHED = 64
"""More are not followed: each costs every edit a microsecond. The oldest has its last look."""
MOVED_MIN_CHARS = 20
"""A text of so many characters is looked for around its place, too: it may have been moved."""
MOVED_CHARS = 1500
"""So far away. Source: Copilot's check."""

Look = Callable[[], Retained]
"""Aligns the texts; takes up to milliseconds, so another thread calls it."""


@dataclass(slots=True, kw_only=True)
class _Watched:
    """One accepted text."""

    completion_id: str
    text: str
    document: Document
    span: Span
    taken_ms: float
    is_sure: bool = False
    """It was resolved as accepted."""
    undone_ms: float | None = None
    num_looks: int = 0

    @property
    def due_ms(self) -> float | None:
        """When the next look is due; None once all horizons are past."""
        if not self.is_sure or self.num_looks >= len(HORIZONS_S):
            return None
        return self.taken_ms + HORIZONS_S[self.num_looks] * 1000

    @property
    def text_now(self) -> str:
        """What stands in the span."""
        return self.document.between(self.span.start, self.span.end)

    def holds_half(self) -> bool:
        """Return whether half of the text may still stand."""
        return len(self.text_now) >= len(self.text) * KEPT_MIN_RATE


class Retention:
    """The accepted texts of a session that are still looked at."""

    def __init__(self) -> None:
        self._watched: OrderedDict[str, _Watched] = OrderedDict()

    def watch(self, taken: Taken, document: Document, now_ms: float) -> None:
        """Follow a text from now on."""
        self._watched[taken.completion_id] = _Watched(
            completion_id=taken.completion_id,
            text=taken.text,
            document=document,
            span=Span(taken.start, taken.end),
            taken_ms=now_ms,
        )

    def resolved(
        self, completion_id: str, *, is_accepted: bool, now_ms: float
    ) -> list[Undone | Look]:
        """Note how a completion ended; forget it unless it was accepted."""
        found = self._watched.get(completion_id)
        if found is None:
            return []
        if not is_accepted:
            del self._watched[completion_id]
            return []
        found.is_sure = True
        events: list[Undone | Look] = [] if found.undone_ms is None else [_undone(found)]
        if len(self._watched) > MAX_WATCHED:
            _, oldest = self._watched.popitem(last=False)
            events += [_look(oldest, SESSION_END_S, now_ms)] if oldest.is_sure else []
        return events

    def edited(self, document: Document, edit: Edit, now_ms: float) -> list[Undone]:
        """The document changed; `document` is its state after the edit."""
        events: list[Undone] = []
        if edit.old == edit.new:
            return events
        for each in self._watched.values():
            if each.document is not document or not each.span.follow(edit):
                continue
            is_early = each.undone_ms is None and now_ms <= each.taken_ms + UNDO_MS
            if is_early and edit.old and not each.holds_half():
                each.undone_ms = now_ms
                events += [_undone(each)] if each.is_sure else []
        return events

    def tick(self, now_ms: float) -> list[Look]:
        """Return the looks that are due."""
        looks: list[Look] = []
        for each in self._watched.values():
            while (due_ms := each.due_ms) is not None and due_ms <= now_ms:
                looks.append(_look(each, HORIZONS_S[each.num_looks], now_ms))
                each.num_looks += 1
        return looks

    def closed(self, document: Document, now_ms: float) -> list[Look]:
        """Look at the texts of a document for the last time; what lies ahead is unknown."""
        looks: list[Look] = []
        for each in [each for each in self._watched.values() if each.document is document]:
            del self._watched[each.completion_id]
            if each.is_sure:
                looks.append(_look(each, SESSION_END_S, now_ms))
                ahead = HORIZONS_S[each.num_looks :]
                age_ms = now_ms - each.taken_ms
                looks += [partial(_unknown, each.completion_id, s, age_ms) for s in ahead]
        return looks

    def ended(self, now_ms: float) -> list[Look]:
        """The session ends: every document is closed."""
        documents = {id(each.document): each.document for each in self._watched.values()}
        return [look for each in documents.values() for look in self.closed(each, now_ms)]

    def next_due_ms(self) -> float | None:
        """Return when `tick` has something to do; None if it has not."""
        due = (each.due_ms for each in self._watched.values())
        return min((due_ms for due_ms in due if due_ms is not None), default=None)


def _undone(watched: _Watched) -> Undone:
    assert watched.undone_ms is not None
    return Undone(
        completion_id=watched.completion_id,
        undone_after_ms=watched.undone_ms - watched.taken_ms,
    )


def _look(watched: _Watched, horizon_s: int, now_ms: float) -> Look:
    """Return the look at a text as the document is now; it is aligned when it is called."""
    document, (start, end) = watched.document, watched.span.places
    window, around = watched.text_now, ""
    if len(watched.text) >= MOVED_MIN_CHARS and watched.text not in window:
        around = document.tail(start, MOVED_CHARS) + document.after(end, MOVED_CHARS)
    return partial(
        _aligned,
        watched.completion_id,
        (watched.text, window, around),
        horizon_s=horizon_s,
        age_ms=now_ms - watched.taken_ms,
        is_undone=watched.undone_ms is not None,
    )


def _aligned(
    completion_id: str,
    texts: tuple[str, str, str],
    *,
    horizon_s: int,
    age_ms: float,
    is_undone: bool,
) -> Retained:
    text, window, around = texts
    left = left_of(text, text if text in around else window)
    gone = Kept.UNDONE if is_undone else Kept.REMOVED
    return Retained(
        completion_id=completion_id,
        horizon_s=horizon_s,
        age_ms=age_ms,
        state=Kept.KEPT if left.rate >= KEPT_MIN_RATE else gone,
        kept_rate=round(left.rate, 4),
        kept_chars=left.num_chars,
        kept_lines=left.num_lines,
    )


def _unknown(completion_id: str, horizon_s: int, age_ms: float) -> Retained:
    return Retained(
        completion_id=completion_id,
        horizon_s=horizon_s,
        age_ms=age_ms,
        state=Kept.UNKNOWN,
        kept_rate=0.0,
        kept_chars=0,
        kept_lines=0,
    )
