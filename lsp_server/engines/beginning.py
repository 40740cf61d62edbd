"""Text that an answer must begin with: what stands before the cursor, see `fimble.begun`.

The prompt ends before it, and the first tokens are chosen among those that spell it; the last of
them may reach over its end. What comes behind it is the answer.

Source: token healing, github.com/guidance-ai/guidance, notebooks/art_of_prompt_design.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lsp_server.engines.sampling import Scores
    from lsp_server.engines.vocabulary import Vocabulary

_LAST = b"\xff" * 8
"""Sorts behind every text: no byte of UTF-8 is 0xFF."""


class Spelling:
    """A vocabulary in the order of its tokens' bytes."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        known = ((vocabulary.token_bytes(number), number) for number in range(vocabulary.size))
        self._sorted = sorted(pair for pair in known if pair[0])

    def that_spell(self, text: bytes) -> list[int]:
        """Return the tokens that start with a text, and those that the text starts with."""
        found: list[int] = []
        for size in range(1, len(text)):
            at = bisect_left(self._sorted, (text[:size], -1))
            while at < len(self._sorted) and self._sorted[at][0] == text[:size]:
                found.append(self._sorted[at][1])
                at += 1
        start = bisect_left(self._sorted, (text, -1))
        end = bisect_left(self._sorted, (text + _LAST, -1))
        return found + [number for _, number in self._sorted[start:end]]


class Beginning:
    """What is left to be spelled of one answer's beginning.

    Args:
        text: The beginning; may be empty.
        spelling: The model's vocabulary.
    """

    def __init__(self, text: str, spelling: Spelling) -> None:
        self._left = text.encode()
        self._spelling = spelling

    @property
    def is_spelled(self) -> bool:
        """Whether nothing is left."""
        return not self._left

    def guesses(self, *, limit: int) -> list[int]:
        """Return the tokens that what is left is usually made of, but for the last.

        The last one may be the start of a longer token. Nobody sees these: each is compared with
        what the model chooses.
        """
        try:
            text = self._left.decode()
        except UnicodeDecodeError:  # the last token ended within a character
            return []
        return self._spelling.vocabulary.encode([text])[:-1][:limit] if text else []

    def only_fitting(self, logits: Scores) -> Scores:
        """Return scores in which only tokens that spell what is left have a chance."""
        if self.is_spelled:
            return logits
        fitting = self._spelling.that_spell(self._left)
        if not fitting:  # a vocabulary without this byte: nothing can be spelled with it
            self._left = b""
            return logits
        scores = np.full_like(logits, -np.inf)
        scores[fitting] = logits[fitting]
        return scores

    def behind(self, token: bytes) -> bytes:
        """Take a token that fits; return what of it lies behind the beginning."""
        behind = token[len(self._left) :]
        self._left = self._left[len(token) :]
        return behind
