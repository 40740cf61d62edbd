"""MBPP, whole and sanitized: a sentence and a test, asked as a docstring.

The prompt is zero-shot: the sentence and the first test in a docstring, as InCoder asked and the
BigCode harness asks; the original's three worked examples take more room than a small model has.

Source: Austin et al. 2021, arXiv:2108.07732; Fried et al. 2022 (InCoder), arXiv:2204.05999
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Problem, Style

if TYPE_CHECKING:
    from eval_harness.suites.records import Record

STOPS = ("\nclass ", "\nassert ", '\n"""', "\nprint(", "\nif ", "\n```")
_DEFINED = re.compile(r"^(?:def|class)\s+(\w+)", re.MULTILINE)


def problem(record: Record, language: str) -> Problem:
    """Return the problem that asks for a function's whole text."""
    number, code = record.label("task_id"), record.text("code")
    sentence = record.text("prompt", "") or record.text("text")
    tests = record.texts("test_list")
    if not tests:
        raise record.refuse("the record's 'test_list' is empty")
    before = (*record.texts("test_imports", ()), record.text("test_setup_code", ""))
    return Problem(
        problem_id=f"MBPP/{number}",
        group=f"MBPP/{number}",
        language=language or "python",
        kind=Kind.COMPLETE,
        extent=Extent.SPAN,
        prompt=f'"""\n{sentence.strip()}\n{tests[0]}\n"""\n',
        tests="\n".join(("", *filter(None, before), *tests, "")),
        entry_point=_tested(code, tests[0]),
        style=Style.CHECK,
        canonical=code,
        stops=STOPS,
    )


def _tested(code: str, test: str) -> str:
    """Return the function of the solution that a test calls; empty where it calls none."""
    names = [name for name in _DEFINED.findall(code) if re.search(rf"\b{name}\b", test)]
    return names[-1] if names else ""
