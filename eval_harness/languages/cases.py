"""Runs a whole program once for each test, and compares what it wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eval_harness.languages.verdicts import said_at_end, state_without_tests
from eval_harness.stdio import Case, cases_of, is_right
from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from eval_harness.sandbox.job import Job, Outcome, Sandbox

_SHOWN_CHARS = 200


def judge_cases(sandbox: Sandbox, job: Job, tests: str, *, built: Verdict) -> Verdict:
    """Return the verdict on a program: that of the first test that it does not pass.

    Args:
        sandbox: Where it runs.
        job: How it runs; standard input is filled in.
        tests: As `eval_harness.stdio` reads them.
        built: What compiling it took, to be added.

    Raises:
        SandboxError: It could not be tried.
        ValueError: The tests are no inputs and outputs.
    """
    cpu_ms, wall_ms = built.cpu_ms, built.wall_ms
    cases = cases_of(tests)
    for number, case in enumerate(cases, start=1):
        given = case.given.encode("utf-8", "surrogatepass")
        outcome = sandbox.run(replace(job, stdin=given))
        cpu_ms, wall_ms = cpu_ms + outcome.cpu_ms, wall_ms + outcome.wall_ms
        state, detail = _state(outcome, case)
        if state is not State.PASSED:
            return Verdict(state, f"test {number} of {len(cases)}: {detail}", cpu_ms, wall_ms)
    return Verdict(State.PASSED, "", cpu_ms, wall_ms)


def _state(outcome: Outcome, case: Case) -> tuple[State, str]:
    state, reason = state_without_tests(outcome)
    if state is not State.PASSED:
        return state, said_at_end(outcome, reason)
    said = outcome.stdout.decode("utf-8", "replace")
    if is_right(said, case):
        return State.PASSED, ""
    return State.WRONG, f"wanted {_shown(case.wanted[0])}, got {_shown(said)}"


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")
