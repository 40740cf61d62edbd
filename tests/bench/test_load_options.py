"""Options of the load run that do not go together are one message."""

import sys

import pytest

from bench.load.__main__ import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pid", "1"], "1 --pid for 0 --url"),
        (["--url", "http://127.0.0.1:9", "--pid", "1", "--pid", "2"], "2 --pid for 1 --url"),
        (["--cpu-clock", "--pid", "1"], "1 --pid for 0 --url"),
        (["--cpu-clock", "--processes", "2"], "leave out --processes"),
    ],
)
def test_options_that_do_not_go_together_are_one_message(
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["load", *options])
    assert main() == 2
    said = capsys.readouterr().err
    assert said.startswith("load: ")
    assert message in said
    assert said.count("\n") == 1
