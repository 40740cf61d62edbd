"""Which problems stood in what a model was trained on, by what the corpus build wrote down.

A build that decontaminates drops every file that holds a piece of a benchmark, and says which
problem it was (`dropped/*.parquet`). Such a problem is marked: its exact text was kept out, but the
sources knew it, so a translated or renamed copy may have stayed. Of benchmarks that the build did
not look for (`card.json`), nothing is known; that is said, too. A file of a repository is marked
when the corpus kept the same file for training.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eval_harness.problem import Problem
    from eval_harness.suites.suite import Suite

_REASON = "benchmark_text"
_NUMBER = re.compile(r"\d+")
_FAMILIES = (("humaneval", "HumanEval"), ("mbpp", "MBPP"))
"""Start of a file's name, and what the groups of its problems are called: one function has many
problems in many files, and the index names only one of them."""


class _Found(NamedTuple):
    """A file that was dropped because of a problem."""

    project: str
    path: str
    words: str


def with_contamination(suite: Suite, corpus: Path) -> Suite:
    """Return a suite whose problems are marked by what the build of a corpus found.

    Raises:
        InputError: The folder is no corpus.
    """
    card = _card_of(corpus)
    named = f"{card.get('name')} {card.get('digest')}"
    if suite.workspaces:
        kept = _kept_for_training(corpus)
        marks = {p.key: why for p in suite.problems if (why := kept.get(_sha256_of_file(p)))}
        return replace(suite, contaminated=marks, corpus=named)
    found: dict[str, list[_Found]] = defaultdict(list)
    for names, file in _dropped_for_benchmarks(corpus):
        for name in names:
            found[name].append(file)
    marks = {
        problem.key: _why(files)
        for problem in suite.problems
        if (files := found.get(problem.group) or found.get(problem.problem_id))
    }
    searched = _searched(card)
    unchecked = {key for key, sha256 in suite.data_of.items() if sha256 not in searched}
    return replace(suite, contaminated=marks, unchecked=frozenset(unchecked), corpus=named)


def _card_of(corpus: Path) -> dict[str, object]:
    """Return the card of a corpus."""
    path = corpus / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{corpus} is no corpus of `fimble corpus build`: {error}") from error
    if not isinstance(card, dict):
        raise InputError(f"{path} is no card of `fimble corpus build`")
    return card


def _searched(card: dict[str, object]) -> set[str]:
    """Return the SHA-256 of each benchmark file that a corpus was searched for; maybe none."""
    listed = card.get("benchmarks")
    of_files = listed if isinstance(listed, list) else []
    return {str(each.get("sha256")) for each in of_files if isinstance(each, dict)}


@cache
def _dropped_for_benchmarks(corpus: Path) -> tuple[tuple[frozenset[str], _Found], ...]:
    """Return each file that held a benchmark's text, and the names its problem goes by."""
    rows = _rows(corpus / "dropped", ("project", "path", "detail"), ("reason", "==", _REASON))
    found = []
    for row in rows:
        task_id, _, words = row["detail"].partition(": ")
        found.append((names_of(task_id), _Found(row["project"], row["path"], words)))
    return tuple(found)


def _rows(
    folder: Path, columns: tuple[str, ...], only: tuple[str, str, str]
) -> Iterator[dict[str, str]]:
    """Yield the rows of a corpus' files for which `only` is true; empty texts for nulls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for source in sorted(folder.glob("*.parquet")):
        try:
            table = pq.read_table(source, columns=list(columns), filters=[only])
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"cannot read {source} as a file of a corpus: {error}") from error
        for row in table.to_pylist():
            yield {name: row[name] or "" for name in columns}


def names_of(task_id: str) -> frozenset[str]:
    """Return what a problem of the corpus' index may be called here: its id, and its function's.

    Args:
        task_id: File and the row's own id, such as `humaneval_go.jsonl.gz:Go/7`.
    """
    file, _, own = task_id.partition(":")
    names = {own}
    number = _NUMBER.search(own)
    for start, family in _FAMILIES:
        if number is not None and start in file.lower():
            names.add(f"{family}/{number.group()}")
    return frozenset(names)


def _why(files: list[_Found]) -> str:
    first = files[0]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"left out of the corpus: {first.path} of {first.project}{more}, for {first.words!r}"


@cache
def _kept_for_training(corpus: Path) -> dict[str, str]:
    """Return where a text stands in a corpus' training split, by the text's SHA-256."""
    rows = _rows(corpus / "files", ("project", "path", "sha256"), ("split", "==", "train"))
    return {row["sha256"]: f"in the corpus: {row['path']} of {row['project']}" for row in rows}


def _sha256_of_file(problem: Problem) -> str:
    text = f"{problem.prompt}{problem.canonical}{problem.suffix}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
