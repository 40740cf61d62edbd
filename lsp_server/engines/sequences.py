"""The key-value cache of the engine: a few sequences, each kept for the prompt that comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Cached(Protocol):
    """Keys and values of the tokens `ids`."""

    ids: list[int]

    def copy_from(self, other: Self, length_tokens: int) -> None:
        """Become the first `length_tokens` of `other`."""
        ...


C = TypeVar("C", bound=Cached)
MAX_FORMER_TOKENS = 256


class Lease(NamedTuple, Generic[C]):
    """A sequence that nobody else uses until it is given back."""

    sequence: C
    cached_tokens: int
    """So many tokens of the prompt are in the sequence, maybe all."""
    former: tuple[int, ...]
    """What stood behind them: the answer to a prompt before, or the end of that prompt."""


class SequencePool(Generic[C]):
    """Hands out sequences, those with the longest common start first.

    Args:
        create: Makes an empty sequence.
        limit: Most sequences to keep, and to hand out at a time.
    """

    def __init__(self, create: Callable[[], C], *, limit: int) -> None:
        self._create = create
        self._limit = limit
        self._idle: list[C] = []
        """Least recently used first."""
        self._leased: list[C] = []

    def lease(self, ids: Sequence[int]) -> Lease[C]:
        """Return a sequence for the prompt `ids`.

        A sequence is taken over when the prompt keeps at least half of it, as it does when somebody
        types. Otherwise it is likely another file's: what both start with is copied.
        """
        assert len(self._leased) < self._limit, "more sequences in use than there are"
        everything = [*self._idle, *self._leased]
        best = max(everything, key=lambda s: common_length(s.ids, ids), default=None)
        kept = common_length(best.ids, ids) if best else 0
        former = tuple(best.ids[kept:][:MAX_FORMER_TOKENS]) if best else ()
        if best in self._idle and 2 * kept >= len(best.ids):
            self._idle.remove(best)
            chosen = best
        else:
            chosen = self._vacant()
            if best is not None and best is not chosen:
                chosen.copy_from(best, kept)
        self._leased.append(chosen)
        return Lease(chosen, kept, former)

    def give_back(self, sequence: C) -> None:
        """Make a leased sequence the most recently used idle one."""
        self._leased.remove(sequence)
        self._idle.append(sequence)

    def _vacant(self) -> C:
        """Return a sequence whose content may go."""
        if len(self._idle) + len(self._leased) < self._limit:
            return self._create()
        return self._idle.pop(0)


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many ids both start with."""
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))
