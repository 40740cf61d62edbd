"""Which suites there are, and how to open one."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.suites import infilling_x, repository
from eval_harness.suites.contamination import with_contamination
from eval_harness.suites.description import read_description
from eval_harness.suites.draw import Draw
from eval_harness.suites.files import only, read_problems, shipped, shipped_names
from eval_harness.suites.known_bad import known_bad_of
from eval_harness.suites.suite import Suite
from eval_harness.suites.trees import read_tree
from fimble.errors import InputError
from fimble.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eval_harness.problem import Problem
    from eval_harness.suites.description import Description
    from eval_harness.suites.suite import Workspace


def suite_names() -> tuple[str, ...]:
    """Return the names that `open_suite` knows, besides files of the user's own."""
    return tuple(sorted((*shipped_names(), infilling_x.NAME, repository.NAME)))


def open_suite(
    name: str,
    *,
    benchmarks: Path | None = None,
    languages: frozenset[str] | None = None,
    draw: Draw | None = None,
    corpus: Path | None = None,
) -> Suite:
    """Return a suite.

    Args:
        name: One of `suite_names`, or the path of a TOML file (docs/benchmarks.md).
        benchmarks: Folder of benchmark files; None takes what `FIMBLE_BENCHMARKS` or the
            configuration names.
        languages: Our names of the languages to keep; None keeps all.
        draw: Of suites that draw their problems: from where, and how many.
        corpus: Folder of the corpus that the model was trained on: problems whose text stood in its
            sources are marked. None marks nothing.

    Raises:
        InputError: There is no such suite, its data is missing or not what it should be, or it has
            no problem in one of the languages.
    """
    suite = _opened(name, benchmarks, languages, draw or Draw())
    return suite if corpus is None else with_contamination(suite, corpus)


def _opened(
    name: str, benchmarks: Path | None, languages: frozenset[str] | None, draw: Draw
) -> Suite:
    if name.endswith(".toml"):
        path = Path(name).expanduser()
        description = read_description(path)
        if description.draw is not None:
            return _of_repository(description.name, description.draw, languages, path.parent)
        return _of_files(description, path.parent, languages)
    if name == repository.NAME:
        return _of_repository(name, draw, languages, Path())
    if name != infilling_x.NAME and name not in shipped_names():
        raise InputError(
            f"there is no suite {name!r}; there are {', '.join(suite_names())}, and TOML files of "
            "your own (docs/benchmarks.md)"
        )
    folder = benchmarks or benchmarks_folder()
    if not folder.is_dir():
        raise InputError(f"the folder of benchmark files {folder} does not exist")
    if name == infilling_x.NAME:
        return _infilling_x(folder, languages, draw)
    return _of_files(shipped(name), folder, languages)


def benchmarks_folder() -> Path:
    """Return the folder of benchmark files that environment or configuration name.

    Raises:
        InputError: Neither names one.
    """
    named = os.environ.get("FIMBLE_BENCHMARKS") or load_settings().eval.benchmarks
    if not named:
        raise InputError(
            "no folder of benchmark files is known; set FIMBLE_BENCHMARKS, or `benchmarks` in the "
            "table [eval] of fimble.toml"
        )
    return Path(named).expanduser()


def _of_files(description: Description, folder: Path, languages: frozenset[str] | None) -> Suite:
    problems, data_of = read_problems(description, folder, languages)
    return Suite(
        name=description.name,
        digest=digest_of(description.name, problems),
        problems=tuple(problems),
        licence=description.licence,
        source=description.source,
        data_of=data_of,
        packages={each.language: each.packages for each in description.data if each.packages},
        known_bad=known_bad_of(description.name, problems),
    )


def _infilling_x(folder: Path, languages: frozenset[str] | None, draw: Draw) -> Suite:
    base = _of_files(shipped(infilling_x.BASE), folder, languages)
    problems = infilling_x.holes_in(base.problems, seed=draw.seed)
    return replace(
        base,
        name=infilling_x.NAME,
        digest=digest_of(infilling_x.NAME, problems),
        problems=tuple(problems),
        data_of=infilling_x.inherited(base.data_of, problems),
        known_bad=infilling_x.inherited(base.known_bad, problems)
        | known_bad_of(infilling_x.NAME, problems),
    )


def _of_repository(name: str, draw: Draw, languages: frozenset[str] | None, folder: Path) -> Suite:
    """Return the suite of a repository.

    Args:
        name: Name of the suite.
        draw: What to draw from.
        languages: What to keep.
        folder: Where a relative path starts.
    """
    if not draw.source:
        raise InputError(
            f"suite {name!r} needs a source: a git repository, a folder, a package archive, or the "
            "folder of a corpus"
        )
    beside = folder / Path(draw.source).expanduser()
    with tempfile.TemporaryDirectory(prefix="fimble-") as scratch:
        source = str(beside) if beside.exists() else draw.source
        tree = read_tree(source, draw.revision, Path(scratch))
    problems = repository.problems_in(
        tree.workspaces,
        per_language=draw.per_language,
        seed=draw.seed,
        languages=languages,
    )
    if not problems:
        raise InputError(f"{draw.source} holds nothing long enough to ask for")
    workspaces = {workspace.name: workspace for workspace in tree.workspaces}
    return Suite(
        name=name,
        digest=digest_of(name, problems, workspaces),
        problems=tuple(only(problems, languages, name)),
        source=f"{draw.source} at {tree.version}" if tree.version else draw.source,
        workspaces=workspaces,
    )


def digest_of(
    name: str, problems: Iterable[Problem], workspaces: Mapping[str, Workspace] | None = None
) -> str:
    """Return the SHA-256 over a suite's name and everything that its problems hold."""
    digest = hashlib.sha256(name.encode())
    for problem in problems:
        digest.update(_canonical_json(asdict(problem)))
    for _, workspace in sorted((workspaces or {}).items()):
        digest.update(_canonical_json(workspace._asdict()))
    return digest.hexdigest()


def _canonical_json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
