"""Held-out lines: the cases, the verdicts, and a real run against a real engine."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_harness.heldout_lines import draw_problem, heldout_lines
from eval_harness.problem import Extent, Kind, Problem
from eval_harness.records import ANSWERS, Answer, Asked, read_answers
from eval_harness.results import Reply, Result, Run, reply
from eval_harness.statistics.intervals import wilson
from eval_harness.statistics.scores import scores
from eval_harness.suites.draw import Draw
from fimble.cli import main
from tests.stand_ins.tiny_model import tiny_model_folder

if TYPE_CHECKING:
    from pathlib import Path

PROBLEM = Problem(
    problem_id="id",
    group="id",
    language="python",
    kind=Kind.INFILL,
    extent=Extent.LINE,
    prompt="x = ",
    suffix="\n",
    canonical="compute(y)",
    path="a.py",
)
TEXT = 'name = "😀 café"\n\n\tif ready:\n        start(now)  \n'


def write_corpus(folder: Path) -> Path:
    rows = [
        {
            "project": f"project-{number % 3}",
            "language": language,
            "path": f"file_{number}.x",
            "split": "train" if number == 7 else "validation",
            "text": f"value_{number} = compute({number})\n" * 5,
        }
        for language in ("go", "python")
        for number in range(8)
    ]
    (folder / "files").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "files" / "a.parquet")
    return folder


@given(seed=st.integers(0, 10_000))
def test_a_case_is_the_file_with_the_rest_of_a_line_missing(seed: int) -> None:
    problem = draw_problem(TEXT, language="python", path="a.py", seed=seed)
    assert problem is not None
    assert problem.canonical is not None
    assert problem.prompt + problem.canonical + problem.suffix == TEXT
    assert problem.suffix.lstrip(" ").startswith("\n")
    assert "\n" not in problem.canonical
    assert len(problem.canonical.strip()) >= 3


def test_a_file_without_a_line_worth_asking_gives_no_case() -> None:
    assert draw_problem("\n}\n\n  \n{\n", language="c", path="a.c", seed=0) is None
    assert draw_problem("", language="c", path="a.c", seed=0) is None


def test_projects_take_turns_and_training_files_are_never_asked(tmp_path: Path) -> None:
    source = str(write_corpus(tmp_path))
    few = heldout_lines(Draw(source=source, per_language=3))
    assert [problem.language for problem in few.problems] == ["go"] * 3 + ["python"] * 3
    assert {int(problem.path[5]) % 3 for problem in few.problems[:3]} == {0, 1, 2}
    every = heldout_lines(Draw(source=source, per_language=99))
    assert len(every.problems) == 14
    assert "file_7.x" not in {problem.path for problem in every.problems}
    only_go = heldout_lines(Draw(source=source, per_language=99), frozenset({"go"}))
    assert only_go.problems == every.problems[:7]


def judged(problem: Problem, text: str, latency_ms: float) -> Reply:
    sample = ("heldout-lines", problem.language, problem.problem_id, 0)
    answer = Answer(*sample, text, "line", latency_ms, 1.0, 10, 3)
    return reply(problem, answer, None, can_parse=True)


@pytest.mark.parametrize(
    ("text", "exact", "similarity"),
    [
        ("compute(y)", True, 1.0),
        ("compute(y)  ", True, 1.0),
        (" compute(y)", False, 10 / 11),
        ("compute(z)", False, 0.9),
        ("", False, 0.0),
    ],
)
def test_an_answer_is_exact_up_to_blanks_at_its_end(
    text: str,
    exact: bool,  # noqa: FBT001 - a column of the table
    similarity: float,
) -> None:
    verdict = judged(PROBLEM, text, 1.0)
    assert verdict.is_exact is exact
    assert verdict.edit_similarity == pytest.approx(similarity)


def test_scores_are_by_language_and_over_all() -> None:
    given = [("python", "compute(y)", 10), ("python", "", 30), ("go", "compute(y)", 50)]
    results = []
    for number, (language, text, ms) in enumerate(given):
        problem = dataclasses.replace(
            PROBLEM, language=language, problem_id=str(number), group=str(number)
        )
        results.append(Result(Asked("heldout-lines", problem), (judged(problem, text, ms),)))
    rows = {row.language: row.metrics for row in scores(Run("run", {}, results, 1))}
    assert list(rows) == ["go", "python", "all"]
    assert rows["python"]["exact_match"][:3] == pytest.approx((0.5, *wilson(0.5, 2)))
    assert rows["python"]["exact_match"].num_problems == 2
    assert rows["python"]["answered_rate"].value == 0.5
    assert rows["python"]["edit_similarity"].value == 0.5
    assert rows["all"]["exact_match"].value == pytest.approx(2 / 3)
    assert rows["all"]["latency_p50_ms"].value == 30
    assert "pass@1" not in rows["all"]


@pytest.mark.e2e
@pytest.mark.slow
def test_a_run_measures_a_served_model_and_goes_on_where_it_was_cut_short(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FIMBLE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("FIMBLE_CONFIG", str(tmp_path / "fimble.toml"))
    (tmp_path / "fimble.toml").write_text("[engine]\nidle_exit_s = 5\n")
    corpus, out = write_corpus(tmp_path / "corpus"), tmp_path / "run"
    model = str(tiny_model_folder())
    command = ["eval", "run", "heldout-lines", "--model", model, "--corpus", str(corpus)]
    assert main([*command, "--out", str(out), "-n", "2"]) == 0
    answers = read_answers(out)
    assert len(answers) == 4
    lines = (out / ANSWERS).read_text().splitlines(keepends=True)
    (out / ANSWERS).write_text("".join(lines[:2]) + lines[2][:20])
    assert main([*command, "--out", str(out), "-n", "2"]) == 0
    again = read_answers(out)
    assert {s: a.text for s, a in again.items()} == {s: a.text for s, a in answers.items()}
    capsys.readouterr()
    assert main(["eval", "report", str(out), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"].values()
    assert list(run["heldout-lines"]) == ["go", "python", "all"]
    assert run["heldout-lines"]["all"]["metrics"]["exact_match"]["num_problems"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "-n is 0; it must be 1 or more"),
        (["--languages", "cobol"], "no held-out files in cobol; it has go, python"),
    ],
)
def test_bad_arguments_are_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    command = ["eval", "run", "heldout-lines", "--model", "x", "--corpus", str(corpus)]
    assert main([*command, "--out", str(tmp_path / "o"), *arguments]) == 2
    assert message in capsys.readouterr().err
