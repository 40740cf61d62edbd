"""Places that were edited lately in an editor session: what comes next often goes with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lsp_server.documents import Edit

MAX_PLACES = 8
NEAR_LINES = 10
"""Edits with fewer lines between them are at one place."""
PLACE_LINES = 16
"""Of a place that has more lines, those nearest to its latest edit count."""


class EditedLines(NamedTuple):
    """Lines of a document."""

    uri: str
    start_line: int
    """From 0."""
    end_line: int
    """The line behind the last one."""


class RecentEdits:
    """The latest places; older ones are forgotten."""

    def __init__(self) -> None:
        self._places: list[EditedLines] = []

    def note(self, uri: str, edit: Edit) -> bool:
        """Note an edit; return whether it is at a new place."""
        self._places = [_moved(each, edit) if each.uri == uri else each for each in self._places]
        start, end = edit.start.line, edit.start.line + edit.new.count("\n") + 1
        there = [each for each in self._places if each.uri == uri and _is_near(each, start, end)]
        first = min([start, *(each.start_line for each in there)])
        last = max([end, *(each.end_line for each in there)])
        first = max(first, min(start, end - PLACE_LINES))
        place = EditedLines(uri, first, min(last, first + PLACE_LINES))
        self._places = [*(each for each in self._places if each not in there), place][-MAX_PLACES:]
        return not there

    def beside(self, uri: str) -> list[EditedLines]:
        """Return the places in other documents, the latest last."""
        return [each for each in self._places if each.uri != uri]


def _is_near(place: EditedLines, start: int, end: int) -> bool:
    return start < place.end_line + NEAR_LINES and place.start_line < end + NEAR_LINES


def _moved(place: EditedLines, edit: Edit) -> EditedLines:
    """Return where a place is after an edit of its document."""
    if place.start_line <= edit.start.line:
        return place
    first = max(edit.start.line, edit.shifted(place.start_line))
    return place._replace(start_line=first, end_line=first + place.end_line - place.start_line)
