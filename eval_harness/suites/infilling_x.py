"""Infilling in six languages, executed: holes in the solutions of HumanEval-X.

Nothing is stored: holes are found and drawn anew from the solutions, always the same. The program
is HumanEval-X's own, so its tests judge the answer. Of every function each line is asked for that
says something, and some runs of lines and expressions; they share a `group`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eval_harness.problem import Kind
from eval_harness.suites.holes import LINE, LINES, NODE, Hole, drawn, rank

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eval_harness.problem import Problem

NAME = "infilling-x"
BASE = "humaneval-x"
_PER_FUNCTION = {LINE: 1_000_000, LINES: 3, NODE: 3}


def holes_in(solutions: Sequence[Problem], *, per_language: int, seed: int) -> list[Problem]:
    """Return the infilling problems of some solutions.

    Args:
        solutions: Problems with a solution, of kind `complete`.
        per_language: At most so many of each language and variant; 0 means all.
        seed: Another seed draws other runs of lines and expressions.
    """
    problems = [each for solution in solutions for each in _of_solution(solution, seed)]
    return some(problems, per_language=per_language, seed=seed)


def inherited(reasons: Mapping[str, str], problems: Sequence[Problem]) -> dict[str, str]:
    """Return the reasons of bad solutions by `Problem.key` of what was made of them."""
    return {
        problem.key: reason
        for problem in problems
        if (reason := reasons.get(f"{problem.language}/{problem.problem_id.rsplit('/', 2)[0]}"))
    }


def some(problems: Sequence[Problem], *, per_language: int, seed: int) -> list[Problem]:
    """Return at most `per_language` problems of each language and variant, in the given order."""
    if not per_language:
        return list(problems)
    by_kind: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        by_kind.setdefault((problem.language, problem.variant), []).append(problem.key)
    chosen = {
        key
        for keys in by_kind.values()
        for key in sorted(keys, key=lambda key: rank(f"{seed}/{key}"))[:per_language]
    }
    return [problem for problem in problems if problem.key in chosen]


def _of_solution(solution: Problem, seed: int) -> Iterator[Problem]:
    canonical = solution.canonical
    assert canonical is not None
    text = solution.prompt + canonical
    region = Hole(len(solution.prompt), len(text))
    for kind, count in _PER_FUNCTION.items():
        found = kind.find(text, solution.language, region)
        for hole in drawn(found, count, f"{seed}/{solution.key}/{kind.name}"):
            yield replace(
                solution,
                problem_id=f"{solution.problem_id}/{kind.name}/{hole.start}-{hole.end}",
                kind=Kind.INFILL,
                extent=kind.extent,
                prompt=text[: hole.start],
                suffix=text[hole.end :],
                canonical=text[hole.start : hole.end],
                variant=kind.name,
            )
