"""What the user writes from one place on.

A suggestion and a running generation both belong to the place where they were asked for. A trail
follows the edits of the document and knows the text that was written there since, so that typing
along can be told from typing something else. It needs no cursor: editors report edits, not cursors.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from lsp_server.documents import Place, advanced

if TYPE_CHECKING:
    from lsp_server.documents import Document, Edit

MAX_BATCH_CHARS = 3
"""So many keys may be reported at once: Neovim waits 150 ms, and ten keys a second are fast."""
FLOW_MS = 250.0
"""Who types goes on within so long; who accepts a word has read it first."""
ONE_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)\s*")
_CLOSED_BY_EDITORS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`"}


class Step(Enum):
    """What an edit did to a trail."""

    NONE = "none"
    GREW = "grew"
    SHRANK = "shrank"
    CHANGED = "changed"
    """Other text stands there now."""
    ELSEWHERE = "elsewhere"
    """The edit was in another part of the document."""
    LOST = "lost"
    """The text before the place changed on its line: the place is not what it was."""


class Followed(NamedTuple):
    """The result of following one edit."""

    step: Step
    added: str = ""
    """What came at the end, for `GREW`."""


class Trail:
    """Text that was written from one place on, LF only."""

    __slots__ = ("anchor", "text")

    def __init__(self, anchor: Place, text: str = "") -> None:
        self.anchor = anchor
        self.text = text

    @property
    def end(self) -> Place:
        """The place behind the text: where the cursor is if the user just wrote it."""
        return advanced(self.anchor, self.text)

    def follow(self, edit: Edit, document: Document, wanted: str) -> Followed:
        """Take over one edit.

        Args:
            edit: What changed.
            document: The document after the edit.
            wanted: Text that the user might be writing, from the anchor on.
        """
        if edit.old == edit.new:
            return Followed(Step.NONE)
        if edit.start > self.end:
            rotated = self._rotated(edit, document)
            if rotated and wanted.startswith(self.text + rotated):
                return self._became(self.text + rotated)
            return Followed(Step.ELSEWHERE)
        if edit.start < self.anchor:
            return self._moved(edit)
        start = self._index(edit.start)
        end = self._index(edit.end) if edit.end <= self.end else len(self.text)
        text = self.text[:start] + edit.new + self.text[end:]
        return self._became(_without_auto_closed(text, wanted))

    def _became(self, text: str) -> Followed:
        old, self.text = self.text, text
        if text == old:
            return Followed(Step.NONE)
        if text.startswith(old):
            return Followed(Step.GREW, text[len(old) :])
        return Followed(Step.SHRANK if old.startswith(text) else Step.CHANGED)

    def _moved(self, edit: Edit) -> Followed:
        """Take over an edit that starts before the anchor."""
        if edit.end.line < self.anchor.line:
            self.anchor = Place(edit.shifted(self.anchor.line), self.anchor.column)
            return Followed(Step.ELSEWHERE)
        keeps_head = edit.end.column == 0 and edit.end <= self.anchor
        whole_lines = edit.new.endswith("\n") or (not edit.new and edit.start.column == 0)
        if keeps_head and whole_lines:
            self.anchor = Place(edit.shifted(self.anchor.line), self.anchor.column)
            return Followed(Step.ELSEWHERE)
        return Followed(Step.LOST)

    def _index(self, place: Place) -> int:
        """Return the index into the text of a place within the trail."""
        lines = place.line - self.anchor.line
        if not lines:
            return place.column - self.anchor.column
        start = 0
        for _ in range(lines):
            start = self.text.index("\n", start) + 1
        return start + place.column

    def _rotated(self, edit: Edit, document: Document) -> str:
        """Return an insertion behind the trail as if it stood at its end; empty if it cannot.

        Editors that compare old and new text report a character typed before an equal one as
        inserted behind that one, and a line that was begun before a line end as one inserted
        behind it: both explain the change.
        """
        end = self.end
        if edit.old or edit.start.line - end.line > edit.new.count("\n"):
            return ""
        gap = document.between(end, edit.start)
        if len(gap) > len(edit.new):
            return ""
        text = document.after(end, len(gap) + len(edit.new))
        return text[: len(edit.new)] if text[len(edit.new) :] == gap else ""


def _without_auto_closed(text: str, wanted: str) -> str:
    """Return `text` without a closing mark that the editor itself put behind an opening one."""
    if len(text) < 2 or _CLOSED_BY_EDITORS.get(text[-2]) != text[-1] or wanted.startswith(text):
        return text
    return text[:-1] if wanted.startswith(text[:-1]) else text


class Between(NamedTuple):
    """What surrounds an addition."""

    before: str
    """What stood before it."""
    behind: str
    """What was suggested behind it."""
    pause_ms: float
    """Since what came before it."""


def is_typed(added: str, between: Between) -> bool:
    """Return whether `added`, which came in one edit, is what one hand writes.

    That is one character, a pair that the editor closes itself, a line end with the indentation
    that the editor adds, or a few keys at once: editors that wait for a pause before they report
    send what was typed meanwhile in one edit. Who accepts a part takes one whole word, or
    all the rest.
    """
    if len(added) == 1 or added.isspace() or _CLOSED_BY_EDITORS.get(added[0]) == added[1:]:
        return True
    if len(added) > MAX_BATCH_CHARS:
        return False
    is_cut_before = _is_word(between.before[-1:]) and _is_word(added[0])
    is_cut_behind = _is_word(added[-1]) and _is_word(between.behind[:1])
    is_part = ONE_WORD.fullmatch(added) is not None or not between.behind
    return is_cut_before or is_cut_behind or not is_part or between.pause_ms < FLOW_MS


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"
