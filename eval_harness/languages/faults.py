"""Plants one fault in a right solution: a harness that passes the outcome cannot be trusted.

A fault is an early return of a value that is nothing, where a language can say that without naming
the type; elsewhere a condition is turned round.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_EARLY_RETURN = {
    "bash": "return 0",
    "c": "return 0;",
    "cpp": "return {};",
    "csharp": "return default;",
    "javascript": "return null;",
    "lua": "do return nil end",
    "perl": "return undef;",
    "php": "return null;",
    "r": "return(NULL)",
    "ruby": "return nil",
    "rust": "return Default::default();",
    "typescript": "return null as any;",
}
"""A statement that, first in a function's body, makes it return nothing."""
_ENDS_IN_PANIC = {
    "go": 'if len("planted") > 0 { panic("planted") }\n',
    "java": 'if (!"planted".isEmpty()) throw new IllegalStateException("planted");\n',
}
_SIGNS = {"<=": ">", ">=": "<", "==": "!=", "!=": "==", "<": ">=", ">": "<="}
_CONDITION = re.compile(r"\bif\b[^{;\n]*?(?<![-<>=!])\s(<=|>=|==|!=|<|>)\s")
_LOOP = re.compile(r"\bfor\b[^{;\n]*;[^{;\n]*?\s(<=|>=|<|>)\s")
_TRUTH = re.compile(r"return\s+(true|false)\b")
_INDENT = re.compile(r"[ \t]*(?=\S)")


def plant_fault(language: str, canonical: str) -> str | None:
    """Return a solution with one fault, or None where we know none to plant.

    Args:
        language: Our name of it.
        canonical: A right answer, which starts in the body of the function that is asked for.
    """
    if language == "python":
        return _python(canonical)
    if language in _EARLY_RETURN:
        return f"\n{_EARLY_RETURN[language]}\n{canonical}"
    if language not in _ENDS_IN_PANIC:
        return None
    for plant in _EDITS:
        if (planted := plant(canonical)) is not None:
            return planted
    return _ENDS_IN_PANIC[language] + canonical


def _python(canonical: str) -> str:
    """Return nothing, at the indentation of the first line."""
    indent = _INDENT.search(canonical)
    return f"{indent[0] if indent else ''}return None\n{canonical}"


def _lie(canonical: str) -> str | None:
    """Turn the truth value that is returned last round; not that of a function within."""
    last = canonical.rfind("return")
    found = _TRUTH.match(canonical, last) if last >= 0 else None
    if found is None:
        return None
    other = "false" if found[1] == "true" else "true"
    return canonical[: found.start(1)] + other + canonical[found.end(1) :]


def _turn(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    """Return what turns the first comparison round that a pattern finds."""

    def plant(canonical: str) -> str | None:
        found = pattern.search(canonical)
        if found is None:
            return None
        return canonical[: found.start(1)] + _SIGNS[found[1]] + canonical[found.end(1) :]

    return plant


_EDITS = (_lie, _turn(_CONDITION), _turn(_LOOP))
