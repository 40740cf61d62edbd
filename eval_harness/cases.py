"""Held-out lines: the rest of a line, missing at a random cursor, in projects no model has seen.

Cases are drawn from the validation split of a corpus. A case depends on text and seed alone,
so two models answer the same questions.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import pyarrow.parquet as pq

from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHORTEST_TRUTH_CHARS = 3
"""A rest of a line with fewer characters that are not blank is no question."""
_TRIES = 20


class Case(NamedTuple):
    """One question."""

    case_id: str
    language: str
    path: str
    """Within its project, as the prompt names it."""
    prefix: str
    suffix: str
    truth: str
    """The rest of the line."""


def heldout_lines(corpus: Path, *, per_language: int, seed: int = 0) -> list[Case]:
    """Return `per_language` cases of each language, fewer where there are fewer files.

    Projects take turns, so that a large one does not decide; each file gives one case.

    Args:
        corpus: Output folder of `fimble corpus build`.
        per_language: Number of cases of each language.
        seed: Another seed draws other cursors.

    Raises:
        InputError: The corpus has no held-out files.
    """
    by_project: dict[str, dict[str, list[Case]]] = defaultdict(lambda: defaultdict(list))
    for project, language, path, text in _heldout_files(corpus):
        if case := draw_case(text, language=language, path=path, seed=seed):
            by_project[language][project].append(case)
    chosen: list[Case] = []
    for _, projects in sorted(by_project.items()):
        queues = [sorted(cases, key=lambda case: case.case_id) for cases in projects.values()]
        turns = [
            case for turn in range(per_language) for queue in queues for case in queue[turn:][:1]
        ]
        chosen += turns[:per_language]
    if not chosen:
        raise InputError(f"the corpus {corpus} has no file of the validation split")
    return chosen


def draw_case(text: str, *, language: str, path: str, seed: int) -> Case | None:
    """Return the case of one file, or None where its lines are all too short.

    Args:
        text: The file, LF only.
        language: Our name of its language.
        path: Its path within the project.
        seed: Decides the cursor, together with the text.
    """
    digest = hashlib.sha256(f"{seed}/{language}/{path}/{text}".encode()).hexdigest()
    rng = random.Random(digest)  # noqa: S311 - a draw that must be the same everywhere
    for _ in range(_TRIES):
        start = text.rfind("\n", 0, rng.randrange(len(text) + 1)) + 1
        end = text.find("\n", start)
        line = text[start : end if end >= 0 else len(text)].rstrip()
        first = len(line) - len(line.lstrip())
        last = len(line) - SHORTEST_TRUTH_CHARS
        if first > last:
            continue
        cursor = start + rng.randint(first, last)
        truth = text[cursor : start + len(line)]
        if len(truth.strip()) < SHORTEST_TRUTH_CHARS:
            continue
        suffix = text[start + len(line) :]
        return Case(digest[:16], language, path, text[:cursor], suffix, truth)
    return None


def _heldout_files(corpus: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield project, language, path and text of each held-out file."""
    columns = ["project", "language", "path", "split", "text"]
    for source in sorted((corpus / "files").glob("*.parquet")):
        for batch in pq.ParquetFile(source).iter_batches(512, columns=columns):
            for row in batch.to_pylist():
                if row["split"] == "validation" and row["text"]:
                    yield row["project"], row["language"], row["path"], row["text"]
