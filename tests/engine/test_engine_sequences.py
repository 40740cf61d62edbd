"""Which cached sequence a prompt gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lsp_server.engines.sequences import SequencePool, common_length

if TYPE_CHECKING:
    from collections.abc import Sequence


class Tokens:
    """A sequence that is nothing but its ids; it counts what it copied."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.copied_tokens = 0

    def copy_from(self, other: Tokens, length_tokens: int) -> None:
        self.ids = other.ids[:length_tokens]
        self.copied_tokens += length_tokens


def use(pool: SequencePool[Tokens], prompt: Sequence[int]) -> tuple[Tokens, int]:
    """Lease, let the engine read the prompt, give back; return the sequence and what it had."""
    lease = pool.lease(prompt)
    assert lease.sequence.ids[: lease.cached_tokens] == list(prompt[: lease.cached_tokens])
    lease.sequence.ids = list(prompt)
    pool.give_back(lease.sequence)
    return lease.sequence, lease.cached_tokens


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [([], [1], 0), ([1, 2], [1, 2], 2), ([1, 2], [1, 2, 3], 2), ([1, 2, 3], [1, 9, 3], 1)],
)
def test_the_common_length_ends_at_the_first_difference(
    left: list[int], right: list[int], expected: int
) -> None:
    assert common_length(left, right) == common_length(right, left) == expected


def test_typing_takes_over_the_sequence_of_the_same_file() -> None:
    pool = SequencePool(Tokens, limit=4)
    first, cached = use(pool, [1, 2, 3, 4])
    assert cached == 0

    second, cached = use(pool, [1, 2, 3, 5, 6])

    assert second is first
    assert cached == 3
    assert second.copied_tokens == 0


def test_a_prompt_may_be_in_the_cache_as_a_whole() -> None:
    pool = SequencePool(Tokens, limit=4)
    first, _ = use(pool, [1, 2, 3])

    assert use(pool, [1, 2, 3]) == (first, 3)
    assert use(pool, [1, 2]) == (first, 2)


def test_what_stood_behind_the_common_start_is_told() -> None:
    pool = SequencePool(Tokens, limit=4)
    use(pool, [1, 2, 3, 4, 5, 6])

    def former(prompt: list[int]) -> tuple[int, ...]:
        lease = pool.lease(prompt)
        pool.give_back(lease.sequence)
        return lease.former

    assert former([1, 2, 3, 4]) == (5, 6)  # taken over
    assert former([1, 9]) == (2, 3, 4, 5, 6)  # copied
    assert former([1, 2, 3, 4, 5, 6, 7]) == ()
    assert former([8]) in {(1,), (1, 9), (1, 2, 3, 4, 5, 6)}


def test_another_file_copies_the_common_start_and_leaves_the_first_as_it_is() -> None:
    pool = SequencePool(Tokens, limit=4)
    first, _ = use(pool, [1, 2, 3, 4, 5, 6])

    second, cached = use(pool, [1, 2, 9, 9])

    assert second is not first
    assert (cached, second.copied_tokens) == (2, 2)
    assert use(pool, [1, 2, 3, 4, 5, 6, 7]) == (first, 6)


def test_the_least_recently_used_sequence_goes_first() -> None:
    pool = SequencePool(Tokens, limit=2)
    use(pool, [1, 1, 1, 1])
    use(pool, [2, 2, 2, 2])
    use(pool, [1, 1, 1, 1, 1])

    use(pool, [3, 3, 3, 3])

    assert use(pool, [1, 1, 1, 1, 1, 1])[1] == 5
    assert use(pool, [2, 2, 2, 2])[1] == 0


def test_a_sequence_in_use_is_copied_never_shared() -> None:
    pool = SequencePool(Tokens, limit=2)
    busy = pool.lease([1, 2, 3, 4])
    busy.sequence.ids = [1, 2, 3, 4]

    other = pool.lease([1, 2, 3, 4, 5])

    assert other.sequence is not busy.sequence
    assert other.cached_tokens == 4
    with pytest.raises(AssertionError, match="more sequences in use"):
        pool.lease([1])
