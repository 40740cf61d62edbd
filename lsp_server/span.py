"""A piece of a document that moves with the edits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsp_server.documents import Place, advanced

if TYPE_CHECKING:
    from lsp_server.documents import Edit


class Span:
    """From one place to another; an empty one takes up what is written at its place."""

    __slots__ = ("end", "start")

    def __init__(self, start: Place, end: Place) -> None:
        self.start = start
        self.end = end

    @property
    def places(self) -> tuple[Place, Place]:
        """Start and end."""
        return self.start, self.end

    def follow(self, edit: Edit) -> bool:
        """Move with an edit; say whether it touched the span."""
        is_empty = self.start == self.end
        if edit.start > self.end or (edit.start == self.end and not is_empty):
            return False
        behind = advanced(edit.start, edit.new)
        if edit.end < self.start or (edit.end == self.start and not is_empty):
            self.start = _behind(self.start, edit, behind)
            self.end = _behind(self.end, edit, behind)
            return False
        self.start = min(self.start, edit.start)
        self.end = behind if edit.end >= self.end else _behind(self.end, edit, behind)
        return True


def _behind(place: Place, edit: Edit, behind: Place) -> Place:
    """Return where a place behind an edit stands afterwards."""
    if place.line > edit.end.line:
        return Place(edit.shifted(place.line), place.column)
    return Place(behind.line, behind.column + place.column - edit.end.column)
