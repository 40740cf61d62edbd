"""SAFIM: the missing block, control expression or API call of a program.

The first two are judged by running whole programs on input and output; of API calls, which come
without, the answer is compared with the truth, as upstream does. The mark in the record's `prompt`
is a comment that models would read; `eval_prompt` has the same program without it.

Source: https://github.com/gonglinyuan/safim, arXiv:2403.04814
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Problem, Style
from eval_harness.stdio import as_tests, cases_of
from eval_harness.suites.shapes.template import language_of

if TYPE_CHECKING:
    from eval_harness.suites.records import Record

_HOLE = "{{completion}}"
_TESTS = "unit_tests"


def problem(record: Record, language: str) -> Problem:
    """Return the problem that asks for what is missing."""
    problem_id = record.text("task_id")
    prefix, hole, suffix = record.text("eval_prompt").partition(_HOLE)
    if not hole:
        raise record.refuse(f"'eval_prompt' does not hold {_HOLE}")
    tests = _tests(record)
    return Problem(
        problem_id=problem_id,
        group=_group(tests) if tests else problem_id,
        language=language or language_of(record, "lang"),
        kind=Kind.INFILL,
        extent=Extent.SPAN,
        prompt=prefix,
        suffix=suffix,
        tests=tests,
        style=Style.STDIO if tests else "",
        canonical=record.text("ground_truth"),
        variant=problem_id.partition("_")[0],
    )


def _tests(record: Record) -> str:
    """Return the inputs and outputs, which the hub has as a text and the repository as a list."""
    given = record.fields.get(_TESTS) or "[]"
    try:
        tests = given if isinstance(given, str) else json.dumps(given)
        return as_tests(cases_of(tests)) if json.loads(tests) else ""
    except (ValueError, TypeError) as error:
        raise record.refuse(f"{_TESTS!r}: {error}") from error


def _group(tests: str) -> str:
    """Return a name of the contest's task: solutions of one task have the same tests."""
    return hashlib.sha256(tests.encode()).hexdigest()[:12]
