"""Tests of whole programs: what goes in, and what may come out.

The wanted output never reaches the sandbox, so there is nothing for a program to find: it is
compared here, and no nonce is needed. As contests do, blanks at the ends of lines do not count;
where lines differ, the words are compared one by one: numbers by value, `yes`, `no`, `true` and
`false` in any case.

Source: execution_engine.py of https://github.com/ntunlp/ExecEval, which SAFIM was judged by. Unlike
there, `nan` is a word and not a number: it would be as near as anything to any.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_NEAR = Decimal("1e-12")
_TRUTHS = frozenset({"yes", "no", "true", "false"})
_MAX_DIGITS = 400
"""Longer words are compared as texts: their value would take time to find."""


class Case(NamedTuple):
    """One run of a program."""

    given: str
    """Standard input."""
    wanted: tuple[str, ...]
    """Outputs that are right; one of them is to come."""


def as_tests(cases: Iterable[Case]) -> str:
    """Return cases as the `tests` of a problem."""
    return json.dumps([{"input": each.given, "output": list(each.wanted)} for each in cases])


def cases_of(tests: str) -> tuple[Case, ...]:
    """Return the cases of a problem's `tests`: JSON, a list of `{"input", "output"}`.

    `output` is a text, or a list of texts of which any will do.

    Raises:
        ValueError: They are something else, or none.
    """
    rows = json.loads(tests)
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"tests are {tests[:60]!r}; they must be a list of inputs and outputs")
    return tuple(_case(row) for row in rows)


def _case(row: object) -> Case:
    if isinstance(row, dict) and isinstance(given := row.get("input"), str):
        wanted = row.get("output")
        outputs = [wanted] if isinstance(wanted, str) else wanted
        if isinstance(outputs, list) and outputs and all(isinstance(o, str) for o in outputs):
            return Case(given, tuple(outputs))
    raise ValueError(f"a test is {str(row)[:60]}; it must have the texts 'input' and 'output'")


def is_right(said: str, case: Case) -> bool:
    """Return whether a program's output is one of those that are wanted."""
    return any(_is_same(said, wanted) for wanted in case.wanted)


def _is_same(said: str, wanted: str) -> bool:
    lines = zip_longest(said.strip().split("\n"), wanted.strip().split("\n"))
    if all(
        one is not None and other is not None and one.strip() == other.strip()
        for one, other in lines
    ):
        return True
    words, others = said.split(), wanted.split()
    return len(words) == len(others) and all(map(_is_same_word, words, others))


def _is_same_word(word: str, other: str) -> bool:
    if word == other:
        return True
    value, number = _number(word), _number(other)
    if value is not None and number is not None:
        return abs(value - number) <= _NEAR
    return word.lower() == other.lower() and word.lower() in _TRUTHS


def _is_short_number(word: str) -> bool:
    return len(word) <= _MAX_DIGITS and word.isascii() and "_" not in word


def _number(word: str) -> Decimal | None:
    try:
        value = Decimal(word) if _is_short_number(word) else None
    except InvalidOperation:
        return None
    # Of a huge exponent the difference would have that many digits.
    is_usual = value is not None and value.is_finite() and abs(value.adjusted()) <= _MAX_DIGITS
    return value if is_usual else None
