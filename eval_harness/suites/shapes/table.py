"""Which function reads which format of records."""

from __future__ import annotations

import importlib
import importlib.util
from functools import partial
from typing import TYPE_CHECKING, Protocol

from eval_harness.suites.shapes import template
from fimble.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from eval_harness.problem import Problem
    from eval_harness.suites.description import Description
    from eval_harness.suites.records import Record

_PACKAGE = "eval_harness.suites.shapes"
SHAPES = {
    "crosscodeeval": f"{_PACKAGE}.crosscodeeval:problem",
    "humaneval": f"{_PACKAGE}.humaneval:completion",
    "humaneval-infilling": f"{_PACKAGE}.humaneval:infilling",
    "humaneval-x": f"{_PACKAGE}.humaneval_x:problem",
    "mbpp": f"{_PACKAGE}.mbpp:problem",
    "multipl-e": f"{_PACKAGE}.multipl_e:problem",
    "mxeval": f"{_PACKAGE}.mxeval:problem",
    "safim": f"{_PACKAGE}.safim:problem",
}
"""Format by name, as `module:function`."""


class Shape(Protocol):
    """Makes a problem of a record."""

    def __call__(self, record: Record, language: str) -> Problem:
        """Return the problem.

        Args:
            record: One row of the file.
            language: Our name of its language, as the description says; empty where it does not.

        Raises:
            InputError: The record is not of this format.
        """
        ...


def shape_of(description: Description, folder: Path) -> Shape:
    """Return the function that reads a suite's records.

    Args:
        description: The suite.
        folder: Where its TOML file lies, for functions of the user's own.

    Raises:
        InputError: There is no such format, file or function.
    """
    name = description.shape
    if description.template is not None:
        return partial(template.problem, template=description.template)
    if name in SHAPES:
        module, _, function = SHAPES[name].partition(":")
        return getattr(importlib.import_module(module), function)
    file, _, function = name.partition(":")
    if file.endswith(".py"):
        return _own_shape(folder / file, function)
    allowed = ", ".join(sorted(SHAPES))
    raise InputError(
        f"suite {description.name!r}: shape is {name!r}; allowed are {allowed}, template, or "
        "FILE.py:FUNCTION beside the TOML file"
    )


def _own_shape(path: Path, function: str) -> Shape:
    """Return a function of the user's own file, which runs as part of the harness."""
    if not path.is_file():
        raise InputError(f"there is no file {path}, which the suite names as its shape")
    spec = importlib.util.spec_from_file_location(f"own_shape_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = vars(module).get(function)
    if not callable(found):
        raise InputError(f"{path} has no function {function!r}, which the suite names as its shape")
    return found
