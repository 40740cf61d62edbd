"""From a suggestion to what an editor inserts: its text, and the range it replaces."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fimble.text import Position, PositionEncoding, to_lf, with_line_end
from lsp_server.documents import Document, Place, Range, advanced
from lsp_server.trail import Trail

if TYPE_CHECKING:
    from lsp_server.outcomes import Rest

_WORD_BEFORE = re.compile(r"\w*\Z")


class Item(NamedTuple):
    """One suggestion as the editor inserts it."""

    completion_id: str
    insert_text: str
    """The text that takes the place of the range, with the document's line ends."""
    start: Position
    end: Position
    replaced: str
    """What stands in the range now; `insert_text` starts with it."""


class Selected(NamedTuple):
    """The entry that is selected in the editor's popup; items must start with it."""

    span: Range
    text: str


class Target(NamedTuple):
    """Where a suggestion continues, and from where on it is told apart from what is typed."""

    document: Document
    """The document as it would be with the selected entry in it."""
    place: Place
    trail: Trail
    """The place the suggestion starts at, with what stands there of it already."""
    head: str
    """Text that a suggestion starts with: the selected entry."""


def target_of(
    document: Document, place: Place, selected: Selected | None, encoding: PositionEncoding
) -> Target:
    """Return where a completion at `place` continues.

    Raises:
        PositionError: The selected entry lies outside the document.
    """
    if selected is None:
        return Target(document, place, Trail(place), "")
    start = document.place(selected.span.start, encoding)
    written = document.tail(place, place.column - start.column) if start < place else ""
    head = to_lf(selected.text)
    imagined = replace(document, lines=list(document.lines))
    imagined.replace(selected.span, selected.text, encoding)
    return Target(imagined, advanced(start, head), Trail(start, written), head)


def item_for(
    rest: Rest,
    *,
    document: Document,
    place: Place,
    encoding: PositionEncoding,
    line_end: str,
    from_word: bool,
) -> Item:
    """Return the item that puts `rest` at `place`.

    Its range starts at the line's first character that is not blank, so that the item outlives a
    backspace, or at the word before the cursor. With text behind the cursor the range is empty:
    editors draw over the line's end where it is not.
    """
    head = document.head(place)
    if from_word:
        found = _WORD_BEFORE.search(head)
        column = found.start() if found else len(head)
    elif document.rest(place).strip():
        column = len(head)
    else:
        column = len(head) - len(head.lstrip(" \t"))
    replaced = head[column:]
    return Item(
        completion_id=rest.completion_id,
        insert_text=replaced + with_line_end(rest.text, line_end),
        start=document.position(Place(place.line, column), encoding),
        end=document.position(place, encoding),
        replaced=replaced,
    )


def item_with_selected(rest: Rest, selected: Selected, *, line_end: str) -> Item:
    """Return the item for a suggestion that starts with the selected entry."""
    return Item(
        completion_id=rest.completion_id,
        insert_text=with_line_end(rest.text, line_end),
        start=selected.span.start,
        end=selected.span.end,
        replaced="",
    )
