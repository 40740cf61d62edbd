"""Held-out lines: the rest of a line, missing at a random cursor, in projects no model has seen.

Problems are drawn from the validation split of a corpus. A problem depends on text and seed alone,
so two models answer the same questions.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from eval_harness.problem import Extent, Kind, Problem
from eval_harness.suites.registry import digest_of
from eval_harness.suites.suite import Suite
from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eval_harness.suites.draw import Draw

NAME = "heldout-lines"
SHORTEST_TRUTH_CHARS = 3
"""A rest of a line with fewer characters that are not blank is no question."""
_TRIES = 20


def heldout_lines(draw: Draw, languages: frozenset[str] | None = None) -> Suite:
    """Return problems of each language, fewer where there are fewer files.

    Projects take turns, so that a large one does not decide; each file gives one problem.

    Args:
        draw: Its source is the output folder of `fimble corpus build`.
        languages: Our names of the languages to keep; None keeps all.

    Raises:
        InputError: The corpus has no held-out files, or none in one of the languages.
    """
    if not draw.source:
        raise InputError(f"{NAME} draws from a corpus: --corpus names its folder")
    corpus = Path(draw.source).expanduser()
    by_project: dict[str, dict[str, list[Problem]]] = defaultdict(lambda: defaultdict(list))
    for project, language, path, text in heldout_files(corpus):
        if problem := draw_problem(text, language=language, path=path, seed=draw.seed):
            by_project[language][project].append(problem)
    if not by_project:
        raise InputError(f"the corpus {corpus} has no file of the validation split")
    if languages is not None and (unknown := languages - set(by_project)):
        raise InputError(
            f"the corpus has no held-out files in {', '.join(sorted(unknown))}; "
            f"it has {', '.join(sorted(by_project))}"
        )
    problems = tuple(
        problem
        for language, projects in sorted(by_project.items())
        if languages is None or language in languages
        for problem in _in_turns(projects, draw.per_language)
    )
    return Suite(name=NAME, digest=digest_of(NAME, problems), problems=problems, source="a corpus")


def _in_turns(projects: dict[str, list[Problem]], count: int) -> list[Problem]:
    queues = [sorted(of, key=lambda problem: problem.problem_id) for of in projects.values()]
    turns = [each for turn in range(count) for queue in queues for each in queue[turn:][:1]]
    return turns[:count]


def draw_problem(text: str, *, language: str, path: str, seed: int) -> Problem | None:
    """Return the problem of one file, or None where its lines are all too short.

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
        return Problem(
            problem_id=digest[:16],
            group=digest[:16],
            language=language,
            kind=Kind.INFILL,
            extent=Extent.LINE,
            prompt=text[:cursor],
            suffix=text[start + len(line) :],
            canonical=truth,
            path=path,
        )
    return None


def heldout_files(corpus: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield project, language, path and text of each held-out file."""
    columns = ["project", "language", "path", "split", "text"]
    for source in sorted((corpus / "files").glob("*.parquet")):
        for batch in pq.ParquetFile(source).iter_batches(512, columns=columns):
            for row in batch.to_pylist():
                if row["split"] == "validation" and row["text"]:
                    yield row["project"], row["language"], row["path"], row["text"]
