"""Scores of written runs: denominators, variants, warnings, the terminal and the JSON document."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING

import pytest

from eval_harness.records import Asked
from eval_harness.report.comparison import compare
from eval_harness.report.document import report_document
from eval_harness.results import read_run
from eval_harness.statistics.intervals import rate, ratio, wilson
from eval_harness.statistics.pass_at_k import pass_at_k
from eval_harness.statistics.scores import scores
from eval_harness.verdict import State
from fimble.cli import main
from tests.eval_harness.report.runs import problems, write_run

if TYPE_CHECKING:
    from pathlib import Path

P, W = State.PASSED, State.WRONG


def ids(count: int = 6) -> list[str]:
    return [f"python/{number}" for number in range(count)]


def run_of(folder: Path, states: list[State], **known: dict[str, str]) -> Path:
    bad, seen = known.get("known_bad", {}), known.get("contaminated", {})
    asked = [
        Asked("toy", p, bad.get(p.problem_id, ""), seen.get(p.problem_id, "")) for p in problems()
    ]
    named = zip(ids(), states, strict=False)
    return write_run(folder, asked, {(name, 0): state for name, state in named})


def test_what_was_not_judged_leaves_the_denominator_with_a_warning(tmp_path: Path) -> None:
    states = [P, W, P, State.HARNESS_ERROR, State.TOOLCHAIN_MISSING, State.CPU_LIMIT]
    (score,) = scores(read_run(run_of(tmp_path / "run", states)))
    found = score.metrics["pass@1"]
    assert (found.value, found.num_problems, found.num_clusters) == (0.5, 4, 3)
    assert found[:3] == rate([1, 0, 1, 0], ["a", "a", "b", "c"])[:3]
    assert score.states == {
        "passed": 2, "wrong": 1, "cpu_limit": 1, "toolchain_missing": 1, "harness_error": 1,
    }  # fmt: skip
    assert score.warnings == (
        "1 answers could not be judged (harness error); they do not count",
        "1 answers could not be judged (toolchain missing); they do not count",
    )


def test_bad_problems_are_left_out_and_both_scores_are_there(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "run", [P, W, P, P, P, W], known_bad={"python/5": "no solution"})
    (score,) = scores(read_run(folder))
    assert score.metrics["pass@1"].value == 0.8
    assert score.variants["with_known_bad"]["pass@1"].value == pytest.approx(4 / 6)
    assert score.states == {"passed": 4, "wrong": 1}
    assert score.warnings == ("1 problems that their own solution does not pass are left out",)


def test_contaminated_problems_are_counted_and_the_score_without_them_is_there(
    tmp_path: Path,
) -> None:
    seen = {"python/0": "in a package", "python/2": "in a package"}
    (score,) = scores(read_run(run_of(tmp_path / "run", [P, W, P, W, W, W], contaminated=seen)))
    assert score.metrics["pass@1"].value == pytest.approx(2 / 6)
    assert score.variants["without_contaminated"]["pass@1"].value == 0.0
    assert score.variants["without_contaminated"]["pass@1"].num_problems == 4


def test_suites_that_ask_in_several_ways_have_a_score_of_each(tmp_path: Path) -> None:
    holes = ["line", "block", "line", "block", "line", "line"]
    asked = [
        Asked("toy", dataclasses.replace(problem, variant=hole))
        for problem, hole in zip(problems(), holes, strict=True)
    ]
    states = {(name, 0): P if place in {0, 1, 3} else W for place, name in enumerate(ids())}
    (score,) = scores(read_run(write_run(tmp_path / "run", asked, states)))
    assert list(score.variants) == ["block", "line"]
    assert score.variants["block"]["pass@1"][:1] == (1.0,)
    assert score.variants["line"]["pass@1"].value == 0.25
    assert score.variants["line"]["pass@1"].num_problems == 4


def test_an_unfinished_run_says_what_is_missing(tmp_path: Path) -> None:
    (score,) = scores(read_run(run_of(tmp_path / "run", [P, W])))
    assert score.metrics["pass@1"].num_problems == 2
    assert score.warnings == ("4 of 6 answers are not there yet",)


def test_several_answers_to_a_problem_give_pass_at_k(tmp_path: Path) -> None:
    states = {
        (name, n): P if n < place else W for place, name in enumerate(ids()) for n in range(5)
    }
    folder = write_run(tmp_path / "run", [Asked("toy", p) for p in problems()], states)
    (score,) = scores(read_run(folder))
    assert score.metrics["pass@1"].value == pytest.approx(sum(range(6)) / 30)
    expected = [pass_at_k(5, passed, 5) for passed in range(6)]
    assert score.metrics["pass@5"].value == pytest.approx(sum(expected) / 6)
    assert "pass@10" not in score.metrics


def test_texts_are_compared_with_the_true_answer(tmp_path: Path) -> None:
    texts = {
        "python/0": "    return 0",  # exact but for the line end
        "python/1": "    return 1\n    return 1",  # right, and goes on
        "python/2": "    return (",  # does not parse
        "python/3": "    return 4\n",
    }
    states = dict.fromkeys([(name, 0) for name in ids(4)], W)
    folder = write_run(tmp_path / "run", [Asked("t", p) for p in problems(4)], states, texts=texts)
    (score,) = scores(read_run(folder))
    value = {name: found.value for name, found in score.metrics.items()}
    assert value["exact_match"] == 0.25
    assert value["stop_accuracy"] == 0.5  # of the two that begin with the true answer
    assert score.metrics["stop_accuracy"].num_problems == 2
    assert value["parse_rate"] == 0.75
    assert value["edit_similarity"] == pytest.approx((1 + 12 / 25 + 11 / 12 + 11 / 12) / 4)
    assert value["ended_rate"] == value["answered_rate"] == 1.0


def test_speed_and_bits_come_from_the_answers(tmp_path: Path) -> None:
    (score,) = scores(read_run(run_of(tmp_path / "run", [P] * 6)))
    assert score.metrics["latency_p50_ms"].value == 102.0  # 100 to 105 ms
    assert score.metrics["latency_p99_ms"].value == 105.0
    assert score.metrics["tokens_per_s"].value == pytest.approx(30 / 0.615)
    bits, size = 2.0 / math.log(2), len("    return 0\n")
    assert score.metrics["bits_per_byte"].value == pytest.approx(bits / size)
    expected = ratio([bits] * 6, [size] * 6, ["a", "a", "b", "b", "c", "c"])
    assert score.metrics["bits_per_byte"][:3] == pytest.approx(expected[:3])


def test_languages_of_a_suite_stand_apart_and_together(tmp_path: Path) -> None:
    asked = [Asked("toy", p) for p in (*problems(2), *problems(2, "go"))]
    states = {("python/0", 0): P, ("python/1", 0): P, ("go/0", 0): W, ("go/1", 0): State.KILLED}
    rows = {s.language: s for s in scores(read_run(write_run(tmp_path / "r", asked, states)))}
    assert list(rows) == ["go", "python", "all"]
    assert rows["python"].metrics["pass@1"][:3] == pytest.approx((1.0, *wilson(1.0, 1)))
    assert rows["all"].metrics["pass@1"].value == 0.5
    assert rows["all"].states == {"passed": 2, "wrong": 1, "killed": 1}


def test_runs_are_compared_on_what_both_have(tmp_path: Path) -> None:
    first = read_run(run_of(tmp_path / "a", [W, W, W, W, P, State.HARNESS_ERROR]))
    bad = {"python/3": "bad"}
    second = read_run(run_of(tmp_path / "b", [P, W, P, P, W, P], known_bad=bad))
    (row,) = compare(second, first)
    assert (row.suite, row.language, row.metric) == ("toy", "python", "pass@1")
    found = row.difference
    assert (found.num_problems, found.num_better, found.num_worse) == (4, 1, 2)
    assert found.value == -0.25


def test_the_document_is_json_and_the_table_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        str(run_of(tmp_path / "a", [W, W, W, W, P, W])),
        str(run_of(tmp_path / "b", [P, W, P, P, W, P])),
    ]
    assert main(["eval", "report", *folders, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(
        json.dumps(report_document({folder: read_run(tmp_path / folder) for folder in folders}))
    )
    score = document["runs"][folders[1]]["toy"]["python"]
    assert set(score["metrics"]["pass@1"]) == {
        "value", "low", "high", "num_problems", "num_clusters",
    }  # fmt: skip
    (comparison,) = document["comparisons"]
    assert comparison["value"] == 0.5
    assert main(["eval", "report", *folders]) == 0
    table = capsys.readouterr().out
    assert "66.7 [" in table
    assert "+50.0 [" in table


def test_a_folder_without_a_run_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "report", str(tmp_path / "nothing")]) == 2
    assert "holds no run" in capsys.readouterr().err
    empty = write_run(tmp_path / "empty", [Asked("toy", p) for p in problems()], {})
    assert main(["eval", "report", str(empty)]) == 2
    assert "has no answer yet" in capsys.readouterr().err
