"""Runs of a toy suite through the command line: real judges, a real server with a script."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval_harness.records import (
    ANSWERS,
    PROBLEMS,
    VERDICTS,
    read_answers,
    read_problems,
    read_verdicts,
)
from eval_harness.verdict import State
from fimble.cli import main
from tests.eval_harness.run.toy import RIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stand_ins.tgi_app import TgiScript

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("isolation")]


def facts(out: Path) -> dict[tuple[object, ...], tuple[object, ...]]:
    """Return everything of a run that does not depend on the clock."""
    answers, verdicts = read_answers(out), read_verdicts(out)
    return {
        sample: (
            *(answer.text, answer.stop_reason, answer.generated_tokens),
            *(verdicts[sample].state, verdicts[sample].detail, verdicts[sample].judge),
        )
        for sample, answer in answers.items()
    }


def run_suite(suite: str, model: str, out: Path, *more: str) -> int:
    return main(["eval", "run", suite, "--model", model, "--out", str(out), *more])


def test_the_true_answers_pass(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_suite(suite, "canonical", tmp_path / "run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    score = found["toy"]["bash"]
    assert score["states"] == {"passed": 8}
    assert score["metrics"]["pass@1"]["value"] == 1.0
    assert score["metrics"]["pass@1"]["num_problems"] == 8
    assert score["metrics"]["exact_match"]["value"] == 1.0
    assert set(score) == {"metrics", "states"}


def test_a_server_is_asked_as_the_editor_asks_it_and_its_answers_are_judged(
    suite: str, tmp_path: Path, tgi: TgiScript, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run_suite(suite, tgi.url, out, "--json") == 0
    score = json.loads(capsys.readouterr().out)["toy"]["bash"]
    assert score["states"] == {"passed": 4, "wrong": 4}
    assert score["metrics"]["pass@1"]["value"] == 0.5
    assert score["metrics"]["stop_accuracy"]["num_problems"] == 4
    assert "<|fim_suffix|>}\n<|fim_prefix|>add_0() {  # 😀\n<|fim_middle|>" in tgi.prompts
    answers = {answer.problem_id: answer.text for answer in read_answers(out).values()}
    assert answers["toy/2"] == RIGHT["toy/2"]  # nothing of the line below, which was said, too
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["inputs"]["model"]["digest"] == "0123456789abcdef"
    assert manifest["inputs"]["sampling"]["temperature"] == 0
    assert manifest["judging"]["toolchains"]["bash"].startswith("GNU bash")
    assert manifest["judging"]["sandbox"] in {"bubblewrap", "landlock", "container"}


def test_a_second_start_asks_and_judges_nothing_again(
    suite: str, tmp_path: Path, tgi: TgiScript
) -> None:
    out = tmp_path / "run"
    run_suite(suite, tgi.url, out)
    before = {name: (out / name).read_bytes() for name in (ANSWERS, VERDICTS, PROBLEMS)}
    run_suite(suite, tgi.url, out)
    assert {name: (out / name).read_bytes() for name in before} == before
    assert len(tgi.prompts) == 8


def test_a_corpus_marks_the_problems_of_a_run_that_exists(
    suite: str, tmp_path: Path, tgi: TgiScript, capsys: pytest.CaptureFixture[str]
) -> None:
    out, corpus = tmp_path / "run", tmp_path / "corpus"
    (corpus / "dropped").mkdir(parents=True)
    row = {"project": "p", "path": "x.sh", "reason": "benchmark_text",
           "detail": "toy.jsonl:toy/2: echo $(( $1"}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), corpus / "dropped" / "one.parquet")
    sha256 = hashlib.sha256(Path(suite).with_name("toy.jsonl").read_bytes()).hexdigest()
    card = {"name": "all", "digest": "d1", "benchmarks": [{"name": "toy", "sha256": sha256}]}
    (corpus / "card.json").write_text(json.dumps(card))
    run_suite(suite, tgi.url, out)
    assert [asked.contaminated for asked in read_problems(out)] == [""] * 8
    capsys.readouterr()
    assert run_suite(suite, tgi.url, out, "--corpus", str(corpus)) == 0
    assert "! toy bash: 1 problems stood in the training data's sources" in capsys.readouterr().out
    marks = {asked.problem.problem_id: asked.contaminated for asked in read_problems(out)}
    assert marks.pop("toy/2") == "left out of the corpus: x.sh of p, for 'echo $(( $1'"
    assert set(marks.values()) == {""}
    assert json.loads((out / "manifest.json").read_text())["corpus"] == "all d1"
    assert len(tgi.prompts) == 8  # nothing was asked again
    (corpus / "card.json").write_text(json.dumps({**card, "benchmarks": []}))
    assert run_suite(suite, tgi.url, out, "--corpus", str(corpus)) == 0
    assert "8 problems were not looked for in the training data's" in capsys.readouterr().out
    (corpus / "card.json").write_text(json.dumps(card))
    nobody = "http://127.0.0.1:9"
    assert run_suite(suite, nobody, out, "--only", "judge", "--corpus", str(corpus)) == 0
    assert "! toy bash: 1 problems stood in the training data's sources" in capsys.readouterr().out
    fewer = ("--per-language", "2", "--corpus", str(corpus))
    assert run_suite(suite, nobody, out, "--only", "judge", *fewer) == 2
    assert "holds other problems than the suites named here" in capsys.readouterr().err
    assert run_suite(suite, tgi.url, out, "--corpus", str(tmp_path / "none")) == 2
    assert "is no corpus of `fimble corpus build`" in capsys.readouterr().err


def test_lines_that_a_crash_tore_are_redone(suite: str, tmp_path: Path, tgi: TgiScript) -> None:
    out = tmp_path / "run"
    run_suite(suite, tgi.url, out)
    whole = facts(out)
    for name in (ANSWERS, VERDICTS):
        lines = (out / name).read_bytes().splitlines(keepends=True)
        (out / name).write_bytes(b"".join(lines[:3]) + lines[3][:30])
    run_suite(suite, tgi.url, out)
    assert facts(out) == whole
    assert len((out / ANSWERS).read_bytes().splitlines()) == 8
    assert len(tgi.prompts) == 8 + 5


def test_generation_and_judging_can_be_apart(suite: str, tmp_path: Path, tgi: TgiScript) -> None:
    out, together = tmp_path / "run", tmp_path / "together"
    assert run_suite(suite, tgi.url, out, "--only", "generate") == 0
    assert read_verdicts(out) == {}
    assert run_suite(suite, "http://127.0.0.1:9", out, "--only", "judge") == 0  # nobody is there
    run_suite(suite, tgi.url, together)
    assert facts(out) == facts(together)


def test_more_samples_join_those_there_are(suite: str, tmp_path: Path, tgi: TgiScript) -> None:
    out = tmp_path / "run"
    run_suite(suite, tgi.url, out, "-n", "1", "--temperature", "0.5")
    run_suite(suite, tgi.url, out, "-n", "3", "--temperature", "0.5")
    assert len(read_answers(out)) == 24
    assert len(tgi.prompts) == 24
    fresh = [v for v in read_verdicts(out).values() if not v.is_cached]
    assert len(fresh) == 8  # the same program is run once


def test_a_run_with_other_inputs_is_one_clear_error(
    suite: str, tmp_path: Path, tgi: TgiScript, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    run_suite(suite, tgi.url, out)
    before = (out / ANSWERS).read_bytes()
    capsys.readouterr()
    assert run_suite(suite, "canonical", out) == 2
    message = capsys.readouterr().err
    assert 'model.kind was "tgi" and is "canonical"' in message
    assert message.count("\n") == 1
    assert run_suite(suite, tgi.url, out, "--temperature", "0.7") == 2
    assert "sampling.temperature was 0.0 and is 0.7" in capsys.readouterr().err
    data = Path(suite).with_name("toy.jsonl")
    data.write_text(data.read_text().replace("echo $((", "printf %s $(("))
    assert run_suite(suite, tgi.url, out) == 2
    assert "suites.toy was" in capsys.readouterr().err
    assert (out / ANSWERS).read_bytes() == before


def test_an_engine_that_dies_ends_the_run_with_one_message_and_it_goes_on_later(
    suite: str, tmp_path: Path, tgi: TgiScript, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    tgi.refuses = (422, {"error": "it is broken", "error_type": "generation"})
    assert run_suite(suite, tgi.url, out) == 1
    assert "it is broken" in capsys.readouterr().err
    tgi.refuses = None
    assert run_suite(suite, tgi.url, out) == 0
    assert len(facts(out)) == 8


def test_a_prompt_that_cannot_fit_is_an_answer_of_its_own(
    suite: str, tmp_path: Path, tgi: TgiScript
) -> None:
    tgi.max_input_chars = 10
    assert run_suite(suite, tgi.url, tmp_path / "run") == 0
    answers = read_answers(tmp_path / "run").values()
    assert {(answer.text, answer.stop_reason) for answer in answers} == {("", "prompt_too_long")}
    assert {v.state for v in read_verdicts(tmp_path / "run").values()} == {State.COMPILE_ERROR}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "canonical", "-n", "0"), "-n is 0; it must be 1 or more"),
        (("--model", "canonical", "--fim-format", "gpt"), "--fim-format is 'gpt'; allowed are"),
        (("--model", "no-such-model"), "there is no model folder 'no-such-model'"),
        (("--model", "canonical", "--sandbox", "jail"), "there is no tier 'jail'"),
        (("--model", "http://127.0.0.1:9"), "no answer from http://127.0.0.1:9"),
        (("--model", "http://x", "-n", "2", "--temperature", "0"), "the same answer 2 times"),
        (("--model", "canonical", "--only", "judge"), "holds no answers to judge"),
    ],
)
def test_bad_arguments_are_one_message(
    suite: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert main(["eval", "run", suite, "--out", str(tmp_path / "run"), *arguments]) in {1, 2}
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_two_processes_do_not_write_one_run(
    suite: str, tmp_path: Path, tgi: TgiScript, capsys: pytest.CaptureFixture[str]
) -> None:
    tgi.delay_s = 0.3
    out = tmp_path / "run"
    first = subprocess.Popen(
        [sys.executable, "-m", "fimble", "eval", "run", suite, "--model", tgi.url,
         "--out", str(out)], stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for((out / "manifest.json").exists)
        assert run_suite(suite, tgi.url, out) == 2
        assert "another process is writing the run" in capsys.readouterr().err
    finally:
        first.terminate()
        first.wait(30)


def wait_for(condition: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill_and_return_orphans(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Kill a process and return those below it, which have to end by themselves."""
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    return below


