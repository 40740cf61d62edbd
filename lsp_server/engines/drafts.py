"""Guesses at the next tokens: what an answer just before said, or what came after the same two.

Code repeats itself, and so does a model that is asked again at the next key. A forward pass over
five tokens takes some 1.5 times as long as one over a single token, so guesses pay where a good
share of them is right; those that are wrong are never seen, because the model has the last word on
each token.

Source: prompt lookup decoding, github.com/apoorvumang/prompt-lookup-decoding; verification as in
Leviathan et al. 2023, arXiv:2211.17192, section 2, for greedy decoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NUM_DRAFTED_TOKENS = 4
"""Guesses a step. Of 2, 4 and 7, four made real completions fastest."""
_Pair = tuple[int, int]


class Drafts:
    """Guesses for one text that grows.

    Args:
        former: What was generated at about the same place before.
    """

    def __init__(self, former: Sequence[int] = ()) -> None:
        self._former = former
        self._behind_former = _places_behind(former)
        self._behind: dict[_Pair, int] = {}
        """Where a pair of tokens stood last, by its place behind it."""
        self._num_known = 2

    def after(self, ids: Sequence[int], *, limit: int) -> list[int]:
        """Return guesses at what follows `ids`, at most `limit`; maybe none.

        Args:
            ids: The prompt and all that was generated; each call's start with the last call's.
            limit: Most guesses that are wanted.
        """
        for place in range(self._num_known, len(ids)):
            self._behind[ids[place - 2], ids[place - 1]] = place
        self._num_known = max(self._num_known, len(ids))
        if len(ids) < 2:
            return []
        pair, count = (ids[-2], ids[-1]), min(limit, NUM_DRAFTED_TOKENS)
        if (found := self._behind_former.get(pair)) is not None:
            return list(self._former[found : found + count])
        found = self._behind.get(pair)
        return [] if found is None else list(ids[found : found + count])


def _places_behind(ids: Sequence[int]) -> dict[_Pair, int]:
    """Return the place behind each pair of tokens, the last one where it stands several times."""
    return {(ids[place - 2], ids[place - 1]): place for place in range(2, len(ids))}
