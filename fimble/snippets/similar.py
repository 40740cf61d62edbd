"""Windows of lines that resemble a text, found in two steps: files first, then windows in them.

A file is kept as blocks of lines, a window is two blocks that follow one another: windows overlap
by half, and no word is stored twice. Files are scored by an inverted index, so that the cost of a
search depends on how many files share the rarer words, not on how much text there is.

Source: BM25, Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework", section 3.2,
with the frequency of a word in a window taken as 0 or 1; windows over words as in RepoCoder
(Zhang et al. 2023, arXiv:2303.12570, section 2.2).
"""

from __future__ import annotations

import heapq
import math
from array import array
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from fimble.snippets.words import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK_LINES = 10
WINDOW_BLOCKS = 2
MIN_SHARED_WORDS = 4
"""A window that shares fewer words with the text resembles it by chance."""
_MAX_FILES = 24
"""Files whose windows are looked at."""
_MAX_POSTINGS = 10_000
"""Entries of the index that one search reads; the rarest words come first."""
_FEW_FILES, _FEW_SHARE = 8, 12
"""A word in no more files than these, or this part of them, is rare."""
_K1, _B = 1.2, 0.75
_USUAL_WORDS = 48
"""Words of the blocks of a window, as code usually has them."""


class Window(NamedTuple):
    """Lines of a file that resemble a text."""

    score: float
    path: str
    start_line: int
    """From 0."""
    end_line: int
    """The line behind the last one."""

    def overlaps(self, other: Window) -> bool:
        """Return whether two windows share a line."""
        is_apart = self.end_line <= other.start_line or other.end_line <= self.start_line
        return self.path == other.path and not is_apart


class _File(NamedTuple):
    """What is known of one file."""

    path: str
    blocks: tuple[array[int], ...]
    """Words of each block, sorted."""
    num_words: int


class SimilarText:
    """The words of some files."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._files: dict[int, _File] = {}
        self._postings: dict[int, list[int]] = {}
        """Files of each word, in order: numbers only grow."""
        self._next_id = 0
        self._num_words = 0

    def put(self, path: str, data: bytes) -> None:
        """Take in a file, or its new text.

        Args:
            path: Its name.
            data: Its text, UTF-8, LF only.
        """
        self.drop(path)
        lines = data.split(b"\n")
        blocks = [
            words(b"\n".join(lines[start : start + BLOCK_LINES]))
            for start in range(0, len(lines), BLOCK_LINES)
        ]
        all_words = set().union(*blocks)
        file_id, self._next_id = self._next_id, self._next_id + 1
        for word in all_words:
            self._postings.setdefault(word, []).append(file_id)
        self._ids[path] = file_id
        packed = tuple(array("I", sorted(block)) for block in blocks)
        self._files[file_id] = _File(path, packed, len(all_words))
        self._num_words += len(all_words)

    def drop(self, path: str) -> None:
        """Forget a file, if it is known."""
        file_id = self._ids.pop(path, None)
        if file_id is None:
            return
        file = self._files.pop(file_id)
        self._num_words -= file.num_words
        for word in set().union(*file.blocks):
            posting = self._postings[word]
            del posting[bisect_left(posting, file_id)]
            if not posting:
                del self._postings[word]

    def rare(self, query: set[int]) -> set[int]:
        """Return the words of a query that only some of the files have."""
        limit = max(_FEW_FILES, len(self._files) // _FEW_SHARE)
        return {word for word in query if len(self._postings.get(word, ())) <= limit}

    def search(
        self, query: set[int], *, is_wanted: Callable[[str], bool], limit: int
    ) -> list[Window]:
        """Return the windows that resemble a text most, the best first.

        Args:
            query: Words of the text.
            is_wanted: Whether windows of a path may be returned.
            limit: How many to return.
        """
        weights = self._weights(query)
        found: list[Window] = []
        for file in self._likely(weights, is_wanted):
            found += _windows(file, weights)
        return sorted(found, key=lambda w: (-w.score, w.path, w.start_line))[:limit]

    def _weights(self, query: set[int]) -> dict[int, int]:
        """Return what each word of a query says, the rarest first: its BM25 weight, in thousandths.

        Sums of whole numbers are the same in any order.
        """
        num_files = len(self._files)
        counts = sorted(
            (len(posting), word) for word in query if (posting := self._postings.get(word))
        )
        weights: dict[int, int] = {}
        num_read = 0
        for count, word in counts:
            num_read += count
            if num_read > _MAX_POSTINGS and weights:
                break
            weights[word] = round(1000 * math.log(1 + (num_files - count + 0.5) / (count + 0.5)))
        return weights

    def _likely(self, weights: dict[int, int], is_wanted: Callable[[str], bool]) -> list[_File]:
        """Return the files that resemble a text most."""
        scores: defaultdict[int, int] = defaultdict(int)
        for word, weight in weights.items():
            for file_id in self._postings[word]:
                scores[file_id] += weight
        mean_words = max(1.0, self._num_words / max(1, len(self._files)))
        fixed, slope = 1 + _K1 * (1 - _B), _K1 * _B / mean_words
        files = self._files
        scored = (
            (-score / (fixed + slope * files[file_id].num_words), files[file_id].path, file_id)
            for file_id, score in scores.items()
        )
        wanted = (each for each in scored if is_wanted(each[1]))
        return [files[file_id] for _, _, file_id in heapq.nsmallest(_MAX_FILES, wanted)]


def _windows(file: _File, weights: dict[int, int]) -> Iterator[Window]:
    """Yield the windows of a file that share enough words with what the weights are of."""
    shared = [weights.keys() & block for block in file.blocks]
    for first in range(max(1, len(shared) - WINDOW_BLOCKS + 1)):
        matched = set().union(*shared[first : first + WINDOW_BLOCKS])
        if len(matched) < MIN_SHARED_WORDS:
            continue
        num_words = sum(map(len, file.blocks[first : first + WINDOW_BLOCKS]))
        norm = 1 + _K1 * (1 - _B + _B * num_words / _USUAL_WORDS)
        start = first * BLOCK_LINES
        score = sum(map(weights.__getitem__, matched)) / norm
        yield Window(score, file.path, start, start + WINDOW_BLOCKS * BLOCK_LINES)
