"""How much of a text is left in another, by edit distance."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

MAX_CHARS = 4000
"""Longer texts are compared by their start."""


class Left(NamedTuple):
    """What is left of a text."""

    rate: float
    """1 - distance / length, 0..1."""
    num_chars: int
    num_lines: int
    """Lines that stand as they were, blank ones left out."""


def left_of(text: str, window: str) -> Left:
    """Return what is left of `text` in `window`: its best match anywhere within it."""
    text, window = text[:MAX_CHARS], window[: 2 * MAX_CHARS]
    if not text:
        return Left(0.0, 0, 0)
    distance = 0 if text in window else distance_within(text, window)
    standing = Counter(line.strip() for line in window.split("\n"))
    wanted = Counter(line.strip() for line in text.split("\n") if line.strip())
    num_chars = len(text) - distance
    return Left(num_chars / len(text), num_chars, sum((standing & wanted).values()))


def distance_within(pattern: str, text: str) -> int:
    """Return the smallest Levenshtein distance of `pattern` to any part of `text`.

    One integer holds a column of the matrix as differences, a bit a cell, so that a character of
    `text` costs a dozen operations, however long the pattern is.

    Source: Myers 1999, "A fast bit-vector algorithm for approximate string matching", section 3, in
    the form of Hyyrö 2003.
    """
    length = len(pattern)
    if not length:
        return 0
    full, last = (1 << length) - 1, 1 << (length - 1)
    bits: dict[str, int] = {}
    for number, char in enumerate(pattern):
        bits[char] = bits.get(char, 0) | 1 << number
    rises, falls, distance, best = full, 0, length, length
    for char in text:
        equal = bits.get(char, 0)
        across = (((equal & rises) + rises) ^ rises) | equal
        higher = falls | (~(across | rises) & full)
        lower = rises & across
        if higher & last:
            distance += 1
        elif lower & last:
            distance -= 1
            best = min(best, distance)
        higher, lower = (higher << 1) & full, (lower << 1) & full
        diagonal = equal | falls
        rises = lower | (~(diagonal | higher) & full)
        falls = higher & diagonal
    return best
