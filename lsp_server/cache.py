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
        self._befores: dict[str, list[str]] = {}
        """Texts before a cursor, by the text behind it: few are worth a closer look."""

    def put(self, around: Around, answered: Answered) -> None:
        """Remember the answer for the text around a cursor."""
        before, after = around.before[-BEFORE_CHARS:], around.after
        if (before, after) not in self._answers:
            self._befores.setdefault(after, []).append(before)
        self._answers[before, after] = answered
        self._answers.move_to_end((before, after))
        if len(self._answers) > self._size:
            self._forget(*self._answers.popitem(last=False)[0])

    def find(self, around: Around) -> Answered | None:
        """Return the answer for this text or, for text typed along an answer, its rest.

        Of several answers that fit, that of the latest place is taken.
        """
        best: tuple[int, str] | None = None
        for before in self._befores.get(around.after, ()):
            num_typed = self._num_typed(around, before)
            if num_typed is not None and (best is None or num_typed < best[0]):
                best = num_typed, before
        if best is None:
            return None
        num_typed, before = best
        self._answers.move_to_end((before, around.after))
        found = self._answers[before, around.after]
        return found._replace(text=found.text[num_typed:])

    def _num_typed(self, around: Around, before: str) -> int | None:
        """Return how much of an answer was typed since its place; None if anything else was."""
        now = around.before
        answer = self._answers[before, around.after].text
        is_cut = len(before) == BEFORE_CHARS
        for num_typed in range(min(MAX_TYPED_CHARS, len(now), max(len(answer) - 1, 0)) + 1):
            end = len(now) - num_typed
            # What was found must be all that the key of this place would hold.
            if (
                (is_cut or end == len(before))
                and now.endswith(before, 0, end)
                and answer.startswith(now[end:])
            ):
                return num_typed
        return None

    def _forget(self, before: str, after: str) -> None:
        befores = self._befores[after]
        befores.remove(before)
        if not befores:
            del self._befores[after]
