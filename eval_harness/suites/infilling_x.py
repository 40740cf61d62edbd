"""Infilling in six languages, executed: holes in the solutions of HumanEval-X.

Nothing is stored: holes are found and drawn anew from the solutions, always the same. The program
is HumanEval-X's own, so its tests judge the answer. Of every function each line is asked for that
says something, and some runs of lines and expressions; they share a `group`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eval_harness.problem import Kind
from eval_harness.suites.holes import LINE, LINES, NODE, Hole, drawn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eval_harness.problem import Problem

NAME = "infilling-x"
BASE = "humaneval-x"
_PER_FUNCTION = {LINE: 1_000_000, LINES: 3, NODE: 3}


def holes_in(solutions: Sequence[Problem], *, seed: int) -> list[Problem]:
    """Return the infilling problems of some solutions.

    Args:
        solutions: Problems with a solution, of kind `complete`.
        seed: Another seed draws other runs of lines and expressions.
    """
    return [each for solution in solutions for each in _of_solution(solution, seed)]


def inherited(facts: Mapping[str, str], problems: Sequence[Problem]) -> dict[str, str]:
    """Return what is known of solutions, by `Problem.key` of the problems that were made of them.

    Args:
        facts: By `Problem.key` of the solution.
        problems: Those of `holes_in`.
    """
    return {
        problem.key: fact
        for problem in problems
        if (fact := facts.get(f"{problem.language}/{problem.problem_id.rsplit('/', 2)[0]}"))
    }


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
