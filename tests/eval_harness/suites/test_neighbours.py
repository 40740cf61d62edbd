"""Problems of projects can be asked with code of the project's other files, and compared."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from eval_harness.prompts import prompt_parts
from eval_harness.records import Answer, Asked
from eval_harness.report.comparison import pairs_of
from eval_harness.results import Result, Run, reply
from eval_harness.suites.draw import Draw
from eval_harness.suites.neighbours import with_neighbours
from eval_harness.suites.registry import open_suite
from eval_harness.suites.suite import Suite
from fimble.errors import InputError
from fimble.fim import Mark, Snippet

if TYPE_CHECKING:
    from pathlib import Path

    from eval_harness.problem import Problem

SHOP = '''class Till:
    """Where money goes 👛."""

    def add(self, coins: int) -> int:
        """Add coins to what is there already, and return the whole amount of it."""
        self.amount = self.amount + coins
        return self.amount
'''
MAIN = (
    "from shop import Till\n\n\ndef open_shop(till: Till) -> int:\n"
    "    first_amount = till.add(3)\n    second_amount = till.add(first_amount)\n"
    "    third_amount = till.add(first_amount + second_amount)\n"
    "    return first_amount + second_amount + third_amount + till.add(second_amount)\n"
)
OUTLINE = (
    'class Till:\n    """Where money goes 👛."""\n    def add(self, coins: int) -> int:\n'
    '        """Add coins to what is there already, and return the whole amount of it."""\n'
)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    (tmp_path / "main.py").write_text(MAIN, encoding="utf-8")
    return open_suite("repository", draw=Draw(source=str(tmp_path), per_language=40))


def test_a_problem_gets_what_the_server_would_send_and_nothing_of_its_own_file(
    suite: Suite,
) -> None:
    asked = with_neighbours(suite)
    assert len(asked.problems) == len(suite.problems)
    assert asked.digest != suite.digest
    of_main = [problem for problem in asked.problems if problem.path == "main.py"]
    assert of_main
    for problem in of_main:
        if "Till" in problem.prompt:  # else the import itself is missing
            assert problem.context[-1] == Snippet(path="shop.py", text=OUTLINE)
            parts = prompt_parts(problem)
            first = parts.index(f"shop.py\n{OUTLINE}") - 1
            assert parts[first : first + 4] == (
                Mark.FILE,
                f"shop.py\n{OUTLINE}",
                Mark.FILE,
                "main.py\n",
            )
    assert all(each.path != p.path for p in asked.problems for each in p.context)


def test_a_suite_without_projects_cannot_be_asked_so(suite: Suite) -> None:
    alone = Suite(name="alone", digest="", problems=suite.problems)
    with pytest.raises(InputError, match="--context on: the problems of suite 'alone' have no"):
        with_neighbours(alone)


def test_answers_with_and_without_are_compared_problem_by_problem(suite: Suite) -> None:
    runs = []
    for each in (suite, with_neighbours(suite)):
        results = [
            Result(
                Asked(each.name, problem), (reply(problem, right(problem), None, can_parse=False),)
            )
            for problem in each.problems
        ]
        runs.append(Run("toy", {}, results, 1))
    assert len(pairs_of(*runs)) == len(suite.problems)
    other = dataclasses.replace(suite.problems[0], suffix="another")
    runs[1].results[0] = Result(Asked(suite.name, other), runs[1].results[0].replies)
    assert len(pairs_of(*runs)) == len(suite.problems) - 1


def right(problem: Problem) -> Answer:
    text = problem.canonical or ""
    return Answer("repository", problem.language, problem.problem_id, 0, text, "end", 1, 1, 1, 1)
