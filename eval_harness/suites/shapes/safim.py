"""SAFIM: the missing block, control expression or API call of a program.

Upstream judges the first two by running whole programs on input and output; here answers are
compared with the truth, as upstream does for API calls. The mark in the record's `prompt` is a
comment that models would read; `eval_prompt` has the same program without it.

Source: https://github.com/gonglinyuan/safim, arXiv:2403.04814
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Problem
from eval_harness.suites.shapes.template import language_of

if TYPE_CHECKING:
    from eval_harness.suites.records import Record

_HOLE = "{{completion}}"


def problem(record: Record, language: str) -> Problem:
    """Return the problem that asks for what is missing."""
    problem_id = record.text("task_id")
    prefix, hole, suffix = record.text("eval_prompt").partition(_HOLE)
    if not hole:
        raise record.refuse(f"'eval_prompt' does not hold {_HOLE}")
    return Problem(
        problem_id=problem_id,
        group=problem_id,
        language=language or language_of(record, "lang"),
        kind=Kind.INFILL,
        extent=Extent.SPAN,
        prompt=prefix,
        suffix=suffix,
        canonical=record.text("ground_truth"),
        variant=problem_id.partition("_")[0],
    )
