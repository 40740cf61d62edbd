"""Completion within a project: a line, an expression or a block of a file is missing.

No tests judge it: answers are compared with what stood there. Which other files the project has is
part of the question (`Suite.workspaces`), so that a server that looks into them can be measured
against itself without them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from eval_harness.problem import Kind, Problem
from eval_harness.suites.holes import BLOCK, EXPRESSION, LINE, Hole, drawn, rank
from fimble.languages import by_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eval_harness.suites.holes import Kind as HoleKind
    from eval_harness.suites.suite import Workspace

NAME = "repository"
_KINDS = (LINE, EXPRESSION, BLOCK)
_PER_FILE = 8
"""Holes of one kind in one file, at most: a large file must not decide."""
_MIN_FILE_CHARS = 200


def problems_in(
    workspaces: Sequence[Workspace],
    *,
    per_language: int,
    seed: int,
    languages: frozenset[str] | None,
) -> list[Problem]:
    """Return the problems of some projects; projects and files take turns.

    Args:
        workspaces: The projects.
        per_language: At most so many of each language and kind of hole.
        seed: Another seed draws other holes.
        languages: Our names of the languages to keep; None keeps all.
    """
    problems: list[Problem] = []
    for language, queue in sorted(_queues(workspaces, seed, languages).items()):
        for kind in _KINDS:
            problems += _turns(queue, language, kind, per_language=per_language, seed=seed)
    return problems


def _queues(
    workspaces: Sequence[Workspace], seed: int, languages: frozenset[str] | None
) -> dict[str, list[tuple[Workspace, str]]]:
    """Return the files of each language, so that projects take turns."""
    by_project: dict[str, dict[str, list[tuple[Workspace, str]]]] = defaultdict(dict)
    for workspace in workspaces:
        for path, text in workspace.files.items():
            row = by_path(path)
            is_wanted = row is not None and (languages is None or row.name in languages)
            if row is not None and is_wanted and len(text) >= _MIN_FILE_CHARS:
                by_project[row.name].setdefault(workspace.name, []).append((workspace, path))
    queues = {}
    for language, projects in by_project.items():
        drawn_files = [
            (turn, rank(f"{seed}/{name}"), file)
            for name, files in projects.items()
            for turn, file in enumerate(
                sorted(files, key=lambda f: rank(f"{seed}/{f[0].name}/{f[1]}"))
            )
        ]
        queues[language] = [file for *_, file in sorted(drawn_files, key=lambda each: each[:2])]
    return queues


def _turns(
    queue: Sequence[tuple[Workspace, str]],
    language: str,
    kind: HoleKind,
    *,
    per_language: int,
    seed: int,
) -> list[Problem]:
    """Return problems of one language and kind: one of each file, then a second of each, and on."""
    chosen: list[Problem] = []
    of_file: dict[tuple[str, str], list[Problem]] = {}
    for turn in range(_PER_FILE):
        for workspace, path in queue:
            if len(chosen) >= per_language:
                return chosen
            if turn == 0:
                of_file[workspace.name, path] = list(
                    _of_file(workspace, path, language, kind, seed)
                )
            chosen += of_file[workspace.name, path][turn : turn + 1]
    return chosen


def _of_file(
    workspace: Workspace, path: str, language: str, kind: HoleKind, seed: int
) -> Iterator[Problem]:
    text = workspace.files[path]
    key = f"{seed}/{workspace.name}/{path}/{kind.name}"
    holes = drawn(kind.find(text, language, Hole(0, len(text))), _PER_FILE, key)
    holes.sort(
        key=lambda hole: rank(f"{key}/{hole.start}")
    )  # else the first turn is all file heads
    for hole in holes:
        yield Problem(
            problem_id=f"{workspace.name}/{path}/{kind.name}/{hole.start}-{hole.end}",
            group=f"{workspace.name}/{path}",
            language=language,
            kind=Kind.INFILL,
            extent=kind.extent,
            prompt=text[: hole.start],
            suffix=text[hole.end :],
            canonical=text[hole.start : hole.end],
            path=path,
            project=workspace.name,
            variant=kind.name,
        )
