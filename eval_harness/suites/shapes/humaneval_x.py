"""HumanEval-X: the problems of HumanEval in six languages, with solutions and tests.

What is executed is what upstream's runner executes. Two things only the answer decides: which
imports a Go program lacks, which the judge of Go adds, and where a Java class is closed. NumPy,
which upstream imports for Python, is left out: no solution needs it.

Source: https://github.com/zai-org/CodeGeeX, codegeex/benchmark/humaneval-x
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Problem, Style

if TYPE_CHECKING:
    from eval_harness.suites.records import Record

_CPP_HEADERS = ("stdlib.h", "algorithm", "math.h", "stdio.h", "vector", "string", "climits",
                "cstring", "iostream")  # fmt: skip
_PYTHON_MODULES = ("math", "re", "sys", "copy", "datetime", "itertools", "collections", "heapq",
                   "statistics", "functools", "hashlib", "string")  # fmt: skip
_PYTHON_HEADER = "".join(
    [f"import {module}\n" for module in _PYTHON_MODULES]
    + [f"from {module} import *\n" for module in ("typing", "collections")]
)
_CHECKED = re.compile(r"^check\((\w+)\)", re.MULTILINE)
_STYLES = {
    "python": Style.CHECK,
    "javascript": Style.CONSOLE_ASSERT,
    "go": Style.GO_TEST,
    "rust": Style.RUST_TEST,
}


def problem(record: Record, language: str) -> Problem:
    """Return the problem that asks for a function's body."""
    if language not in _HEADERS:
        raise record.refuse(f"HumanEval-X has no {language!r}; it has {', '.join(_HEADERS)}")
    problem_id, prompt = record.text("task_id"), record.text("prompt")
    if language == "rust":
        prompt += record.text("declaration")
    tests = record.text("test")
    checked = _CHECKED.search(tests) if language == "python" else None
    return Problem(
        problem_id=problem_id,
        group=f"HumanEval/{problem_id.rpartition('/')[2]}",
        language=language,
        kind=Kind.COMPLETE,
        extent=Extent.BLOCK,
        prompt=prompt,
        header=_HEADERS[language](record, prompt),
        tests=f"\n{tests}\n",
        entry_point="" if checked is None else checked[1],
        style=_STYLES.get(language, Style.PROGRAM),
        canonical=record.text("canonical_solution"),
    )


def _no_header(_: Record, __: str) -> str:
    return ""


def _python_header(_: Record, __: str) -> str:
    return _PYTHON_HEADER


def _cpp_header(_: Record, prompt: str) -> str:
    includes = [f"#include<{name}>\n" for name in _CPP_HEADERS]
    return "".join(each for each in includes if each.strip() not in prompt)


def _go_header(record: Record, _: str) -> str:
    return f"{record.text('test_setup')}\n"


_HEADERS = {
    "cpp": _cpp_header,
    "go": _go_header,
    "java": _no_header,
    "javascript": _no_header,
    "python": _python_header,
    "rust": _no_header,
}
