"""Any format of which fields can be put together as they are: the suite's TOML says how."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eval_harness.problem import Problem, Style
from eval_harness.stdio import cases_of
from eval_harness.suites.language_names import our_name

if TYPE_CHECKING:
    from eval_harness.suites.description import Template
    from eval_harness.suites.records import Record

LINE = "line"
"""Stands for the number of the record in its file, for records without a name."""
_FIELD = re.compile(r"\{(\w+)\}")


def problem(record: Record, language: str, *, template: Template) -> Problem:
    """Return the problem that a template makes of a record."""

    def filled(text: str) -> str:
        """Return `text` with fields in the place of their names; other braces stay."""
        return _FIELD.sub(lambda match: _text(record, match[1]), text)

    problem_id = filled(template.problem_id)
    tests = filled(template.tests)
    if template.style is Style.STDIO:
        _check_cases(record, tests)
    return Problem(
        problem_id=problem_id,
        group=filled(template.group) or problem_id,
        language=language or language_of(record),
        kind=template.kind,
        extent=template.extent,
        prompt=filled(template.prompt),
        suffix=filled(template.suffix),
        header=filled(template.header),
        tests=tests,
        entry_point=filled(template.entry_point),
        style=template.style,
        canonical=filled(template.canonical) if template.canonical else None,
        path=filled(template.path),
    )


def language_of(record: Record, field: str = "language") -> str:
    """Return our name of the language that a record says it is in.

    Raises:
        InputError: It says none, or one that we do not know.
    """
    name = record.text(field)
    ours = our_name(name)
    if ours is None:
        raise record.refuse(f"the language {name!r} is unknown")
    return ours


def _check_cases(record: Record, tests: str) -> None:
    try:
        cases_of(tests)
    except ValueError as error:
        raise record.refuse(str(error)) from error


def _text(record: Record, name: str) -> str:
    if name == LINE and name not in record.fields:
        return record.where.rpartition(":")[2]
    value = record.fields.get(name)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return record.label(name) if is_number else record.text(name)
