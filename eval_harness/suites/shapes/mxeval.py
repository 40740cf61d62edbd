"""mxeval: MBXP and multi-lingual HumanEval, one file a language.

The prompt may open a class that the test closes (Java, C#, Scala): `eval_harness.bodies` sees that
in the test. Solutions are there for some languages only.

Source: https://github.com/amazon-science/mxeval
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Problem, Style
from eval_harness.suites.shapes.template import language_of

if TYPE_CHECKING:
    from eval_harness.suites.records import Record


def problem(record: Record, language: str) -> Problem:
    """Return the problem that asks for a function's body."""
    language = language or language_of(record)
    problem_id, entry_point = record.text("task_id"), record.text("entry_point", "")
    tests = f"\n{record.text('test')}\n"
    if language == "python":
        tests += f"check({record.text('entry_point')})\n"
    return Problem(
        problem_id=problem_id,
        group=problem_id,
        language=language,
        kind=Kind.COMPLETE,
        extent=Extent.BLOCK,
        prompt=record.text("prompt"),
        tests=tests,
        entry_point=entry_point,
        style=Style.CHECK if language == "python" else Style.PROGRAM,
        canonical=record.text("canonical_solution", "") or None,
    )
