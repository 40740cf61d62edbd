"""How text comes into documents: typed, completed, deleted, pasted; counted by language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fimble.events import TYPING_PERIOD_MS, Typing
from lsp_server.trail import Between, is_typed

if TYPE_CHECKING:
    from lsp_server.documents import Edit

LONGEST_PAUSE_MS = 60_000
"""A longer pause is no part of the active time."""


@dataclass(slots=True)
class _Counts:
    """What was counted for a language since `since_ms`."""

    since_ms: float
    active_ms: float = 0.0
    inserted_chars: int = 0
    completed_chars: int = 0
    deleted_chars: int = 0
    pasted_chars: int = 0


class Writing:
    """The counters of one session; pure, like `outcomes`."""

    def __init__(self) -> None:
        self._counts: dict[str, _Counts] = {}
        self._last_ms: float | None = None

    def edited(self, language: str, edit: Edit, *, is_completion: bool, now_ms: float) -> None:
        """Count an edit.

        Args:
            language: Our name of the document's language.
            edit: What changed.
            is_completion: The new text is what a suggestion on screen went on with, in one piece.
            now_ms: The time.
        """
        if edit.old == edit.new:
            return
        pause_ms = 0.0 if self._last_ms is None else now_ms - self._last_ms
        active_ms = pause_ms if pause_ms <= LONGEST_PAUSE_MS else 0.0
        self._last_ms = now_ms
        counts = self._counts.setdefault(language, _Counts(now_ms - active_ms))
        counts.active_ms += active_ms
        counts.deleted_chars += len(edit.old)
        if not edit.new:
            return
        if is_completion:
            counts.completed_chars += len(edit.new)
        elif is_typed(edit.new, Between("", "", pause_ms)):
            counts.inserted_chars += len(edit.new)
        else:
            counts.pasted_chars += len(edit.new)

    def tick(self, now_ms: float) -> list[Typing]:
        """Return the counts of the languages whose period is over."""
        due = [n for n, c in self._counts.items() if now_ms >= c.since_ms + TYPING_PERIOD_MS]
        return [self._pop(language, now_ms) for language in due]

    def ended(self, now_ms: float) -> list[Typing]:
        """Return all counts."""
        return [self._pop(language, now_ms) for language in list(self._counts)]

    def next_due_ms(self) -> float | None:
        """Return when `tick` has something to do; None if it has not."""
        due = (counts.since_ms + TYPING_PERIOD_MS for counts in self._counts.values())
        return min(due, default=None)

    def _pop(self, language: str, now_ms: float) -> Typing:
        counts = self._counts.pop(language)
        return Typing(
            language=language,
            period_ms=now_ms - counts.since_ms,
            active_ms=counts.active_ms,
            inserted_chars=counts.inserted_chars,
            completed_chars=counts.completed_chars,
            deleted_chars=counts.deleted_chars,
            pasted_chars=counts.pasted_chars,
        )
