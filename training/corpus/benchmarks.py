"""Decontamination: which texts hold a piece of a benchmark problem.

A text is dropped when it shares `NUM_WORDS` words in a row with any string of a problem: prompt,
docstring, solution or test. Case, indentation, comment marks and line ends do not count; renamed
variables escape. Lines that only import are left out on both sides.

Source: Brown et al. 2020 (GPT-3), appendix C, https://arxiv.org/abs/2005.14165; Hui et al. 2024
(Qwen2.5-Coder), section 3.1.3: 10 words, https://arxiv.org/abs/2409.12186
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray  # noqa: TC002 -- field types, which dataclasses read

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

NUM_WORDS = 10
"""Words in a row that a text may not share with a problem."""

MAX_FAMILIES = 4
"""Words in a row that stand in more problems than this are no sign of any of them."""

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
        files = [path] if path.is_file() else sorted(_files_in(path))
        found = [problem for file in files for problem in _problems_of(file)]
        if not any(problem.texts for problem in found):
            raise InputError(
                f"{path} holds no benchmark text; files must end in {', '.join(_SUFFIXES)}"
            )
        problems += found
    return problems


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"benchmark file or folder {folder} does not exist")
    return [path for path in folder.rglob("*") if path.is_file() and path.name.endswith(_SUFFIXES)]


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
    except (OSError, EOFError, ValueError) as error:
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
    """The n-grams of all problems; plain data, so that it can travel to other processes."""

    hashes: NDArray[np.uint64]
    """Sorted, each once."""
    owners: NDArray[np.int64]
    """Which of `task_ids` holds the n-gram first."""
    task_ids: tuple[str, ...]
    maybe: NDArray[np.bool_]
    """Whether some n-gram starts with these bits; it spares nearly every search."""

    def hits(self, texts: Sequence[bytes]) -> list[Hit | None]:
        """Return the first piece of a problem in each text, or None where there is none.

        Args:
            texts: UTF-8.
        """
        return [hit for block in blocks(texts) for hit in self._hits_of_block(block)]

    def _hits_of_block(self, texts: Sequence[bytes]) -> list[Hit | None]:
        hits: list[Hit | None] = [None] * len(texts)
        words = _words_of(texts)
        found = join_words(words.hashes, words.offsets, NUM_WORDS)
        candidates = np.flatnonzero(self.maybe[found.hashes >> _FILTER_SHIFT])
        places = np.searchsorted(self.hashes, found.hashes[candidates])
        equal = self.hashes[np.minimum(places, len(self.hashes) - 1)] == found.hashes[candidates]
        numbers = np.searchsorted(found.offsets, candidates[equal], side="right") - 1
        # `unique` gives the first n-gram of each text.
        for number, first in zip(*np.unique(numbers, return_index=True), strict=True):
            gram = candidates[equal][first] - found.offsets[number] + words.offsets[number]
            starts = words.starts[gram : gram + NUM_WORDS]
            task_id = self.task_ids[self.owners[places[equal][first]]]
            hits[number] = Hit(task_id, " ".join(_word_at(words.buffer, start) for start in starts))
        return hits


def build_index(problems: Sequence[Problem]) -> BenchmarkIndex:
    """Return the index of all n-grams that tell something about a problem.

    A string with fewer than `NUM_WORDS` words has no n-gram and is not looked for: so short a line
    says nothing about where it comes from.
    """
    texts = [text.encode() for problem in problems for text in problem.texts]
    owners = np.repeat(np.arange(len(problems)), [len(problem.texts) for problem in problems])
    families = {name: i for i, name in enumerate(dict.fromkeys(p.family for p in problems))}
    family_of = np.array([families[problem.family] for problem in problems], dtype=np.int64)
    words = _words_of(texts)
    found = join_words(words.hashes, words.offsets, NUM_WORDS)
    gram_owners = np.repeat(owners, np.diff(found.offsets))
    hashes, first, which = np.unique(found.hashes, return_index=True, return_inverse=True)
    pairs = np.unique(np.stack([which, family_of[gram_owners]]), axis=1)
    telling = np.bincount(pairs[0], minlength=len(hashes)) <= MAX_FAMILIES
    maybe = np.zeros(1 << _FILTER_BITS, dtype=bool)
    maybe[hashes[telling] >> _FILTER_SHIFT] = True
    return BenchmarkIndex(
        hashes=hashes[telling],
        owners=gram_owners[first[telling]],
        task_ids=tuple(problem.task_id for problem in problems),
        maybe=maybe,
    )


class _TextWords(NamedTuple):
    buffer: bytes
    starts: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def _words_of(texts: Sequence[bytes]) -> _TextWords:
    """Return the words of texts in lower case, without those of lines that only import."""
    # In a string literal, \n and \t separate words just as the characters they stand for.
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


def _word_at(buffer: bytes, start: int) -> str:
    match = _WORD.match(buffer, start)
    assert match is not None, "a word starts here"
    return match[0].decode(errors="replace")
