"""Go programs as benchmarks have them, made into one package: one clause, the right imports.

Go refuses a program that imports what it does not use, and models write bodies without seeing the
imports. So, as upstream does, imports that nothing uses are dropped and those of the standard
library that are lacking are added.

Source: codegeex/benchmark/execution.py of HumanEval-X (`process_humaneval_test` in utils.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from eval_harness.problem import Problem

PACKAGE = "program"
MAIN = "FimbleProgram"
_STANDARD = {
    path.rpartition("/")[2]: path
    for path in (
        "bufio", "bytes", "container/heap", "container/list", "crypto/md5", "crypto/sha256",
        "encoding/base64", "encoding/hex", "encoding/json", "errors", "fmt", "io", "math",
        "math/big", "math/bits", "math/cmplx", "math/rand", "os", "reflect", "regexp", "sort",
        "strconv", "strings", "sync", "testing", "time", "unicode", "unicode/utf8",
    )
}  # fmt: skip
_CLAUSE = re.compile(r"^package\s+\w+[^\n]*\n", re.MULTILINE)
_GROUP = re.compile(r"^import\s*\(([^)]*)\)", re.MULTILINE)
_SINGLE = re.compile(r'^import\s+((?:[\w.]+\s+)?"[^"\n]+")', re.MULTILINE)
_SPEC = re.compile(r'(?:([\w.]+)\s+)?"([^"\n]+)"')
_NO_CODE = re.compile(
    r"//[^\n]*|/\*.*?\*/|`[^`]*`|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.DOTALL
)
_TEST = re.compile(r"^func\s+(Test\w*)\s*\(\s*\w+\s+\*testing\.T\s*\)", re.MULTILINE)
_MAIN = re.compile(r"^func\s+main\s*\(\s*\)", re.MULTILINE)


class GoProgram(NamedTuple):
    """A program in the shape that the judge compiles."""

    text: str
    tests: tuple[str, ...]
    """Names of the test functions; empty where `MAIN` runs it."""
    imports: tuple[str, ...]
    """Paths."""


def go_program(problem: Problem, answer: str) -> GoProgram:
    """Return the program that an answer makes."""
    text = problem.candidate(answer) + problem.test_code
    specs: dict[str, str] = {}
    for pattern in (_GROUP, _SINGLE):
        for imported in pattern.findall(text):
            for alias, path in _SPEC.findall(imported):
                specs[alias or path.rpartition("/")[2]] = path
        text = pattern.sub("", text)
    text = _MAIN.sub(f"func {MAIN}()", _CLAUSE.sub("", text))
    code = _NO_CODE.sub(" ", text)
    kept = {name: path for name, path in specs.items() if name in "._" or _uses(code, name)}
    for name, path in _STANDARD.items():
        if name not in kept and _uses(code, name) and not _declares(code, name):
            kept[name] = path
    lines = [f'import {name} "{path}"\n' for name, path in sorted(kept.items())]
    tests = tuple(dict.fromkeys(_TEST.findall(problem.test_code)))
    whole = f"package {PACKAGE}\n{''.join(lines)}\n{text}\n"
    return GoProgram(whole, tests, tuple(kept.values()))


def _uses(code: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}\.\w", code) is not None


def _declares(code: str, name: str) -> bool:
    """Return whether a variable has the name of a package."""
    pattern = rf"\b{name}\s*(?:,\s*\w+\s*)*:=|\bvar\s+{name}\b|[(,]\s*{name}\s+[\w*\[]"
    return re.search(pattern, code) is not None
