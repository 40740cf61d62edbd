"""Decontamination: which texts hold a piece of a benchmark problem.

A text is dropped when it shares words in a row with any string of a problem: prompt, docstring,
solution or test. Punctuation does not count, and with it indentation, line ends, quotes and the
marks of comments and doctests; nor does case. Lines that only import are left out on both sides.
What escapes is a problem whose variables are renamed, or that is translated.

Which words in a row tell something was found on the corpus of the first release, 70,617 files in
which no problem stands: 10 words alone hit 543 of them, nearly all for lists of numbers and loops
over one-letter names, so a piece must hold different names as well.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fimble.errors import InputError
from training.corpus.shingles import (
    blocks,
    find_words,
    join_words,
    word_offsets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Piece(NamedTuple):
    """Words in a row that a text may not share with a problem."""

    num_words: int
    min_names: int
    """How many different names, words of two characters or more that start with a letter."""


PIECES = (Piece(10, 4), Piece(15, 3))
"""Either is a hit.

Source: Hui et al. 2024 (Qwen2.5-Coder), section 3.1.3: 10 words, https://arxiv.org/abs/2409.12186;
Brown et al. 2020 (GPT-3), appendix C: 13 words, without lists, https://arxiv.org/abs/2005.14165
"""

MAX_FAMILIES = 4
"""A piece that stands in more different problems is the frame of its benchmark, and no hit."""

REASON = "benchmark_text"

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet", ".txt")
_ID_KEYS = ("task_id", "problem_id", "question_id", "instance_id", "id", "name")
_NO_TEXT = re.compile(r"(?i)(?:^|_)(?:id|uuid|url|link|source_file|entry_point|hash|sha256|date)$")
_IMPORTS = tuple(
    find_words(word).hashes[0] for word in (b"import", b"include", b"using", b"package", b"use",
                                            b"require", b"from", b"extern")
)  # fmt: skip
_FILTER_BITS = 22
_FILTER_SHIFT = np.uint64(64 - _FILTER_BITS)
_ESCAPES = re.compile(rb"\\[nrt]")
_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")
_IN_NAME = np.array([_WORD.match(bytes([byte])) is not None for byte in range(256)])
_STARTS_NAME = _IN_NAME & (np.arange(256) > ord("9"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A row of a benchmark file."""

    task_id: str
    """File name and the row's own id, or its number: `HumanEval.jsonl.gz:HumanEval/0`."""
    texts: tuple[str, ...]
    """Every string of the row that is no id or address."""

    @property
    def family(self) -> str:
        """What variants of one problem share: the first number of the row's id, or the id."""
        own = self.task_id.partition(":")[2]
        number = re.search(r"\d+", own)
        return own if number is None else number[0]


class Hit(NamedTuple):
    """Why a text is dropped."""

    task_id: str
    """The problem of which the text holds a piece."""
    words: str
    """The first words in a row that both share, in lower case."""


def read_benchmarks(paths: Sequence[Path]) -> list[Problem]:
    """Return the problems of benchmark files, in the order of the paths and rows.

    Args:
        paths: Files (JSONL or JSON, also gzipped, Parquet, plain text), or folders of such files.

    Raises:
        InputError: A path is missing, cannot be read as what its name says, or holds no text.
    """
    problems: list[Problem] = []
    for path in paths:
        found = [problem for file in files_at(path) for problem in _problems_of(file)]
        if not any(problem.texts for problem in found):
            raise _no_text_at(path)
        problems += found
    return problems


def files_at(place: Path) -> list[Path]:
    """Return a benchmark file itself, or those of a folder at any depth, in order.

    Raises:
        InputError: There is no such file or folder, or no benchmark in it.
    """
    if not place.exists():
        raise InputError(f"benchmark file or folder {place} does not exist")
    inside = sorted(place.rglob("*")) if place.is_dir() else [place]
    files = [path for path in inside if path.is_file() and path.name.endswith(_SUFFIXES)]
    if not files:
        raise _no_text_at(place)
    return files


