"""MultiPL-E: HumanEval and MBPP translated into many languages, one file a language.

Each record brings its own stop texts, and they differ by language. Where the tests start with the
brace that closes the function, the answer ends before it. There are no solutions.

Source: https://github.com/nuprl/MultiPL-E, arXiv:2208.08227
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Problem, Style
from eval_harness.suites.shapes.template import language_of

if TYPE_CHECKING:
    from eval_harness.suites.records import Record

_STYLES = {"python": Style.CHECK, "go": Style.GO_TEST}
_NAME = re.compile(r"(?P<family>HumanEval|mbpp)_(?P<number>\d+)")


def problem(record: Record, language: str) -> Problem:
    """Return the problem that asks for a function's body."""
    language = language or language_of(record)
    name = record.text("name")
    known = _NAME.match(name)
    family = {"HumanEval": "HumanEval", "mbpp": "MBPP"}.get(known["family"], "") if known else ""
    return Problem(
        problem_id=name,
        group=f"{family}/{known['number']}" if known else name,
        language=language,
        kind=Kind.COMPLETE,
        extent=Extent.BLOCK,
        prompt=record.text("prompt"),
        tests=f"\n{record.text('tests')}",
        style=_STYLES.get(language, Style.PROGRAM),
        stops=tuple(filter(None, record.texts("stop_tokens", ()))),
    )
