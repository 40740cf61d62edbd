"""Words and word n-grams of texts as 64-bit hashes, a batch at a time in numpy.

A word is a run of ASCII letters, digits, underscores and bytes of 128 and above; all else only
separates. A shingle is n words in a row. Near duplicates are found by the shingles two texts
share, benchmark text by the shingles a text shares with a problem.

The hashes depend on the bytes of the words alone: not on the machine, the process or the batch.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 20
"""Texts are taken together in blocks of this size: it bounds memory and stays in the cache."""

_CHUNK_BYTES = 8
_LONG_WORD_BYTES = 64
_IS_WORD_BYTE = bytes(byte >= 128 or chr(byte).isalnum() or byte == ord("_") for byte in range(256))
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_CHUNK_BYTES + 1)], dtype=np.uint64)


class Words(NamedTuple):
    """The words of a buffer in their order."""

    starts: NDArray[np.int64]
    """Where in the buffer each word starts, in bytes."""
    hashes: NDArray[np.uint64]


class Shingles(NamedTuple):
    """The shingles of some texts, in the order of the texts and repeated as often as they occur."""

    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    """Those of text i are `hashes[offsets[i] : offsets[i + 1]]`."""


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a bijection of 64-bit values in which every bit depends on every bit.

    Source: Steele et al. 2014, "Fast splittable pseudorandom number generators", figure 16, with
    the constants of SplitMix64 (Stafford's variant 13), https://doi.org/10.1145/2714064.2660195
    """
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def constants(count: int, seed: int) -> NDArray[np.uint64]:
    """Return the first odd 64-bit constants of a seed.

    Args:
        count: How many.
        seed: Names the sequence, 0 to 255; different seeds share no constant.
    """
    counters = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)
    return mix(counters * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)


_PLACES = constants(64, seed=1)


def find_words(buffer: bytes) -> Words:
    """Return the words of a buffer.

    Words of up to eight bytes never collide, longer ones with the chance of 64 random bits.
    """
    inside = np.frombuffer(b"\0%b\0" % buffer.translate(_IS_WORD_BYTE), dtype=np.uint8)
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts = np.ascontiguousarray(edges[::2])
    lengths = edges[1::2] - starts
    padded = buffer + bytes(_CHUNK_BYTES)
    hashes = _chunks(padded, starts, lengths)
    for skipped in range(_CHUNK_BYTES, _LONG_WORD_BYTES, _CHUNK_BYTES):
        longer = np.flatnonzero(lengths > skipped)
        if not len(longer):
            break
        chunks = _chunks(padded, starts[longer] + skipped, lengths[longer] - skipped)
        hashes[longer] = mix(hashes[longer]) + chunks
    for word in np.flatnonzero(lengths > _LONG_WORD_BYTES):
        text = buffer[starts[word] : starts[word] + lengths[word]]
        digest = hashlib.blake2b(text, digest_size=_CHUNK_BYTES).digest()
        hashes[word] = int.from_bytes(digest, "little")
    return Words(starts, mix(hashes))


def _chunks(
    padded: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Return the next eight bytes of words as numbers; bytes after the word count as zero."""
    # One number at every byte, read where it stands.
    numbers = np.ndarray(len(padded) - _CHUNK_BYTES + 1, dtype="<u8", buffer=padded, strides=(1,))
    return numbers[starts].astype(np.uint64, copy=False) & _MASKS[np.minimum(lengths, _CHUNK_BYTES)]


def join_words(words: NDArray[np.uint64], offsets: NDArray[np.int64], num_words: int) -> Shingles:
    """Return the shingles of texts whose words are given.

    Args:
        words: Word hashes of all texts.
        offsets: Where in `words` each text starts, and the end.
        num_words: Words of a shingle, 1 to 64. A text with fewer words has none.
    """
    assert 1 <= num_words <= len(_PLACES), "there is a constant for each place"
    counts = np.maximum(np.diff(offsets) - (num_words - 1), 0)
    result_offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    num_sums = len(words) - num_words + 1
    if num_sums <= 0:
        return Shingles(np.zeros(0, dtype=np.uint64), result_offsets)
    # Word hashes are as good as random, so a sum with odd weights by place is as well.
    sums = words[:num_sums] * _PLACES[0]
    for place in range(1, num_words):
        sums += words[place : place + num_sums] * _PLACES[place]
    within = np.ones(len(words), dtype=bool)
    for missing in range(1, num_words):
        ends = offsets[1:] - missing
        within[ends[ends >= 0]] = False
    return Shingles(mix(sums[within[:num_sums]]), result_offsets)


def shingles(texts: Sequence[bytes], num_words: int) -> Shingles:
    """Return the shingles of texts.

    Args:
        texts: UTF-8.
        num_words: Words of a shingle. A text with fewer words has none.
    """
    parts = [_shingles_of_block(block, num_words) for block in blocks(texts)]
    counts = [np.diff(part.offsets) for part in parts]
    zero = np.zeros(1, dtype=np.int64)
    none = np.zeros(0, dtype=np.uint64)
    return Shingles(
        np.concatenate([none, *(part.hashes for part in parts)]),
        np.cumsum(np.concatenate([zero, *counts])),
    )


def _shingles_of_block(texts: Sequence[bytes], num_words: int) -> Shingles:
    words = find_words(b"\n".join(texts))
    return join_words(words.hashes, word_offsets(texts, words.starts), num_words)


def word_offsets(texts: Sequence[bytes], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    r"""Return where the words of each text start, and the end.

    Args:
        texts: Whose words were found in `b"\n".join(texts)`.
        starts: Where in there each word starts.
    """
    lengths = np.fromiter((len(text) + 1 for text in texts), dtype=np.int64, count=len(texts))
    borders = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    return np.searchsorted(starts, borders)


def blocks(texts: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the texts in runs of about `BLOCK_BYTES`."""
    ends, size_bytes = [0], 0
    for number, text in enumerate(texts, 1):
        size_bytes += len(text)
        if size_bytes >= BLOCK_BYTES or number == len(texts):
            ends.append(number)
            size_bytes = 0
    for start, end in pairwise(ends):
        yield texts[start:end]
