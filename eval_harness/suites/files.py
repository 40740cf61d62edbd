"""Suites of record files: the shipped ones, and those that a user's TOML file describes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.suites.description import Description, read_description
from eval_harness.suites.records import content_of, read_records
from eval_harness.suites.shapes.table import shape_of
from fimble.errors import InputError
from fimble.files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eval_harness.problem import Problem
    from eval_harness.suites.description import DataFile

_DESCRIPTIONS = Path(str(files("eval_harness.suites"))) / "descriptions"


def shipped_names() -> tuple[str, ...]:
    """Return the names of the suites whose description is shipped."""
    return tuple(sorted(path.stem for path in _DESCRIPTIONS.glob("*.toml")))


def shipped(name: str) -> Description:
    """Return a shipped description."""
    return read_description(_DESCRIPTIONS / f"{name}.toml")


class Loaded(NamedTuple):
    """What the files of a suite hold."""

    problems: list[Problem]
    data_of: dict[str, str]
    """SHA-256 of the file that a problem comes from, by `Problem.key`."""


def read_problems(
    description: Description, folder: Path, languages: frozenset[str] | None
) -> Loaded:
    """Return the problems of a suite's files, in order.

    Args:
        description: The suite.
        folder: Where paths of files start.
        languages: Our names of the languages to keep; None keeps all.

    Raises:
        InputError: A file is missing, damaged or another one, a record is not of the suite's shape,
            two problems have one name, or the suite has none in one of the languages.
    """
    chosen = [
        data
        for data in description.data
        if languages is None or not data.language or data.language in languages
    ]
    problems: dict[str, Problem] = {}
    data_of: dict[str, str] = {}
    for data in chosen:
        path = _found(folder / data.file, description)
        _check_content(path, data, description)
        sha256 = sha256_of(path)
        for problem, where in _problems_of(path, data, description, folder):
            if problem.key in problems:
                raise InputError(f"{where}: there are two problems {problem.key!r}")
            problems[problem.key] = problem
            data_of[problem.key] = sha256
    kept = only(list(problems.values()), languages, description.name)
    return Loaded(kept, {problem.key: data_of[problem.key] for problem in kept})


def only(problems: list[Problem], languages: frozenset[str] | None, suite: str) -> list[Problem]:
    """Return the problems in some languages.

    Raises:
        InputError: There are none in one of the languages.
    """
    if languages is None:
        return problems
    has = {problem.language for problem in problems}
    if missing := languages - has:
        raise InputError(
            f"suite {suite!r} has no problem in {', '.join(sorted(missing))}"
            + (f"; in the languages asked for it has {', '.join(sorted(has))}" if has else "")
        )
    return [problem for problem in problems if problem.language in languages]


def _problems_of(
    path: Path, data: DataFile, description: Description, folder: Path
) -> Iterator[tuple[Problem, str]]:
    """Yield the problems of a file, and where each stands."""
    shape = shape_of(description, folder)
    for record in read_records(path):
        problem = shape(record, data.language)
        if description.stops:
            problem = replace(problem, stops=(*problem.stops, *description.stops))
        yield problem, record.where


def _found(path: Path, description: Description) -> Path:
    """Return the path of a file, which may be packed where it was not, or the other way round."""
    other = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    for candidate in (path, other):
        if candidate.is_file():
            return candidate
    origin = f"; it comes from {description.source}" if description.source else ""
    raise InputError(f"suite {description.name!r} needs the file {path}{origin}")


def _check_content(path: Path, data: DataFile, description: Description) -> None:
    """Raise unless a file holds what the suite was described with."""
    if not data.sha256:
        return
    got = hashlib.sha256(content_of(path)).hexdigest()
    if got != data.sha256:
        raise InputError(
            f"{path} is not the file of suite {description.name!r}: the sha256 of what it holds is "
            f"{got}, wanted is {data.sha256}. To measure on this file all the same, describe it in "
            "a TOML file of your own (docs/benchmarks.md) and give that instead of the suite's name"
        )
