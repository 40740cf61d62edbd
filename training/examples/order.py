"""A random order of any number of things that takes no memory: each place of it is computed.

A list of all documents, or of all rows, would grow with the corpus in every process that reads it.

Source: Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains", section 4 (cycle walking)
and section 5 (Feistel network).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUM_ROUNDS = 6


class Order:
    """A permutation of the numbers below `size`, drawn from `rng`."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        """Draw an order.

        Args:
            size: How many things are ordered.
            rng: Source of all chance.
        """
        self._size = size
        half_bits = max(1, ((max(size, 2) - 1).bit_length() + 1) // 2)
        self._half_bits = np.uint64(half_bits)
        self._half_mask = np.uint64((1 << half_bits) - 1)
        self._keys = rng.integers(0, 1 << 64, size=_NUM_ROUNDS, dtype=np.uint64)

    def __len__(self) -> int:
        return self._size

    def at(self, places: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return what stands at each of `places`, which are numbers below `size`.

        The network permutes a power of four that is at most four times as large as needed; what
        lands outside goes through it again until it lands inside.
        """
        found = self._shuffled(places.astype(np.uint64))
        while (is_outside := found >= self._size).any():
            found[is_outside] = self._shuffled(found[is_outside])
        return found.astype(np.int64)

    def _shuffled(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = numbers >> self._half_bits, numbers & self._half_mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right + key) & self._half_mask)
        return (left << self._half_bits) | right


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 bits that look random for each number (the finaliser of SplitMix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
