"""The queue of programs, its cache and its second look at flakes; a judge that follows a script."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from eval_harness.judging import JudgingQueue, Task
from eval_harness.languages.language import Toolchain
from eval_harness.problem import Extent, Kind, Problem
from eval_harness.records import Judged, Sample
from eval_harness.sandbox.job import SandboxError
from eval_harness.verdict import State, Verdict
from eval_harness.verdict_cache import VerdictCache, program_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class ScriptedJudge:
    """Says what a function says of the answer and the number of times it was asked."""

    language = "python"

    def __init__(self, says: Callable[[str, int], Verdict], version: str = "1") -> None:
        self._says = says
        self._version = version
        self._lock = threading.Lock()
        self.asked: list[str] = []
        self.most_at_once = self._now = 0
        self.alone: list[bool] = []

    def toolchain(self) -> Toolchain:
        return Toolchain(self._version)

    def judge(self, problem: Problem, answer: str) -> Verdict:
        del problem
        with self._lock:
            self.asked.append(answer)
            time = self.asked.count(answer)
            self._now += 1
            self.alone.append(self._now == 1)
        try:
            return self._says(answer, time)
        finally:
            with self._lock:
                self._now -= 1

    def close(self) -> None:
        """Nothing is open."""


def problem(name: str = "a", prompt: str = "def f():\n") -> Problem:
    return Problem(
        problem_id=name,
        group=name,
        language="python",
        kind=Kind.COMPLETE,
        extent=Extent.BLOCK,
        prompt=prompt,
        tests="f()\n",
    )


def judge_all(
    judge: ScriptedJudge, answers: list[str], folder: Path, *, num_threads: int = 3
) -> dict[int, Judged]:
    rows: list[Judged] = []
    with (
        VerdictCache(folder) as cache,
        JudgingQueue(
            {"python": judge}, cache, code="c", num_threads=num_threads, write=rows.append
        ) as queue,
    ):
        for number, answer in enumerate(answers):
            queue.submit(Task(Sample("s", "python", "a", number), problem(), answer))
        queue.finish()
    assert len(rows) == len(answers)
    return {row.number: row for row in rows}


def always(state: State) -> Callable[[str, int], Verdict]:
    return lambda _, __: Verdict(state, "why", 1.5, 2.5)


def test_equal_programs_run_once_and_every_sample_gets_the_verdict(tmp_path: Path) -> None:
    judge = ScriptedJudge(always(State.WRONG))
    found = judge_all(judge, ["x", "y", "x", "x"], tmp_path)
    assert sorted(judge.asked) == ["x", "y"]
    assert [found[number].state for number in range(4)] == [State.WRONG] * 4
    assert [found[number].is_cached for number in range(4)] == [False, False, True, True]
    assert found[0][5:8] == ("why", 1.5, 2.5)


def test_what_was_judged_before_is_not_run_again(tmp_path: Path) -> None:
    judge_all(ScriptedJudge(always(State.PASSED)), ["x"], tmp_path)
    again = ScriptedJudge(always(State.WRONG))
    assert judge_all(again, ["x"], tmp_path)[0].state is State.PASSED
    assert again.asked == []


def test_another_toolchain_judges_anew(tmp_path: Path) -> None:
    judge_all(ScriptedJudge(always(State.PASSED)), ["x"], tmp_path)
    newer = ScriptedJudge(always(State.WRONG), version="2")
    assert judge_all(newer, ["x"], tmp_path)[0].state is State.WRONG


@pytest.mark.parametrize("state", [State.WALL_LIMIT, State.KILLED, State.HARNESS_ERROR])
def test_a_suspected_flake_is_judged_again_at_the_end_alone(tmp_path: Path, state: State) -> None:
    def says(answer: str, time: int) -> Verdict:
        is_flake = answer == "flaky" and time == 1
        return Verdict(state if is_flake else State.PASSED)

    judge = ScriptedJudge(says)
    found = judge_all(judge, ["flaky", *(f"a{n}" for n in range(20))], tmp_path)
    assert {row.state for row in found.values()} == {State.PASSED}
    assert judge.asked[-1] == "flaky"
    assert judge.alone[-1]
    assert found[0].num_tries == 2
    assert found[1].num_tries == 1


def test_what_stays_a_flake_is_said_but_never_cached(tmp_path: Path) -> None:
    judge = ScriptedJudge(always(State.WALL_LIMIT))
    assert judge_all(judge, ["x"], tmp_path)[0].state is State.WALL_LIMIT
    assert judge_all(judge, ["x"], tmp_path)[0].num_tries == 2
    assert judge.asked == ["x"] * 4


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (SandboxError("no namespaces"), "SandboxError: no namespaces"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (RuntimeError("a bug of ours"), "RuntimeError: a bug of ours"),
    ],
)
def test_a_fault_of_ours_is_no_fault_of_the_answer(
    tmp_path: Path, error: Exception, detail: str
) -> None:
    def says(answer: str, _: int) -> Verdict:
        if answer == "bad":
            raise error
        return Verdict(State.PASSED)

    found = judge_all(ScriptedJudge(says), ["bad", "good"], tmp_path)
    assert found[0].state is State.HARNESS_ERROR
    assert detail in found[0].detail
    assert found[1].state is State.PASSED


def test_a_verdict_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    def full(_: Judged) -> None:
        raise OSError(28, "No space left on device")

    judge = ScriptedJudge(always(State.PASSED))
    with (
        VerdictCache(tmp_path) as cache,
        JudgingQueue({"python": judge}, cache, code="c", num_threads=1, write=full) as queue,
    ):
        queue.submit(Task(Sample("s", "python", "a", 0), problem(), "x"))
        with pytest.raises(OSError, match="No space left"):
            queue.finish()


def test_holes_of_one_function_with_their_true_middles_are_one_program() -> None:
    first, second = problem("a", "def f():\n"), problem("b", "def f():\n    x = 1\n")
    key = program_key(first, "    x = 1\n    return x\n", "judge")
    assert program_key(second, "    return x\n", "judge") == key
    assert program_key(second, "    return x\n", "another judge") != key
    assert program_key(second, "    return 2\n", "judge") != key


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    with VerdictCache(tmp_path) as one, VerdictCache(tmp_path) as other:
        one.put("key", Verdict(State.PASSED, "😀", 1.0, 2.0))
        assert other.get("key") == Verdict(State.PASSED, "😀", 1.0, 2.0)
        assert other.get("another") is None
        other.put("toolchain", Verdict(State.TOOLCHAIN_MISSING))
        assert one.get("toolchain") is None
