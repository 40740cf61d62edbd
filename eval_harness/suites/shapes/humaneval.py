"""HumanEval and HumanEval-Infilling.

Source: https://github.com/openai/human-eval, https://github.com/openai/human-eval-infilling
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Problem, Style

if TYPE_CHECKING:
    from eval_harness.suites.records import Record

_FUNCTION = re.compile(r"HumanEval/\d+")


def completion(record: Record, language: str) -> Problem:
    """Return the problem that asks for a function's body."""
    problem_id, entry_point = record.text("task_id"), record.text("entry_point")
    return Problem(
        problem_id=problem_id,
        group=problem_id,
        language=language or "python",
        kind=Kind.COMPLETE,
        extent=Extent.BLOCK,
        prompt=record.text("prompt"),
        tests=f"\n{record.text('test')}\ncheck({entry_point})",
        entry_point=entry_point,
        style=Style.CHECK,
        canonical=record.text("canonical_solution"),
    )


def infilling(record: Record, language: str) -> Problem:
    """Return the problem that asks for what is missing in a function."""
    problem_id, entry_point = record.text("task_id"), record.text("entry_point")
    function = _FUNCTION.search(problem_id)
    is_line = problem_id.startswith("SingleLine")
    return Problem(
        problem_id=problem_id,
        group=problem_id if function is None else function.group(),
        language=language or "python",
        kind=Kind.INFILL,
        extent=Extent.LINE if is_line else Extent.SPAN,
        prompt=record.text("prompt"),
        suffix=record.text("suffix"),
        tests=f"\n{record.text('test')}\ncheck({entry_point})",
        entry_point=entry_point,
        style=Style.CHECK,
        canonical=record.text("canonical_solution"),
        variant=problem_id.partition("Infilling")[0],
    )
