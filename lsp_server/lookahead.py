"""What the editor is about to ask for, from what it has asked for and what the user writes.

The first key on a line costs the most: the text around the cursor is another one, and the engine
must read it. So that is begun with the key, and not when the editor asks some 50 to 200 ms later.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from fimble.events import Trigger
from lsp_server.documents import Place, advanced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lsp_server.documents import Document, Edit

MAX_UNASKED = 3
"""So many beginnings that the editor did not ask for show that it does not ask by itself."""
MAX_REMEMBERED = 256
_MAX_KEY_CHARS = 3
"""Editors may report a few keys at once."""


class Lookahead:
    """The habits of one editor."""

    def __init__(self) -> None:
        self._asks_by_itself = False
        self._num_unasked = 0
        self._worked_at: OrderedDict[str, Place] = OrderedDict()
        self._deleted_at: dict[str, Place] = {}

    def asked(self, uri: str, place: Place, trigger: Trigger) -> None:
        """The editor has asked."""
        self._remember(uri, place)
        if trigger is Trigger.AUTOMATIC:
            self._asks_by_itself = True
            self._num_unasked = 0

    def edited(self, edits: Sequence[Edit], document: Document) -> Place | None:
        """Return the place to begin at because the user began to write there; None if nowhere."""
        if not edits:
            return None
        uri, edit = document.uri, edits[-1]
        self._deleted_at.pop(uri, None)
        if _is_deletion(edit, document):
            self._deleted_at[uri] = edit.start
        if len(edits) > 1 or not is_key(edit):
            return None
        place = advanced(edit.start, edit.new)
        before = self._worked_at.get(uri)
        self._remember(uri, place)
        if not self._asks_by_itself or (before is not None and before.line == place.line):
            return None
        self._num_unasked += 1
        if self._num_unasked > MAX_UNASKED:
            self._asks_by_itself = False
        return place

    def is_deleting(self, uri: str, place: Place) -> bool:
        """Whether the latest edit of a document was a backspace at `place`."""
        return self._deleted_at.get(uri) == place

    def worked_at(self, document: Document) -> Place | None:
        """Return where the user was in a document, if that still exists."""
        place = self._worked_at.get(document.uri)
        if place is None or place.line >= len(document.lines):
            return None
        length = len(document.lines[place.line].rstrip("\r\n"))
        return Place(place.line, min(place.column, length))

    def _remember(self, uri: str, place: Place) -> None:
        self._worked_at[uri] = place
        self._worked_at.move_to_end(uri)
        if len(self._worked_at) > MAX_REMEMBERED:
            self._worked_at.popitem(last=False)


def is_key(edit: Edit) -> bool:
    """Return whether an edit writes what a key or two write, and a cursor stands behind."""
    if edit.old or not edit.new:
        return False
    return edit.new.isspace() or (len(edit.new) <= _MAX_KEY_CHARS and edit.new[-1] not in ")]}\"'`")


def _is_deletion(edit: Edit, document: Document) -> bool:
    """Return whether an edit is a backspace that leaves something on its line.

    Who deletes a word or a selection wants something else there.
    """
    if edit.new or not edit.old or "\n" in edit.old:
        return False
    if len(edit.old) > _MAX_KEY_CHARS and not edit.old.isspace():
        return False
    return bool(document.head(edit.start).strip() or document.rest(edit.start).strip())
