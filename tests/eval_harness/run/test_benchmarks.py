"""The harness proves itself on whole benchmarks: true answers pass, also on a busy machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval_harness.records import read_verdicts
from eval_harness.suites.registry import open_suite
from fimble.cli import main
from fimble.errors import InputError
from fimble.paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.eval_harness.conftest import Show

pytestmark = [
    pytest.mark.benchmarks,
    pytest.mark.timeout(3600),
    pytest.mark.usefixtures("isolation", "places", "benchmarks"),
]

SUITES = (
    "humaneval",
    "humaneval-x",
    "humaneval-infilling-single-line",
    "humaneval-infilling-multi-line",
    "humaneval-infilling-random-span",
    "humaneval-infilling-random-span-light",
    "infilling-x",
    "mbpp",
    "mbpp-sanitized",
)
_BUSY = "while True: pass"


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the folder of benchmark files, or skip."""
    neighbour = Path(__file__).parents[4] / "shared" / "benchmarks"
    folder = Path(os.environ.get("FIMBLE_BENCHMARKS") or neighbour)
    if not folder.is_dir():
        pytest.skip("FIMBLE_BENCHMARKS names no folder of benchmark files")
    monkeypatch.setenv("FIMBLE_BENCHMARKS", str(folder))


@contextmanager
def busy() -> Iterator[None]:
    """Keep twelve processes busy."""
    with ExitStack() as stack:
        for _ in range(12):
            process = subprocess.Popen([sys.executable, "-S", "-c", _BUSY])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def states_of(
    suite: str, out: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> dict[str, dict[str, int]]:
    try:
        open_suite(suite)
    except InputError as error:
        pytest.skip(str(error))
    capsys.readouterr()
    command = ["eval", "run", suite, "--model", "canonical", "--out", str(out), "--json", *more]
    assert main(command) == 0
    scores = json.loads(capsys.readouterr().out)[suite]
    return {language: score["states"] for language, score in scores.items()}


@pytest.mark.parametrize("suite", SUITES)
def test_every_true_answer_passes(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], show: Show
) -> None:
    """Problems that are known to be bad are not among the states."""
    states = states_of(suite, tmp_path / "run", capsys)
    num_problems = Counter(problem.language for problem in open_suite(suite).problems)
    for language, of in states.items():
        num_left_out = num_problems[language] - sum(of.values())
        others = [f"{number:,} {state}" for state, number in of.items() if state != "passed"]
        notes = [*others, *([f"{num_left_out} known to be bad"] if num_left_out else [])]
        passed = of.get("passed", 0)
        show("true answers pass", f"{suite}, {language}", passed, num_problems[language], *notes)
    found = {language: set(of) - {"toolchain_missing"} for language, of in states.items()}
    assert all(of <= {"passed"} for of in found.values()), states
    assert any(found.values())


@pytest.mark.parametrize("suite", ["humaneval", "humaneval-x"])
def test_no_verdict_changes_while_twelve_processes_are_busy(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], show: Show
) -> None:
    """Sixty problems of each language are judged twice, the second time on a busy machine."""
    idle, loaded = tmp_path / "idle", tmp_path / "loaded"
    sample = ("--per-language", "60")
    states_of(suite, idle, capsys, *sample)
    shutil.rmtree(cache_dir() / "verdicts")  # else nothing would be judged again
    with busy():
        states_of(suite, loaded, capsys, *sample)
    before, after = ({s: v.state for s, v in read_verdicts(out).items()} for out in (idle, loaded))
    num_same = sum(state is before.get(sample) for sample, state in after.items())
    show("verdicts stay while 12 processes are busy", suite, num_same, len(before))
    assert after == before
    assert not any(verdict.is_cached for verdict in read_verdicts(loaded).values())
    assert len(after) >= 60
