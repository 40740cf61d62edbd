"""Examples into rows: best-fit decreasing, whole examples only.

No example is cut at a row's border, so no middle loses its end. Rows are filled to 98% or more with
code-sized examples; the rest is padding.

Source: Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv:2404.10830.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Packing(NamedTuple):
    """Which examples share a row."""

    rows: list[list[int]]
    """Indices of examples, by row."""
    num_padding_tokens: int


def pack(lengths: np.ndarray, row_tokens: int) -> Packing:
    """Assign examples to rows.

    Args:
        lengths: (N,) tokens of each example, each at most `row_tokens`.
        row_tokens: Tokens of a row.

    Raises:
        ValueError: An example is longer than a row.
    """
    if len(lengths) and int(lengths.max()) > row_tokens:
        raise ValueError(f"an example has {int(lengths.max())} tokens; a row has {row_tokens}")
    by_space: list[list[int]] = [[] for _ in range(row_tokens + 1)]
    open_spaces = _SpaceIndex(row_tokens)
    rows: list[list[int]] = []
    for index in np.argsort(-lengths, kind="stable"):
        length = int(lengths[index])
        space = open_spaces.smallest_at_least(length)
        if space is None:
            row, space = len(rows), row_tokens
            rows.append([])
        else:
            row = by_space[space].pop()
            if not by_space[space]:
                open_spaces.remove(space)
        rows[row].append(int(index))
        left = space - length
        if left:
            by_space[left].append(row)
            open_spaces.add(left)
    return Packing(rows, len(rows) * row_tokens - int(lengths.sum()))


class _SpaceIndex:
    """The set of free spaces that occur, as one integer whose bit n stands for n tokens."""

    def __init__(self, row_tokens: int) -> None:
        self._bits = 0
        self._row_tokens = row_tokens

    def add(self, space: int) -> None:
        """Note that a row has this much space."""
        self._bits |= 1 << space

    def remove(self, space: int) -> None:
        """Note that no row has this much space."""
        self._bits &= ~(1 << space)

    def smallest_at_least(self, length: int) -> int | None:
        """Return the smallest space that takes `length` tokens, or None."""
        rest = self._bits >> length
        return length + (rest & -rest).bit_length() - 1 if rest else None
