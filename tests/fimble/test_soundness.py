"""Suggestions that break code that parses, and those that only look as if they did."""

from __future__ import annotations

import pytest

from fimble.languages import by_name
from fimble.soundness import NEAR_CHARS, Soundness
from fimble.stops import Site


def soundness(before: str, after: str = "\n", language: str = "python") -> Soundness:
    return Soundness(Site.at(before, after, by_name(language)))


@pytest.mark.parametrize(
    ("before", "text", "after", "language"),
    [
        ("x = ", "f(1))", "\n", "python"),
        ("def f():\n", "    return a +", "\n\n\ny = 1\n", "python"),
        ("def f():\n    x = ", "é 🙂", "\n    return x\n", "python"),
        ("int f(int a) {\n    return ", "a };", "\n}\n", "c"),
        ("func f() int {\n\t", "return a b", "\n}\n", "go"),
        ("let x = ", "[1, 2);", "\n", "typescript"),
    ],
    ids=range(6),
)
def test_what_breaks_sound_code_is_found(before: str, text: str, after: str, language: str) -> None:
    assert soundness(before, after, language).breaks(text)


@pytest.mark.parametrize(
    ("before", "text", "after", "language"),
    [
        ("x = ", "f(1)", "\n", "python"),
        ("x = ", "f(", "\n", "python"),
        ("from a import ", "(", "\n    b,\n)\n", "python"),
        ("", "for x in y:", "\n", "python"),
        ("f(", "1, 2", "\n", "python"),
        ("f(", "1, 2", ")\n", "python"),
        ("if (a) ", "{", "\n", "c"),
        ("x = '''", "a ( b", "\n", "python"),
        ("def broken(:\n    x = ", "1 +* 2", "\n", "python"),  # it was broken before
        ("x = ", "1 +* 2", "\n", "no language"),
        ("[" + "1, " * NEAR_CHARS, "2 3", "]\n", "python"),  # too long to know
        ("def f():\r\n", "    return 1", "\r\n", "python"),
        ("", "", "", "python"),
        ("x = [", "1, 2", ")]\n", "python"),  # and is wrong behind the cursor
        ("x = \ud800", "1", "\n", "python"),
    ],
    ids=range(15),
)
def test_what_may_be_right_is_left_alone(before: str, text: str, after: str, language: str) -> None:
    judge = soundness(before, after, language)
    assert not judge.breaks(text)
    assert judge.sound_part(text) == text


def test_the_lines_before_a_break_are_kept() -> None:
    judge = soundness("def f():\n", "\n\n\ny = 1\n")
    assert judge.sound_part("    a = 1\n    b = 2\n    return a + + +)") == "    a = 1\n    b = 2"
    assert judge.sound_part("    a = )") == ""


def test_a_huge_file_costs_no_more_than_what_is_near() -> None:
    judge = soundness("x = 1\n" * 500_000 + "y = ", "\nz = 2" * 500_000)
    assert judge.breaks("(1))")
    assert not judge.breaks("(1)")
