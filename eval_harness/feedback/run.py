"""Asks a model about holes in a project that has tests, and lets the tests judge.

Every judged hole is appended to `places.jsonl`, so that a run that was stopped goes on; the
examples are written at the end.

places.jsonl                                 holes, texts, what the tests say
pairs/train.jsonl, pairs/held_out.jsonl      see `fimble.preferences`
labels/train.jsonl, labels/held_out.jsonl
places/train.jsonl, places/held_out.jsonl    every hole that the tests see, see `judge`
manifest.json                                counts
"""

from __future__ import annotations

import asyncio
import dataclasses
import fnmatch
import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from eval_harness.feedback.examples import examples_of
from eval_harness.feedback.project import ProjectTests
from eval_harness.model_sources import ModelChoice, open_model
from eval_harness.models import Sampling
from eval_harness.sandbox.tiers import open_sandbox
from eval_harness.suites import repository
from eval_harness.suites.draw import Draw
from eval_harness.suites.registry import open_suite
from eval_harness.syntax import parses
from fimble.errors import FimbleError, InputError
from fimble.files import check_unused, write_json
from fimble.preferences import FORMAT_VERSION, KIND, write_by_split

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval_harness.feedback.recipe import FeedbackRecipe
    from eval_harness.models import Model, ModelIdentity
    from eval_harness.problem import Problem

PLACES_NAME = "places.jsonl"
MANIFEST_NAME = "manifest.json"
RECIPE_NAME = "recipe.json"
PROJECT_NAME = "project.json"
"""What the project was: verdicts are of that alone."""
_PROBE = "fimble_probe_that_nobody_defines()"


def run_feedback(recipe: FeedbackRecipe, out: Path) -> dict[str, Any]:
    """Ask, judge, write the examples, and return the manifest.

    Raises:
        InputError: The project has no tests that pass, no hole, or `out` is of another recipe or
            of the project as it was before.
        EngineError: The model does not answer.
    """
    problems = problems_of(recipe)
    sandbox = open_sandbox(recipe.sandbox or None)
    try:
        tests = ProjectTests(recipe, sandbox, out)
        _claim(recipe, tests.sha256, out)
        tests.check()
        identity = asyncio.run(_judge_all(recipe, problems, tests, out))
    finally:
        sandbox.close()
    return _write(recipe, problems, identity, tests.sha256, out)


def problems_of(recipe: FeedbackRecipe) -> list[Problem]:
    """Return the holes, those in tests left out.

    Raises:
        InputError: There are none.
    """
    source = recipe.source.expanduser()
    if not source.is_dir():
        raise InputError(f"source is {source}; it must be a folder")
    draw = Draw(source=str(source), per_language=recipe.places * 4, seed=recipe.seed)
    suite = open_suite(repository.NAME, languages=frozenset(recipe.languages), draw=draw)
    kept: Counter[str] = Counter()
    problems = []
    for problem in suite.problems:
        if any(fnmatch.fnmatch(problem.path, pattern) for pattern in recipe.exclude):
            continue
        kept[f"{problem.language}/{problem.variant}"] += 1
        if kept[f"{problem.language}/{problem.variant}"] <= recipe.places:
            problems.append(problem)
    if not problems:
        raise InputError(f"{source} has no file with a hole outside of {', '.join(recipe.exclude)}")
    return problems


def _claim(recipe: FeedbackRecipe, project_sha256: str, out: Path) -> None:
    """Make the folder of a recipe and a project, or go on in it.

    Raises:
        InputError: It belongs to another recipe, or the project has changed since it was begun.
    """
    path, project_path = out / RECIPE_NAME, out / PROJECT_NAME
    told = json.loads(json.dumps(dataclasses.asdict(recipe), default=str))
    project = {"sha256": project_sha256}
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != told:
        raise InputError(f"{out} was made by another recipe; name another folder")
    if project_path.exists() and json.loads(project_path.read_text(encoding="utf-8")) != project:
        raise InputError(f"{recipe.source} has changed since {out} was begun; name another folder")
    if not path.exists():
        check_unused(out)
    write_json(path, told)
    write_json(project_path, project)


