"""The harness proves itself: true answers pass, spoilt ones fail, in five languages."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval_harness.languages.faults import plant_fault
from eval_harness.suites.registry import open_suite
from eval_harness.verdict import State

if TYPE_CHECKING:
    from tests.eval_harness.conftest import Show
    from tests.eval_harness.languages.conftest import GetJudge

BENCHMARKS = Path(
    os.environ.get("FIMBLE_BENCHMARKS") or Path(__file__).parents[4] / "shared" / "benchmarks"
)
LANGUAGES = ("cpp", "go", "java", "javascript", "rust")
BLIND = {
    "CPP/23": "its tests call the C library's `strlen`",
    "Rust/4": "its tests only want the value to be small enough",
}
"""Problems whose tests do not see the fault that we plant."""
pytestmark = [pytest.mark.benchmarks, pytest.mark.toolchain]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("is_spoilt", [False, True], ids=["true", "spoilt"])
def test_true_answers_pass_and_spoilt_ones_fail(
    language: str,
    is_spoilt: bool,  # noqa: FBT001 - pytest passes it by name
    get_judge: GetJudge,
    show: Show,
) -> None:
    if not (BENCHMARKS / "humaneval_x").is_dir():
        pytest.skip(f"no benchmark files in {BENCHMARKS}")
    suite = open_suite("humaneval-x", benchmarks=BENCHMARKS, languages=frozenset({language}))
    judge = get_judge(language)
    left_out = {*suite.known_bad, *([f"{language}/{each}" for each in BLIND] if is_spoilt else [])}
    problems = [each for each in suite.problems if each.key not in left_out]
    assert len(problems) >= 162
    answers = [
        plant_fault(language, each.canonical or "") if is_spoilt else each.canonical
        for each in problems
    ]
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(judge.judge, problems, [answer or "" for answer in answers]))
    surprises = {
        problem.problem_id: verdict
        for problem, verdict in zip(problems, verdicts, strict=True)
        if (verdict.state is State.PASSED) is is_spoilt
        or verdict.state in {State.TOOLCHAIN_MISSING, State.HARNESS_ERROR}
    }
    what = "a planted fault fails" if is_spoilt else "true answers pass, asked one by one"
    num_left_out = len(suite.problems) - len(problems)
    notes = [f"{num_left_out} left out by name"] if num_left_out else []
    num_held = len(problems) - len(surprises)
    show(what, f"humaneval-x, {language}", num_held, len(suite.problems), *notes)
    assert surprises == {}


def test_known_bad_names_problems_that_exist() -> None:
    if not (BENCHMARKS / "humaneval_x").is_dir():
        pytest.skip(f"no benchmark files in {BENCHMARKS}")
    bad = open_suite("humaneval-x", benchmarks=BENCHMARKS).known_bad
    assert sorted(bad) == [
        "go/Go/95", "javascript/JavaScript/112", "javascript/JavaScript/155", "rust/Rust/32",
    ]  # fmt: skip
