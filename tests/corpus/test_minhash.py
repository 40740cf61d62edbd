"""Signatures against exact Jaccard similarities and the theory of their error."""

from __future__ import annotations

import numpy as np
import pytest

from training.corpus.minhash import (
    BANDS,
    NUM_PERMUTATIONS,
    ROWS,
    bands_of,
    estimate,
    estimates,
    signatures,
    slots_of,
)
from training.corpus.shingles import Shingles


def shingles_of(sets: list[np.ndarray]) -> Shingles:
    """Return sets of random hashes as if they were the shingles of texts."""
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum([len(each) for each in sets])])
    return Shingles(np.concatenate([np.zeros(0, dtype=np.uint64), *sets]), offsets)


def pairs_with(jaccard: float, size: int, count: int) -> tuple[list[np.ndarray], float]:
    """Return sets a0, b0, a1, b1, ... of `size` elements in the union, and their similarity."""
    rng = np.random.default_rng(size)
    num_common = round(jaccard * size)
    half = (size - num_common) // 2
    sets: list[np.ndarray] = []
    for _ in range(count):
        union = rng.integers(0, 2**64, num_common + 2 * half, dtype=np.uint64)
        sets += [union[: num_common + half], np.delete(union, slice(num_common, num_common + half))]
    return sets, num_common / (num_common + 2 * half)


@pytest.mark.parametrize("size", [6, 30, 255, 1_500, 6_000])
@pytest.mark.parametrize("jaccard", [0.0, 0.3, 0.7, 0.9, 1.0])
def test_the_share_of_equal_slots_is_the_jaccard_similarity(size: int, jaccard: float) -> None:
    count = 200
    sets, exact = pairs_with(jaccard, size, count)
    slots = slots_of(shingles_of(sets))
    full = (slots[::2] == slots[1::2]).mean(axis=1)
    compact = slots.astype(np.uint8)
    short = estimates(compact[::2], compact[1::2])
    # The error of 256 independent slots; drawing without replacement makes it smaller.
    theory = np.sqrt(exact * (1 - exact) / NUM_PERMUTATIONS)
    assert abs(full.mean() - exact) <= 4 * theory / np.sqrt(count)
    assert np.sqrt(((full - exact) ** 2).mean()) <= 1.15 * theory
    # One byte a slot adds chance agreements of 1/256, which the estimate takes out again.
    noise = np.sqrt((1 - exact) / 256 / NUM_PERMUTATIONS)
    assert abs(short.mean() - exact) <= 4 * (theory + noise) / np.sqrt(count) + 0.001
    assert np.sqrt(((short - full) ** 2).mean()) <= 1.5 * noise


@pytest.mark.parametrize(("jaccard", "at_least", "at_most"), [(0.3, 0, 0.02), (0.8, 0.97, 1)])
def test_bands_meet_as_often_as_their_formula_says(
    jaccard: float, at_least: float, at_most: float
) -> None:
    sets, exact = pairs_with(jaccard, 400, 500)
    bands = bands_of(slots_of(shingles_of(sets)))
    share = (bands[::2] == bands[1::2]).any(axis=1).mean()
    expected = 1 - (1 - exact**ROWS) ** BANDS
    assert abs(share - expected) < 0.03
    assert at_least <= share <= at_most


def test_a_set_has_one_signature_in_any_order_and_with_any_repetitions() -> None:
    rng = np.random.default_rng(8)
    one = rng.integers(0, 2**64, 700, dtype=np.uint64)
    other = rng.permutation(np.concatenate([one, one[:300], one[:5]]))
    a, b = slots_of(shingles_of([one, other]))
    assert np.array_equal(a, b)


def test_a_signature_does_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(9)
    sets = [rng.integers(0, 2**64, size, dtype=np.uint64) for size in (0, 1, 6, 100, 3000, 0, 40)]
    together = slots_of(shingles_of(sets))
    alone = np.concatenate([slots_of(shingles_of([each])) for each in sets])
    assert np.array_equal(together, alone)


def test_every_slot_of_a_set_with_one_element_is_filled() -> None:
    slots = slots_of(shingles_of([np.array([42], dtype=np.uint64)]))
    assert (slots < np.iinfo(np.uint64).max).all()


def test_texts_with_fewer_than_ten_words_have_no_signature() -> None:
    nine, ten = b"a b c d e f g h i", b"a b c d e f g h i j"
    made = signatures([b"", nine, ten, "🙂 (;) ß".encode(), ten.replace(b" ", b"\r\n")])
    assert made.present.tolist() == [False, False, True, False, True]
    assert np.array_equal(made.compact[2], made.compact[4])
    assert np.array_equal(made.bands[2], made.bands[4])
    assert (made.compact.shape, made.bands.shape) == ((5, NUM_PERMUTATIONS), (5, BANDS))
    assert (made.compact.dtype, made.bands.dtype) == (np.uint8, np.int64)


def test_an_empty_batch_has_empty_signatures() -> None:
    made = signatures([])
    assert (made.compact.shape, made.bands.shape, made.present.shape) == ((0, 256), (0, 32), (0,))


def test_bands_of_one_signature_differ_although_their_slots_are_equal() -> None:
    assert len(np.unique(bands_of(np.full((1, NUM_PERMUTATIONS), 7, dtype=np.uint64)))) == BANDS


def test_the_estimate_of_two_signatures_is_corrected_for_chance() -> None:
    a = bytes(256)
    assert estimate(a, a) == 1.0
    assert estimate(a, bytes([1]) * 256) == 0.0
    assert estimate(a, bytes(255) + b"\1") == pytest.approx((255 / 256 - 1 / 256) / (255 / 256))
    assert estimate(a, b"\0" + bytes([1]) * 255) == 0.0