async def _judge_all(
    recipe: FeedbackRecipe, problems: Sequence[Problem], tests: ProjectTests, out: Path
) -> ModelIdentity:
    """Judge what no earlier run has, and return who was asked."""
    model = await open_model(
        ModelChoice(
            name=recipe.model,
            fim_format=recipe.fim_format,
            sampling=Sampling(
                temperature=recipe.temperature,
                seed=recipe.seed,
                max_new_tokens=recipe.max_new_tokens,
            ),
        )
    )
    done = {place["problem_id"] for place in read_places(out)}
    room = asyncio.Semaphore(recipe.at_once)
    try:
        identity = await model.identity()
        with (out / PLACES_NAME).open("a", encoding="utf-8") as file:

            async def one(problem: Problem) -> None:
                async with room:
                    place = await _judged(recipe, problem, model, tests)
                file.write(f"{json.dumps(place, ensure_ascii=False)}\n")
                file.flush()

            async with asyncio.TaskGroup() as group:
                for problem in problems:
                    if problem.problem_id not in done:
                        group.create_task(one(problem))
    except* FimbleError as failed:
        raise failed.exceptions[0] from None
    finally:
        await model.close()
    return identity


async def _judged(
    recipe: FeedbackRecipe, problem: Problem, model: Model, tests: ProjectTests
) -> dict[str, Any]:
    """Return what the tests say to a hole, and to the texts of the model in it."""
    place: dict[str, Any] = {"problem_id": problem.problem_id, "seen_by_tests": False, "texts": []}
    probe = probe_of(problem)
    if not parses(problem, probe):
        return place
    if await asyncio.to_thread(passes, tests, problem, probe):
        return place
    said = [await model.answer("feedback", problem, number) for number in range(recipe.samples)]
    texts = list(dict.fromkeys(each.text for each in said))
    place["seen_by_tests"] = True
    place["texts"] = [
        {"text": text, "passes": await asyncio.to_thread(passes, tests, problem, text)}
        for text in texts
    ]
    return place


def passes(tests: ProjectTests, problem: Problem, text: str) -> bool:
    """Return whether the tests pass with a text in a hole; the project's own is known to.

    Raises:
        SandboxError: The sandbox itself failed.
    """
    if text == problem.canonical:
        return True
    whole = f"{problem.prompt}{text}{problem.suffix}"
    return bool(text) and tests.pass_with(problem.path, whole)


def probe_of(problem: Problem) -> str:
    """Return what fails if it is ever executed, and only then: tests that pass do not see it."""
    text = problem.canonical or ""
    return f"{text[: len(text) - len(text.lstrip())]}{_PROBE}"


def read_places(out: Path) -> list[dict[str, Any]]:
    """Return the judged holes of a folder; a last line that was torn counts as not there."""
    path = out / PLACES_NAME
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]


def _write(
    recipe: FeedbackRecipe,
    problems: Sequence[Problem],
    identity: ModelIdentity,
    project_sha256: str,
    out: Path,
) -> dict[str, Any]:
    """Write the examples of all judged holes, and return the manifest."""
    by_id = {problem.problem_id: problem for problem in problems}
    places = sorted(read_places(out), key=lambda place: place["problem_id"])
    found = examples_of(places, by_id, identity, recipe)
    files = {
        **write_by_split(out, "pairs", found.pairs),
        **write_by_split(out, "labels", found.labels),
        **write_by_split(out, "places", found.places),
    }
    seen = [place for place in places if place["seen_by_tests"]]
    texts = [text for place in seen for text in place["texts"]]
    manifest = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "model": identity.name,
        "model_digest": identity.digest,
        "project_sha256": project_sha256,
        "num_places": len(places),
        "num_seen_by_tests": len(seen),
        "num_texts": len(texts),
        "num_passing": sum(text["passes"] for text in texts),
        "left_out": dict(found.left_out),
        "files": files,
        "places_sha256": hashlib.sha256((out / PLACES_NAME).read_bytes()).hexdigest(),
    }
    write_json(out / MANIFEST_NAME, manifest)
    return manifest