def _no_text_at(place: Path) -> InputError:
    return InputError(f"{place} holds no benchmark text; files must end in {', '.join(_SUFFIXES)}")


def _problems_of(path: Path) -> Iterator[Problem]:
    for number, row in enumerate(_rows(path)):
        fields = row if isinstance(row, dict) else {"": row}
        own = next(
            (fields[key] for key in _ID_KEYS if isinstance(fields.get(key), str | int)), number
        )
        yield Problem(task_id=f"{path.name}:{own}", texts=tuple(_strings(fields)))


def _rows(path: Path) -> list[object]:
    """Return the rows of a benchmark file; a plain text is one row."""
    try:
        if path.name.endswith(".parquet"):
            import pyarrow.parquet as pq

            return list(pq.read_table(path).to_pylist())
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        if path.name.removesuffix(".gz").endswith(".txt"):
            return [text]
        if path.name.removesuffix(".gz").endswith(".jsonl"):
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        whole = json.loads(text)
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read benchmark file {path}: {error}") from error
    return whole if isinstance(whole, list) else [whole]


def _strings(value: object, key: str = "") -> Iterator[str]:
    """Yield every string inside a value that is no id or address."""
    if isinstance(value, str):
        if not _NO_TEXT.search(key):
            yield value
    elif isinstance(value, dict):
        for inner_key, inner in value.items():
            yield from _strings(inner, str(inner_key))
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkIndex:
    """The pieces of all problems; plain data, so that it can travel to other processes."""

    hashes: NDArray[np.uint64]
    """Sorted, each once."""
    owners: NDArray[np.int64]
    """Which of `task_ids` holds the piece first."""
    task_ids: tuple[str, ...]
    maybe: NDArray[np.bool_]
    """Whether some piece starts with these bits; it spares nearly every search."""

    def hits(self, texts: Sequence[bytes]) -> list[Hit | None]:
        """Return the first piece of a problem in each text, or None where there is none.

        Args:
            texts: UTF-8.
        """
        return [hit for block in blocks(texts) for hit in self._hits_of_block(block)]

    def _hits_of_block(self, texts: Sequence[bytes]) -> list[Hit | None]:
        hits: list[Hit | None] = [None] * len(texts)
        words = _words_of(texts)
        for piece in PIECES:
            found = join_words(words.hashes, words.offsets, piece.num_words)
            grams, places = self._find(found.hashes)
            owners = np.searchsorted(found.offsets, grams, side="right") - 1
            # `unique` gives the first gram of each text.
            for number, first in zip(*np.unique(owners, return_index=True), strict=True):
                if hits[number] is None:
                    start = grams[first] - found.offsets[number] + words.offsets[number]
                    task_id = self.task_ids[self.owners[places[first]]]
                    hits[number] = Hit(task_id, words.extract(start, piece.num_words))
        return hits

    def _find(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which of `hashes` are in the index, and where in it."""
        candidates = np.flatnonzero(self.maybe[hashes >> _FILTER_SHIFT])
        places = np.searchsorted(self.hashes, hashes[candidates])
        equal = self.hashes[np.minimum(places, len(self.hashes) - 1)] == hashes[candidates]
        return candidates[equal], places[equal]


def build_index(problems: Sequence[Problem]) -> BenchmarkIndex:
    """Return the index of all pieces that tell something about a problem.

    A string with fewer words than the shortest of `PIECES` has none and is not looked for: so short
    a line says nothing about where it comes from.

    Raises:
        InputError: No problem holds a piece.
    """
    # Variants of a problem repeat its texts.
    owner_of: dict[tuple[str, str], int] = {}
    for number, problem in enumerate(problems):
        for text in problem.texts:
            owner_of.setdefault((problem.family, text), number)
    owners = np.fromiter(owner_of.values(), dtype=np.int64, count=len(owner_of))
    words = _words_of([text.encode() for _, text in owner_of])
    found: list[NDArray[np.uint64]] = []
    found_owners: list[NDArray[np.int64]] = []
    for piece in PIECES:
        grams = join_words(words.hashes, words.offsets, piece.num_words)
        telling = _num_names(words, piece.num_words) >= piece.min_names
        found.append(grams.hashes[telling])
        found_owners.append(np.repeat(owners, np.diff(grams.offsets))[telling])
    hashes, kept_owners = _without_frames(
        np.concatenate(found), np.concatenate(found_owners), [each.family for each in problems]
    )
    if not len(hashes):
        raise InputError(
            f"none of {len(problems)} benchmark problems holds {PIECES[0].num_words} words in a "
            f"row with {PIECES[0].min_names} different names; there is nothing to look for"
        )
    maybe = np.zeros(1 << _FILTER_BITS, dtype=bool)
    maybe[hashes >> _FILTER_SHIFT] = True
    return BenchmarkIndex(
        hashes=hashes,
        owners=kept_owners,
        task_ids=tuple(problem.task_id for problem in problems),
        maybe=maybe,
    )


def _without_frames(
    grams: NDArray[np.uint64], owners: NDArray[np.int64], families: Sequence[str]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the different grams that stand in few families, and the first owner of each."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(families))}
    family_of = np.array([numbers[name] for name in families], dtype=np.int64)
    hashes, first, which = np.unique(grams, return_index=True, return_inverse=True)
    pairs = np.unique(which * len(numbers) + family_of[owners]) if len(grams) else which
    rare = np.bincount(pairs // max(len(numbers), 1), minlength=len(hashes)) <= MAX_FAMILIES
    return hashes[rare], owners[first[rare]]


class _TextWords(NamedTuple):
    """The words of some texts that count."""

    buffer: bytes
    starts: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]

    def extract(self, first: int, num_words: int) -> str:
        matches = (_WORD.match(self.buffer, at) for at in self.starts[first : first + num_words])
        return " ".join(match[0].decode(errors="replace") for match in matches if match)


def _words_of(texts: Sequence[bytes]) -> _TextWords:
    """Return the words of texts in lower case, without those of lines that only import."""
    # In a string literal, \\n and \\t separate words just as the characters they stand for.
    buffer = _ESCAPES.sub(b"  ", b"\n".join(texts).lower())
    starts, hashes = find_words(buffer)
    newlines = np.flatnonzero(np.frombuffer(buffer, dtype=np.uint8) == ord("\n"))
    lines = np.searchsorted(newlines, starts)
    first = np.flatnonzero(np.diff(lines, prepend=-1))
    imports = np.zeros(len(newlines) + 1, dtype=bool)
    for keyword in _IMPORTS:
        imports[lines[first[hashes[first] == keyword]]] = True
    kept = ~imports[lines]
    return _TextWords(buffer, starts[kept], hashes[kept], word_offsets(texts, starts[kept]))


def _num_names(words: _TextWords, num_words: int) -> NDArray[np.int64]:
    """Return how many different names each gram holds, in the order of `join_words`."""
    data = np.frombuffer(words.buffer + b" ", dtype=np.uint8)
    names = _STARTS_NAME[data[words.starts]] & _IN_NAME[data[words.starts + 1]]
    order = np.argsort(words.hashes, kind="stable")
    again = np.flatnonzero(words.hashes[order[1:]] == words.hashes[order[:-1]])
    before = np.full(len(order), -1)
    before[order[again + 1]] = order[again]
    counts = np.diff(words.offsets)
    num_grams = np.maximum(counts - (num_words - 1), 0)
    skipped = np.cumsum(num_grams) - num_grams
    grams = np.arange(num_grams.sum()) + np.repeat(words.offsets[:-1] - skipped, num_grams)
    result = np.zeros(len(grams), dtype=np.int64)
    for place in range(num_words):
        # A name counts where it stands first in the gram.
        result += names[grams + place] & (before[grams + place] < grams)
    return result
