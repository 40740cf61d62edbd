"""Earlier answers of a document, found again by the text around the cursor.

An answer is found where the text around the cursor is the same again, and where it is the earlier
text plus characters of the answer that were typed since: then its rest is found.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lsp_server.backend import Answerer

MAX_TYPED_CHARS = 200
"""An answer is found again after so many typed characters at most."""
BEFORE_CHARS = 3072
AFTER_CHARS = 1024
"""Text that counts as around the cursor: what a prompt of the usual size can hold."""


class Around(NamedTuple):
    """The text around a cursor, LF only."""

    before: str
    """The last characters before it, `BEFORE_CHARS + MAX_TYPED_CHARS` where there are so many."""
    after: str
    """The first `AFTER_CHARS` characters behind it."""


class Answered(NamedTuple):
    """A finished answer; an empty text means that there was nothing to suggest."""

    text: str
    stop_reason: str
    scope: str
    mean_logprob: float
    prefix_chars: int
    """Characters before the cursor that the prompt held."""
    suffix_chars: int
    """Characters behind the cursor that the prompt held."""
    answerer: Answerer


class AnswerCache:
    """The latest answers, up to `size`."""

    def __init__(self, size: int = 128) -> None:
        self._size = size
        self._answers: OrderedDict[tuple[str, str], Answered] = OrderedDict()

    def put(self, around: Around, answered: Answered) -> None:
        """Remember the answer for the text around a cursor."""
        key = (around.before[-BEFORE_CHARS:], around.after)
        self._answers[key] = answered
        self._answers.move_to_end(key)
        if len(self._answers) > self._size:
            self._answers.popitem(last=False)

    def find(self, around: Around) -> Answered | None:
        """Return the answer for this text or, for text typed along an answer, its rest."""
        before, after = around
        for num_typed in range(min(MAX_TYPED_CHARS, len(before)) + 1):
            end = len(before) - num_typed
            found = self._answers.get((before[max(0, end - BEFORE_CHARS) : end], after))
            if found is None:
                continue
            rest = found.text[num_typed:]
            if found.text.startswith(before[end:]) and (rest or not num_typed):
                self._answers.move_to_end((before[max(0, end - BEFORE_CHARS) : end], after))
                return found._replace(text=rest)
        return None
