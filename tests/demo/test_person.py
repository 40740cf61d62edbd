"""What the demo's person takes, and what is on the screen."""

from __future__ import annotations

import io

import pytest

from bench.demo.screen import Screen, Span, View
from eval_harness.sessions.person import right_part

VIEW = View(["above"], [Span("ab"), Span("cd", is_taken=True)], "ef\n\tg", ["below"], "7 ms")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("suggested", "true", "taken"),
    [
        ("return a + b", "return a + b", "return a + b"),
        ("return a + b", "return a + b\n    x = 1", "return a + b"),
        ("return a", "return a + b", "return a"),
        ("return a + c", "return a + b", "return a +"),
        ("a = 1\n    b = 3", "a = 1\n    b = 2", "a = 1"),
        ("a = 1\n    b = 3", "a = 1\n    b = 2\nc", "a = 1"),
        ("a = 1\nb = 2\nc = 3", "a = 1\nb = 2", "a = 1\nb = 2"),
        ("first_name", "first_names", "first_name"),
        ("first_other", "first_names", ""),
        (")", ")", ""),
        ("()", "()", ""),
        ("'😀😀', x", "'😀😀', y", "'😀😀',"),
        ("anything", "", ""),
        ("x", "anything", ""),
    ],
)
def test_a_person_takes_what_is_right_and_worth_a_key(
    suggested: str, true: str, taken: str
) -> None:
    assert right_part(suggested, true) == taken


def test_typed_text_is_plain_a_suggestion_grey_and_accepted_text_green(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    screen = Screen(out)
    screen.draw(VIEW)
    first = (
        "above\x1b[K\n"
        "ab\x1b[32mcd\x1b[0m\x1b[7m\x1b[90me\x1b[0m\x1b[90mf\x1b[0m\x1b[K\n"
        "\x1b[90m    g\x1b[0m\x1b[K\n"
        "below\x1b[K\n"
        "\x1b[2m7 ms\x1b[0m\x1b[K\n"
        "\x1b[J"
    )
    assert out.getvalue() == f"\x1b[?25l{first}"
    screen.draw(VIEW._replace(ghost="", is_done=True))
    second = "above\x1b[K\nab\x1b[32mcd\x1b[0m\x1b[K\nbelow\x1b[K\n\x1b[J"
    assert out.getvalue() == f"\x1b[?25l{first}\x1b[5F{second}"
    screen.leave()
    assert out.getvalue().endswith(f"{second}\x1b[?25h")


def test_a_long_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "12")
    monkeypatch.setenv("LINES", "24")
    out = Terminal()
    Screen(out).draw(View(["x" * 40], [Span("y" * 40)], "z" * 40, ["\t\tw" * 9], "", is_done=True))
    assert out.getvalue() == (
        f"\x1b[?25l{'x' * 10}\x1b[K\n{'y' * 10}\x1b[K\n        w \x1b[K\n\x1b[J"
    )


def test_where_nothing_can_be_redrawn_what_was_read_is_a_line_each() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.draw(VIEW)
    screen.judged(VIEW, "rejected")
    assert out.getvalue() == "    abcd│ef (+1 lines)   [rejected]\n"
