"""Code of other files in the prompts of a suite that is drawn from projects, as the server has it.

Problems stay the same questions: a run with it is compared with one without, problem by problem.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

from fimble.context import SNIPPET_BYTES
from fimble.errors import InputError
from fimble.languages import by_path
from fimble.snippets.around import Around
from fimble.snippets.project import ProjectIndex

if TYPE_CHECKING:
    from eval_harness.problem import Problem
    from eval_harness.suites.suite import Suite, Workspace


def with_neighbours(suite: Suite) -> Suite:
    """Return a suite whose problems have code of the other files of their projects.

    Raises:
        InputError: The suite's problems are of no project.
    """
    if not suite.workspaces:
        raise InputError(
            f"--context on: the problems of suite {suite.name!r} have no other files; those of "
            "`repository`, and of suites that are drawn from one, do"
        )
    indexes = {name: index_of(workspace) for name, workspace in suite.workspaces.items()}
    problems = tuple(_asked_with(problem, indexes[problem.project]) for problem in suite.problems)
    digest = hashlib.sha256(f"{suite.digest}/neighbours/{SNIPPET_BYTES}".encode()).hexdigest()
    return dataclasses.replace(suite, problems=problems, digest=digest)


def index_of(workspace: Workspace) -> ProjectIndex:
    """Return an index of all files of a project."""
    index = ProjectIndex()
    for path, text in workspace.files.items():
        if (language := by_path(path)) is not None:
            index.put(path, text, language.name)
    return index


def _asked_with(problem: Problem, index: ProjectIndex) -> Problem:
    # The problem's own file, whose text holds the answer, is left out by its path.
    around = Around(problem.path, problem.prompt, problem.suffix, problem.language)
    context = (*problem.context, *index.select(around))
    return dataclasses.replace(problem, context=context)
