"""Files of a run: whole lines, whatever is in them and whoever was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eval_harness.problem import Extent, Kind, Problem
from eval_harness.records import (
    ANSWERS,
    PROBLEMS,
    VERDICTS,
    Answer,
    Asked,
    Judged,
    Log,
    problems_document,
    read_answers,
    read_problems,
    read_verdicts,
)
from eval_harness.verdict import State
from fimble.fim import Snippet

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["", "😀 é\r\n\t\x00\x1b[31m", "\u2028\u0085", "half \ud83d", "x" * 1_000_000, '"}\\n{"']


def answer(number: int, text: str) -> Answer:
    return Answer("s", "python", "p/0", number, text, "end_token", 12.5, 1.5, 100, 20, -3.25)


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    log: Log[Answer] = Log(tmp_path / ANSWERS)
    rows = [answer(number, text) for number, text in enumerate(TEXTS)]
    for row in rows:
        log.append(row)
    log.close()
    assert list(read_answers(tmp_path).values()) == rows
    assert read_answers(tmp_path)[rows[2].sample].text == "\u2028\u0085"


@pytest.mark.parametrize("kept_bytes", [0, 1, 50, -1])
def test_a_torn_last_line_is_not_there_and_the_next_one_stands_by_itself(
    tmp_path: Path, kept_bytes: int
) -> None:
    path = tmp_path / ANSWERS
    log: Log[Answer] = Log(path)
    for number in range(3):
        log.append(answer(number, "text"))
    log.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + lines[2][:kept_bytes])
    assert len(read_answers(tmp_path)) == 2
    log = Log(path)
    log.append(answer(7, "next"))
    log.close()
    assert [row.number for row in read_answers(tmp_path).values()] == [0, 1, 7]
    assert path.read_bytes().startswith(lines[0] + lines[1])


def test_the_last_of_several_verdicts_counts(tmp_path: Path) -> None:
    first = Judged("s", "go", "p", 0, State.HARNESS_ERROR, "", 0.0, 0.0, "j", False, 2)  # noqa: FBT003
    log: Log[Judged] = Log(tmp_path / VERDICTS)
    log.append(first)
    log.append(first._replace(state=State.PASSED))
    log.close()
    (only,) = read_verdicts(tmp_path).values()
    assert only.state is State.PASSED


def test_problems_come_back_whole(tmp_path: Path) -> None:
    problem = Problem(
        problem_id="p/0",
        group="g",
        language="python",
        kind=Kind.INFILL,
        extent=Extent.SPAN,
        prompt="half \ud83d",
        suffix="\u2028",
        canonical=None,
        stops=("\n}", "\ndef"),
        context=(Snippet(path="a.py", text="x"),),
    )
    asked = [Asked("s", problem, "it is bad", "in a corpus"), Asked("s", problem)]
    (tmp_path / PROBLEMS).write_bytes(problems_document(asked))
    assert read_problems(tmp_path) == asked


def test_a_folder_without_files_has_no_rows(tmp_path: Path) -> None:
    assert (read_answers(tmp_path), read_verdicts(tmp_path), read_problems(tmp_path)) == (
        {},
        {},
        [],
    )