def has_children(process: subprocess.Popen[bytes]) -> bool:
    return bool(psutil.Process(process.pid).children())


def is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


SEEDS = [5, *(pytest.param(seed, marks=pytest.mark.benchmarks) for seed in (6, 7, 8))]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_killed_at_random_moments_becomes_the_run_that_nobody_killed(
    suite: str, tmp_path: Path, tgi: TgiScript, places: dict[str, str], seed: int
) -> None:
    """No process, mount or folder of the sandbox stays behind either."""
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "run"
    run_suite(suite, tgi.url, undisturbed)
    tgi.delay_s = 0.02
    kills, num_orphans = random.Random(seed), 0
    caches = tmp_path / "another-cache"
    environment = {**os.environ, **places, "FIMBLE_CACHE_DIR": str(caches)}
    command = [sys.executable, "-m", "fimble", "eval", "run", suite, "--model", tgi.url]
    mounts = Path("/proc/self/mounts").read_text().count("fimble-sandbox-")
    for number in range(4):
        process = subprocess.Popen(
            [*command, "--out", str(out)], env=environment, stdout=subprocess.DEVNULL
        )
        wait_for((out / ANSWERS).exists)
        if number == 0:  # at least one kill finds a sandbox at work
            wait_for(lambda: process.poll() is not None or has_children(process))  # noqa: B023
        else:
            time.sleep(kills.uniform(0.0, 1.5))
        orphans = [] if process.poll() is not None else kill_and_return_orphans(process)
        wait_for(lambda: all(map(is_over, orphans)))  # noqa: B023 - called before the next round
        num_orphans += len(orphans)
    subprocess.run([*command, "--out", str(out)], env=environment, check=True)
    assert facts(out) == facts(undisturbed)
    assert (out / PROBLEMS).read_bytes() == (undisturbed / PROBLEMS).read_bytes()
    assert num_orphans > 0
    assert Path("/proc/self/mounts").read_text().count("fimble-sandbox-") == mounts
    assert list(tmp_path.glob("fimble-sandbox-*")) == []
