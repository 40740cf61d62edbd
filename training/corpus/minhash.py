"""MinHash signatures of texts, their bands, and what two signatures say about two texts.

Texts that share shingles share slots of their signatures: the share of equal slots estimates the
Jaccard similarity of the two sets of shingles. Candidates are texts with an equal band.

Source: Broder 1997, "On the resemblance and containment of documents",
https://doi.org/10.1109/SEQUEN.1997.666900
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.corpus.shingles import Shingles, constants, mix, shingles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NGRAM_WORDS = 5
"""Words of a shingle.

Source: Allal et al. 2023 (SantaCoder), section 4.2.1: 5-grams, https://arxiv.org/abs/2301.03988
"""

NUM_PERMUTATIONS = 256
"""Slots of a signature: the standard error of an estimate near 0.7 is 0.03.

Source: Allal et al. 2023 (SantaCoder), section 4.2.1; Li et al. 2023 (StarCoder), section 3.4
"""

BANDS, ROWS = 32, 8
"""Bands of a signature and slots of a band: 0.7 is found with 0.85, 0.8 with 0.997 probability.

Fewer and longer bands, as at BigCode, find fewer pairs; candidates that are none cost little here,
because each is checked.
Source: Leskovec et al. 2020, "Mining of Massive Datasets", section 3.4.2: 1 - (1 - s^rows)^bands
"""

THRESHOLD = 0.7
"""Estimated similarity from which on two texts are near duplicates.

Source: Li et al. 2023 (StarCoder), section 3.4, https://arxiv.org/abs/2305.06161
"""

MARGIN = 0.015
"""How far an estimate must lie above the threshold: half of its standard error.

Near the threshold as many pairs lie below as above, and luck lifts some of those over it; precision
goes before the recall of pairs that are barely near duplicates.
"""

MIN_WORDS = 10
"""Texts with fewer words have no signature: only equal ones are duplicates.

In so short a text the operators matter as much as the words, and words are all that a shingle sees.
Source: MIN_NUM_TOKENS of codeparrot's minhash_deduplication.py, which BigCode started from
"""

_RANK_BITS = 48
_EMPTY = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_CHANCE = 1 / 256


class Signatures(NamedTuple):
    """What a stage keeps of a batch of texts, a row for each."""

    compact: NDArray[np.uint8]
    """One byte of each slot, for `estimates`."""
    bands: NDArray[np.int64]
    """A hash of each band."""
    present: NDArray[np.bool_]
    """False where the text has fewer than `MIN_WORDS` words; its row means nothing."""


def signatures(texts: Sequence[bytes]) -> Signatures:
    """Return the signatures of texts.

    Args:
        texts: UTF-8.
    """
    found = shingles(texts, NGRAM_WORDS)
    slots = slots_of(found)
    present = np.diff(found.offsets) > MIN_WORDS - NGRAM_WORDS
    return Signatures(slots.astype(np.uint8), bands_of(slots), present)


def slots_of(found: Shingles) -> NDArray[np.uint64]:
    """Return the full signatures: a row of `NUM_PERMUTATIONS` slots for each text.

    Every shingle falls into one slot a round, with a random rank; a slot keeps the least rank of
    the first round that reaches it. A text whose slots are all filled takes no part in the next
    round, so long texts need one round where classical MinHash takes 256.

    Source: Dahlgaard, Knudsen and Thorup 2017, "Fast similarity sketching", algorithm 1,
    https://arxiv.org/abs/1704.04370
    """
    num_texts = len(found.offsets) - 1
    slots = np.full((num_texts, NUM_PERMUTATIONS), _EMPTY)
    counts = np.diff(found.offsets)
    hashes, open_texts = found.hashes, np.flatnonzero(counts)
    for number, seed in enumerate(constants(2 * NUM_PERMUTATIONS, seed=2)):
        if not len(open_texts):
            break
        drawn = mix(hashes ^ seed)
        # The first rounds draw a slot; each of the later ones fills one slot of every text.
        places = (drawn >> np.uint64(64 - 8)).astype(np.int64)
        if number >= NUM_PERMUTATIONS:
            places[:] = number - NUM_PERMUTATIONS
        places += np.repeat(open_texts * NUM_PERMUTATIONS, counts[open_texts])
        ranks = drawn & np.uint64((1 << _RANK_BITS) - 1) | np.uint64(number << _RANK_BITS)
        np.minimum.at(slots.reshape(-1), places, ranks)
        still_open = (slots[open_texts] == _EMPTY).any(axis=1)
        hashes = hashes[np.repeat(still_open, counts[open_texts])]
        open_texts = open_texts[still_open]
    return slots


def bands_of(slots: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return a hash of each band, `BANDS` a row; different bands never share hashes on purpose."""
    rows = mix(slots).reshape(-1, BANDS, ROWS) * constants(ROWS, seed=3)
    sums = rows.sum(axis=2, dtype=np.uint64) + constants(BANDS, seed=4)
    return mix(sums).view(np.int64)


def estimates(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the estimated Jaccard similarity of each row of `a` with the same row of `b`.

    One byte of two different slots is equal with a chance of 1/256; the estimate is corrected for
    it, so that two texts without a common shingle give 0 on average.
    Source: Li and König 2010, "b-bit minwise hashing", section 2, https://arxiv.org/abs/0910.3349
    """
    equal = (a == b).mean(axis=1)
    return np.maximum((equal - _CHANCE) / (1 - _CHANCE), 0.0)


def estimate(a: bytes, b: bytes) -> float:
    """Return the estimated Jaccard similarity of two compact signatures, 0 to 1."""
    rows = [np.frombuffer(each, dtype=np.uint8).reshape(1, -1) for each in (a, b)]
    return float(estimates(rows[0], rows[1])[0])
