"""Problems of projects can be asked with code of the project's other files, and compared."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from eval_harness.prompts import prompt_parts
from eval_harness.records import Answer, Asked
from eval_harness.report.comparison import pairs_of
from eval_harness.results import Result, Run, reply
from eval_harness.suites.draw import Draw
from eval_harness.suites.neighbours import EVERY_SOURCE, sources_named, with_neighbours
from eval_harness.suites.registry import open_suite
from eval_harness.suites.suite import Suite
from fimble.__main__ import main
from fimble.errors import InputError
from fimble.fim import Mark, Snippet
from fimble.snippets.project import SnippetSource

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


def test_sources_are_named_with_commas() -> None:
    assert sources_named("on") == EVERY_SOURCE == sources_named("similar,imports, beside")
    assert sources_named("off") == frozenset()
    assert sources_named("imports") == {SnippetSource.IMPORTS}


@pytest.mark.parametrize("text", ["", "edited", "imports,", "imports,off", "ON"])
def test_what_is_no_source_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(
        InputError, match="is no source of context; allowed are on, off, or imports"
    ):
        sources_named(text)


def test_a_problem_gets_code_from_the_named_sources_only(suite: Suite) -> None:
    every = with_neighbours(suite)
    imports = with_neighbours(suite, {SnippetSource.IMPORTS})
    beside = with_neighbours(suite, {SnippetSource.BESIDE})
    assert len({each.digest for each in (suite, every, imports, beside)}) == 4
    for asked, alone in zip(every.problems, imports.problems, strict=True):
        if asked.path == "main.py" and "Till" in asked.prompt:
            assert alone.context == (Snippet(path="shop.py", text=OUTLINE),)
    # `shop.py` imports nothing.
    assert not any(each.context for each in imports.problems if each.path == "shop.py")


def test_the_manifest_says_the_sources(
    suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del suite  # its files are what the command draws from
    out = tmp_path / "run"

    def run(*more: str) -> int:
        command = ["eval", "run", "repository", "--source", str(tmp_path), "--model", "canonical"]
        return main([*command, "--out", str(out), *more])

    assert run("--context", "similar,imports") == 0
    inputs = json.loads((out / "manifest.json").read_text())["inputs"]
    assert inputs["context"] == {"repository": ["imports", "similar"]}
    assert run("--context", "imports") == 2
    assert 'context.repository was ["imports", "similar"]' in capsys.readouterr().err


def test_a_suite_without_projects_cannot_be_asked_so(suite: Suite) -> None:
    alone = Suite(name="alone", digest="", problems=suite.problems)
    with pytest.raises(InputError, match="--context: the problems of suite 'alone' have no"):
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
