"""Says to another program whether a project's tests pass with its texts: `fimble eval judge`.

Training must not import the harness, so it asks over standard input and output, one JSON object a
line. The first line says that the project is as it was and its tests pass; each answer has the
order of its question:

    ◄ {"num_places": 120}
    ► {"texts": [{"place_id": "shop/prices.py/line/40-61", "text": "..."}, ...]}
    ◄ {"passes": [true, ...]}

It ends where its input does.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TextIO

from eval_harness.feedback.project import ProjectTests
from eval_harness.feedback.recipe import FeedbackRecipe
from eval_harness.feedback.run import (
    MANIFEST_NAME,
    RECIPE_NAME,
    passes,
    problems_of,
    read_places,
)
from eval_harness.sandbox.tiers import open_sandbox
from fimble.config import from_table
from fimble.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from eval_harness.problem import Problem


def judge(folder: Path, questions: TextIO, answers: TextIO) -> None:
    """Answer questions until there are no more.

    Args:
        folder: Of `fimble eval feedback`; its recipe names the project, the tests and their limits.
        questions: Lines of JSON.
        answers: Likewise.

    Raises:
        InputError: The folder is none of feedback, its project has changed since, or a question
            is none.
        SandboxError: The sandbox itself failed.
    """
    path = folder / RECIPE_NAME
    recipe = from_table(FeedbackRecipe, _table(path), where=str(path))
    seen = {place["problem_id"] for place in read_places(folder) if place["seen_by_tests"]}
    places = {each.problem_id: each for each in problems_of(recipe) if each.problem_id in seen}
    sandbox = open_sandbox(recipe.sandbox or None)
    try:
        tests = ProjectTests(recipe, sandbox, folder)
        if tests.sha256 != _table(folder / MANIFEST_NAME).get("project_sha256"):
            raise InputError(
                f"{recipe.source} is not what {folder} was made of; run `fimble eval feedback` "
                "into a new folder"
            )
        tests.check()
        _say(answers, {"num_places": len(places)})
        with ThreadPoolExecutor(recipe.at_once) as pool:
            for line in questions:
                verdicts = [pool.submit(passes, tests, *each) for each in _asked(line, places)]
                _say(answers, {"passes": [each.result() for each in verdicts]})
    finally:
        sandbox.close()


def _asked(line: str, places: dict[str, Problem]) -> list[tuple[Problem, str]]:
    """Return the texts of a question, each with its place.

    Raises:
        InputError: It is no question, or names a place that the tests do not see.
    """
    try:
        asked = [(each["place_id"], each["text"]) for each in json.loads(line)["texts"]]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{line[:80]!r} is no question: {error}") from error
    if unknown := {name for name, _ in asked} - places.keys():
        raise InputError(f"there is no place {min(unknown)!r} that the tests see")
    return [(places[name], text) for name, text in asked]


def _table(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read {path}: {error}; it is written by `fimble eval feedback`"
        ) from error


def _say(answers: TextIO, answer: dict[str, object]) -> None:
    answers.write(f"{json.dumps(answer)}\n")
    answers.flush()
