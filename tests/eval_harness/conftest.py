"""The table at the end of `make test-benchmarks`: what was shown, and on how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_ROW = "shown on whole benchmarks"
_TITLE = ("shown", "on", "holds for", "of", "")

Show = Callable[..., None]


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Show:
    """Return a function that adds a row; notes say what the numbers leave open."""

    def add(what: str, on: str, num_held: int, num_asked: int, *notes: str) -> None:
        record_property(_ROW, (what, on, f"{num_held:,}", f"{num_asked:,}", ", ".join(notes)))

    return add


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the rows of all tests, failed ones too; nothing where no test added one."""
    rows = [_TITLE, *_rows(terminalreporter)]
    if len(rows) == 1:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    terminalreporter.section(_ROW)
    for what, on, num_held, num_asked, notes in rows:
        line = f"{what:{widths[0]}}  {on:{widths[1]}}  {num_held:>{widths[2]}}  "
        terminalreporter.write_line(f"{line}{num_asked:>{widths[3]}}  {notes}".rstrip())


def _rows(reporter: TerminalReporter) -> Iterator[tuple[str, ...]]:
    for outcome in ("passed", "failed"):
        for report in reporter.stats.get(outcome, []):
            if isinstance(report, pytest.TestReport) and report.when == "call":
                yield from (tuple(row) for name, row in report.user_properties if name == _ROW)
