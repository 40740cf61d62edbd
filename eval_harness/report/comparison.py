"""Two runs side by side, on the problems that both answered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.statistics.paired import Difference, difference
from eval_harness.statistics.scores import ALL, problem_score

if TYPE_CHECKING:
    from eval_harness.problem import Problem
    from eval_harness.results import Result, Run

PASSES = "pass@1"
EXACT = "exact_match"


class Pair(NamedTuple):
    """One problem in both runs."""

    first: Result
    second: Result
    first_score: float
    second_score: float


class Comparison(NamedTuple):
    """How the second run differs from the first on one suite and language."""

    suite: str
    language: str
    metric: str
    """`pass@1`, or `exact_match` where there are no tests."""
    difference: Difference


def pairs_of(first: Run, second: Run) -> list[Pair]:
    """Return the problems that count and that both runs have a score of."""
    others = {(r.asked.suite, r.problem.key): r for r in second.results}
    found: list[Pair] = []
    for result in first.results:
        other = others.get((result.asked.suite, result.problem.key))
        # Of another draw or another version of the data, it is not the same problem.
        if other is None or not _is_same(other.problem, result.problem) or result.asked.known_bad:
            continue
        scores = problem_score(result), problem_score(other)
        if scores[0] is not None and scores[1] is not None:
            found.append(Pair(result, other, scores[0], scores[1]))
    return found


def _is_same(one: Problem, other: Problem) -> bool:
    """Return whether two problems ask the same; code of other files may help with one of them."""
    return replace(one, context=()) == replace(other, context=())


def compare(first: Run, second: Run) -> list[Comparison]:
    """Return the differences by suite and language, and over all languages of a suite."""
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs_of(first, second):
        groups.setdefault((pair.first.asked.suite, pair.first.problem.language), []).append(pair)
    found: list[Comparison] = []
    for suite in dict.fromkeys(suite for suite, _ in groups):
        of_suite = {
            language: pairs for (s, language), pairs in sorted(groups.items()) if s == suite
        }
        if len(of_suite) > 1:
            of_suite[ALL] = [pair for pairs in of_suite.values() for pair in pairs]
        found += [_comparison(suite, language, pairs) for language, pairs in of_suite.items()]
    return found


def _comparison(suite: str, language: str, pairs: list[Pair]) -> Comparison:
    found = difference(
        [pair.first_score for pair in pairs],
        [pair.second_score for pair in pairs],
        [pair.first.problem.group for pair in pairs],
    )
    has_tests = any(pair.first.problem.tests for pair in pairs)
    return Comparison(suite, language, PASSES if has_tests else EXACT, found)
