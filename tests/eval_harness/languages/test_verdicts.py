from __future__ import annotations

import pytest

from eval_harness.languages.verdicts import verdict_of_compiler, verdict_of_run
from eval_harness.sandbox.job import Ended, Outcome
from eval_harness.verdict import State, Verdict

NONCE = "0123456789abcdef"
SAID = f"output\n{NONCE}\n".encode()


def outcome(ended: Ended = Ended.EXITED, code: int = 0, **rest: bytes) -> Outcome:
    return Outcome(ended=ended, exit_code=code, cpu_ms=3.0, wall_ms=5.0, **rest)


RUNS = [
    (outcome(stdout=SAID), State.PASSED, ""),
    (outcome(stdout=b"no newline" + NONCE.encode()), State.PASSED, ""),
    (outcome(code=1, stdout=SAID), State.WRONG, f"output\n{''}".strip()),
    (outcome(stdout=b"PASS"), State.WRONG, "it ended before its tests did, with exit code 0\nPASS"),
    (outcome(code=1, stderr=b"assertion failed\n"), State.WRONG, "assertion failed"),
    (outcome(code=65, stderr=b"line 1: syntax"), State.COMPILE_ERROR, "line 1: syntax"),
    (outcome(code=1, stderr=b"std::bad_alloc"), State.MEMORY_LIMIT, "std::bad_alloc"),
    (outcome(Ended.SIGNALLED, -6, stderr=b"Assertion"), State.WRONG, "Assertion"),
    (outcome(Ended.SIGNALLED, -11), State.KILLED, "ended by signal 11"),
    (outcome(Ended.CPU_LIMIT, -9, stdout=SAID), State.CPU_LIMIT, "output"),
    (outcome(Ended.WALL_LIMIT, -9), State.WALL_LIMIT, ""),
    (outcome(Ended.MEMORY_LIMIT, -9), State.MEMORY_LIMIT, ""),
    (outcome(Ended.OUTPUT_LIMIT, -9), State.OUTPUT_LIMIT, ""),
]


@pytest.mark.parametrize(("ran", "state", "detail"), RUNS)
def test_a_run_passes_only_with_its_nonce(ran: Outcome, state: State, detail: str) -> None:
    verdict = verdict_of_run(ran, NONCE, built=Verdict(State.PASSED, "", 10.0, 20.0))
    assert verdict._replace(detail=verdict.detail.strip()) == Verdict(state, detail, 13.0, 25.0)


COMPILERS = [
    (outcome(), None, ""),
    (outcome(code=1, stderr=b"1: error"), State.COMPILE_ERROR, "1: error"),
    (outcome(Ended.CPU_LIMIT, -9), State.COMPILE_ERROR, "the compiler reached its cpu limit"),
    (outcome(Ended.MEMORY_LIMIT, -9), State.COMPILE_ERROR, "the compiler reached its memory limit"),
    (outcome(Ended.WALL_LIMIT, -9), State.WALL_LIMIT, "the compiler waited for too long"),
    (outcome(Ended.SIGNALLED, -9), State.KILLED, "the compiler was killed"),
    (outcome(Ended.SIGNALLED, -11), State.COMPILE_ERROR, "the compiler died of signal 11"),
    (outcome(code=127, stderr=b"cc: none"), State.HARNESS_ERROR,
     "the compiler could not be started\ncc: none"),
]  # fmt: skip


@pytest.mark.parametrize(("ran", "state", "detail"), COMPILERS)
def test_only_the_wall_clock_of_a_compiler_says_nothing(
    ran: Outcome, state: State | None, detail: str
) -> None:
    verdict = verdict_of_compiler(ran)
    assert verdict == (None if state is None else Verdict(state, detail, 3.0, 5.0))


def test_a_message_is_cut_to_its_last_whole_lines() -> None:
    lines = "".join(f"{number:04} {'x' * 95}\n" for number in range(100)).encode()
    verdict = verdict_of_compiler(outcome(code=1, stderr=lines))
    assert verdict is not None
    kept = verdict.detail.splitlines()
    assert len(verdict.detail) <= 2000
    assert kept == [f"{number:04} {'x' * 95}" for number in range(81, 100)]
