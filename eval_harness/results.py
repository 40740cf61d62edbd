"""A run as it lies in its folder: problems with their answers and verdicts, side by side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from rapidfuzz.distance import Levenshtein

from eval_harness.records import (
    MANIFEST,
    Answer,
    Asked,
    Judged,
    Sample,
    read_answers,
    read_problems,
    read_verdicts,
)
from eval_harness.syntax import parses
from eval_harness.verdict import NOT_JUDGED, State
from fimble.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from eval_harness.problem import Problem


class Reply(NamedTuple):
    """One answer, its verdict if it has one, and how it compares with the true answer."""

    answer: Answer
    judged: Judged | None
    """None where there are no tests, or nobody has run them yet."""
    is_exact: bool | None
    """None where there is no true answer."""
    edit_similarity: float | None
    """1 minus the Levenshtein distance over the longer length, 0..1."""
    stops_right: bool | None
    """Of an answer that begins with the true one: whether it is no longer. None for others."""
    parses: bool | None
    """Whether the program parses; None where it does not with the true answer either."""

    @property
    def is_passed(self) -> bool | None:
        """Whether its tests passed; None where that is not known."""
        if self.judged is None or self.judged.state in NOT_JUDGED:
            return None
        return self.judged.state is State.PASSED


class Result(NamedTuple):
    """One problem of a run."""

    asked: Asked
    replies: tuple[Reply, ...]
    """In order of their numbers."""

    @property
    def problem(self) -> Problem:
        """What was asked."""
        return self.asked.problem


class Run(NamedTuple):
    """A whole run."""

    name: str
    manifest: dict[str, Any]
    results: list[Result]
    num_samples: int
    """Answers that each problem is to get."""


def read_run(folder: Path) -> Run:
    """Return a run, finished or not.

    Raises:
        InputError: There is no run in the folder.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no run: {folder / MANIFEST} cannot be read ({error}); "
            "`fimble eval run` writes it"
        ) from error
    answers, verdicts = read_answers(folder), read_verdicts(folder)
    num_samples = int(manifest["num_samples"])
    results = [_result(asked, num_samples, answers, verdicts) for asked in read_problems(folder)]
    if not answers:
        raise InputError(f"the run in {folder} has no answer yet; start its command again")
    return Run(_name(folder), manifest, results, num_samples)


def _name(folder: Path) -> str:
    return folder.name or str(folder.resolve().name)


def _result(
    asked: Asked, num_samples: int, answers: dict[Sample, Answer], verdicts: dict[Sample, Judged]
) -> Result:
    problem = asked.problem
    samples = (
        Sample(asked.suite, problem.language, problem.problem_id, number)
        for number in range(num_samples)
    )
    can_parse = problem.canonical is None or parses(problem, problem.canonical)
    replies = (
        reply(problem, answers[sample], verdicts.get(sample), can_parse=bool(can_parse))
        for sample in samples
        if sample in answers
    )
    return Result(asked, tuple(replies))


def reply(problem: Problem, answer: Answer, judged: Judged | None, *, can_parse: bool) -> Reply:
    """Return an answer with what can be said about it.

    White space at the end of an answer does not count when it is compared with the true one.
    """
    parsing = parses(problem, answer.text) if can_parse else None
    if problem.canonical is None:
        return Reply(answer, judged, None, None, None, parsing)
    truth, given = problem.canonical.rstrip(), answer.text.rstrip()
    return Reply(
        answer=answer,
        judged=judged,
        is_exact=given == truth,
        edit_similarity=Levenshtein.normalized_similarity(given, truth),
        stops_right=given == truth if truth and given.startswith(truth) else None,
        parses=parsing,
    )
