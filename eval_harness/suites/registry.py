"""Which suites there are, and how to open one."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.suites import infilling_x
from eval_harness.suites.description import read_description
from eval_harness.suites.draw import Draw
from eval_harness.suites.files import read_problems, shipped, shipped_names
from eval_harness.suites.known_bad import known_bad_of
from eval_harness.suites.suite import Suite
from fimble.errors import InputError
from fimble.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eval_harness.problem import Problem
    from eval_harness.suites.description import Description


def suite_names() -> tuple[str, ...]:
    """Return the names that `open_suite` knows, besides files of the user's own."""
    return tuple(sorted((*shipped_names(), infilling_x.NAME)))


def open_suite(
    name: str,
    *,
    benchmarks: Path | None = None,
    languages: frozenset[str] | None = None,
    draw: Draw | None = None,
) -> Suite:
    """Return a suite.

    Args:
        name: One of `suite_names`, or the path of a TOML file (docs/benchmarks.md).
        benchmarks: Folder of benchmark files; None takes what `FIMBLE_BENCHMARKS` or the
            configuration names.
        languages: Our names of the languages to keep; None keeps all.
        draw: Of suites that draw their problems: from where, and how many.

    Raises:
        InputError: There is no such suite, its data is missing or not what it should be, or it has
            no problem in one of the languages.
    """
    draw = draw or Draw()
    if name.endswith(".toml"):
        path = Path(name).expanduser()
        return _of_files(read_description(path), path.parent, languages)
    if name == infilling_x.NAME:
        return _infilling_x(_existing(benchmarks or benchmarks_folder()), languages, draw)
    if name in shipped_names():
        return _of_files(shipped(name), _existing(benchmarks or benchmarks_folder()), languages)
    raise InputError(
        f"there is no suite {name!r}; there are {', '.join(suite_names())}, and TOML files of your "
        "own (docs/benchmarks.md)"
    )


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


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"the folder of benchmark files {folder} does not exist")
    return folder


def _of_files(description: Description, folder: Path, languages: frozenset[str] | None) -> Suite:
    problems = read_problems(description, folder, languages)
    return Suite(
        name=description.name,
        digest=digest_of(description.name, problems),
        problems=tuple(problems),
        licence=description.licence,
        source=description.source,
        packages={each.language: each.packages for each in description.data if each.packages},
        known_bad=known_bad_of(description.name, problems),
    )


def _infilling_x(folder: Path, languages: frozenset[str] | None, draw: Draw) -> Suite:
    base = _of_files(shipped(infilling_x.BASE), folder, languages)
    problems = infilling_x.holes_in(base.problems, per_language=draw.per_language, seed=draw.seed)
    return replace(
        base,
        name=infilling_x.NAME,
        digest=digest_of(infilling_x.NAME, problems),
        problems=tuple(problems),
        known_bad=infilling_x.inherited(base.known_bad, problems),
    )


def digest_of(name: str, problems: Iterable[Problem]) -> str:
    """Return the SHA-256 over a suite's name and everything its problems hold."""
    digest = hashlib.sha256(name.encode())
    for problem in problems:
        digest.update(json.dumps(asdict(problem), sort_keys=True).encode())
    return digest.hexdigest()
