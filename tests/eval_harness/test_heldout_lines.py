"""Held-out lines: the cases, the verdicts, and a real run against a real engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_harness.answers import judged, read_answers
from eval_harness.cases import Case, draw_case, heldout_lines
from eval_harness.report import scores, wilson
from fimble.cli import main
from tests.stand_ins.tiny_model import tiny_model_folder

if TYPE_CHECKING:
    from pathlib import Path

CASE = Case("id", "python", "a.py", "x = ", "\n", "compute(y)")
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
    case = draw_case(TEXT, language="python", path="a.py", seed=seed)
    assert case is not None
    after = case.suffix
    assert case.prefix + case.truth + after == TEXT
    assert after.lstrip(" ").startswith("\n")
    assert "\n" not in case.truth
    assert len(case.truth.strip()) >= 3


def test_a_file_without_a_line_worth_asking_gives_no_case() -> None:
    assert draw_case("\n}\n\n  \n{\n", language="c", path="a.c", seed=0) is None
    assert draw_case("", language="c", path="a.c", seed=0) is None


def test_projects_take_turns_and_training_files_are_never_asked(tmp_path: Path) -> None:
    cases = heldout_lines(write_corpus(tmp_path), per_language=3)
    assert [case.language for case in cases] == ["go"] * 3 + ["python"] * 3
    first_of = {int(case.path[5]) % 3 for case in cases[:3]}
    assert first_of == {0, 1, 2}
    assert len(heldout_lines(tmp_path, per_language=99)) == 14
    assert "file_7.x" not in {case.path for case in heldout_lines(tmp_path, per_language=99)}


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
    verdict = judged(CASE, text, "line", 1.0)
    assert verdict.exact is exact
    assert verdict.edit_similarity == pytest.approx(similarity)


def test_the_interval_is_that_of_wilsons_formula() -> None:
    # statsmodels 0.14: proportion_confint(5, 20, method="wilson")
    assert wilson(5, 20) == pytest.approx((0.111862, 0.468701), abs=1e-5)
    assert wilson(0, 10)[0] == 0.0


def test_scores_are_by_language_and_over_all() -> None:
    answers = [judged(CASE, text, "line", ms) for text, ms in (("compute(y)", 10), ("", 30))]
    answers.append(judged(CASE._replace(language="go"), "compute(y)", "line", 50))
    rows = {row.language: row for row in scores(answers)}
    assert list(rows) == ["go", "python", "all"]
    assert (rows["python"].num_cases, rows["python"].exact_match) == (2, 0.5)
    assert rows["python"].answered_rate == 0.5
    assert rows["all"].exact_match == pytest.approx(2 / 3)
    assert rows["all"].latency_p50_ms == 30


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
    whole = (out / "results.jsonl").read_text()
    answers = read_answers(out / "results.jsonl")
    assert len(answers) == 4
    lines = whole.splitlines(keepends=True)
    (out / "results.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    assert main([*command, "--out", str(out), "-n", "2"]) == 0
    again = read_answers(out / "results.jsonl")
    assert {(a.case_id, a.text) for a in again} == {(a.case_id, a.text) for a in answers}
    capsys.readouterr()
    assert main(["eval", "report", str(out), "--json"]) == 0
    (rows,) = json.loads(capsys.readouterr().out).values()
    assert [row["language"] for row in rows] == ["go", "python", "all"]


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
