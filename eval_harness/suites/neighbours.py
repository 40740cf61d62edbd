"""Code of other files in the prompts of a suite that is drawn from projects, as the server has it.

Problems stay the same questions: a run with it is compared with one without, or with one from
other sources, problem by problem.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

from fimble.context import SNIPPET_BYTES
from fimble.errors import InputError
from fimble.languages import by_path
from fimble.snippets.around import Around
from fimble.snippets.project import ProjectIndex, SnippetSource

if TYPE_CHECKING:
    from collections.abc import Collection

    from eval_harness.problem import Problem
    from eval_harness.suites.suite import Suite, Workspace


EVERY_SOURCE = frozenset(SnippetSource)


def sources_named(text: str) -> frozenset[SnippetSource]:
    """Return the sources that a command names: `on` is all, `off` none, else names and commas.

    Raises:
        InputError: A name is none of a source.
    """
    if text in ("on", "off"):
        return EVERY_SOURCE if text == "on" else frozenset()
    known = {source.value: source for source in SnippetSource}
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            f"--context {text}: {unknown[0]!r} is no source of context; allowed are on, off, or "
            f"{', '.join(known)} with commas between them"
        )
    return frozenset(known[name] for name in names)


def with_neighbours(suite: Suite, sources: Collection[SnippetSource] = EVERY_SOURCE) -> Suite:
    """Return a suite whose problems have code of the other files of their projects.

    Args:
        suite: The suite.
        sources: What the code is chosen for, at least one.

    Raises:
        InputError: The suite's problems are of no project.
    """
    if not suite.workspaces:
        raise InputError(
            f"--context: the problems of suite {suite.name!r} have no other files; those of "
            "`repository`, and of suites that are drawn from one, do"
        )
    indexes = {name: index_of(workspace) for name, workspace in suite.workspaces.items()}
    problems = tuple(
        _asked_with(problem, indexes[problem.project], sources) for problem in suite.problems
    )
    context = tuple(sorted(sources))
    said = f"{suite.digest}/neighbours/{SNIPPET_BYTES}/{','.join(context)}"
    digest = hashlib.sha256(said.encode()).hexdigest()
    return dataclasses.replace(suite, problems=problems, digest=digest, context=context)


def index_of(workspace: Workspace) -> ProjectIndex:
    """Return an index of all files of a project."""
    index = ProjectIndex()
    for path, text in workspace.files.items():
        if (language := by_path(path)) is not None:
            index.put(path, text, language.name)
    return index


def _asked_with(
    problem: Problem, index: ProjectIndex, sources: Collection[SnippetSource]
) -> Problem:
    # The problem's own file, whose text holds the answer, is left out by its path.
    around = Around(problem.path, problem.prompt, problem.suffix, problem.language)
    selection = index.selection(around, sources=sources)
    chosen = (snippet for kind in selection for snippet in kind)
    return dataclasses.replace(problem, context=(*problem.context, *chosen))
