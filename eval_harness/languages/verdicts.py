"""What an outcome in the sandbox says about a program: the same for all languages."""

from __future__ import annotations

import re
import signal

from eval_harness.languages.nonce import is_said
from eval_harness.sandbox.job import Ended, Outcome
from eval_harness.verdict import State, Verdict

MAX_DETAIL_CHARS = 2000
DOES_NOT_PARSE = 65
"""Exit code by which launchers say that an interpreter could not read the program (EX_DATAERR)."""
COULD_NOT_START = 127
"""Exit code of a sandbox, as of a shell, for a command that it cannot start."""
_LIMITS = {
    Ended.CPU_LIMIT: State.CPU_LIMIT,
    Ended.WALL_LIMIT: State.WALL_LIMIT,
    Ended.MEMORY_LIMIT: State.MEMORY_LIMIT,
    Ended.OUTPUT_LIMIT: State.OUTPUT_LIMIT,
}
_OUT_OF_MEMORY = re.compile(
    rb"std::bad_alloc|std::bad_array_new_length|java\.lang\.OutOfMemoryError"
    rb"|JavaScript heap out of memory|Array buffer allocation failed|NoMemoryError"
    rb"|failed to allocate memory|runtime: out of memory|cannot allocate memory"
    rb"|memory allocation of \d+ bytes failed|Allowed memory size of|Out of memory"
    rb"|not enough memory|cannot allocate vector of size|OutOfMemoryException|\bMemoryError\b",
)


def verdict_of_run(outcome: Outcome, nonce: str, *, built: Verdict | None = None) -> Verdict:
    """Return the verdict on a program that ran with its tests.

    Args:
        outcome: What came of it.
        nonce: What its launcher was to print at the end of the tests.
        built: What compiling it took, to be added.
    """
    state, reason = _state(outcome, nonce)
    said = said_at_end(outcome, reason).replace(nonce, "")
    return Verdict(
        state,
        "" if state is State.PASSED else said,
        outcome.cpu_ms + (built.cpu_ms if built else 0.0),
        outcome.wall_ms + (built.wall_ms if built else 0.0),
    )


def verdict_of_compiler(outcome: Outcome) -> Verdict | None:
    """Return the verdict on a program that a compiler did not take; None where it did.

    CPU time and memory of a compiler do not depend on how busy the machine is, and its limits are
    many times what the benchmarks' programs need: a program that exceeds them is at fault. Only the
    wall clock says something else, and such programs are run again.
    """
    if outcome.ended is Ended.EXITED and outcome.exit_code == 0:
        return None
    state, reason = State.COMPILE_ERROR, ""
    match outcome.ended:
        case Ended.WALL_LIMIT:
            state, reason = State.WALL_LIMIT, "the compiler waited for too long"
        case Ended.SIGNALLED if outcome.exit_code == -signal.SIGKILL:
            state, reason = State.KILLED, "the compiler was killed"
        case Ended.SIGNALLED:
            reason = f"the compiler died of signal {-outcome.exit_code}"
        case Ended.CPU_LIMIT | Ended.MEMORY_LIMIT | Ended.OUTPUT_LIMIT:
            reason = f"the compiler reached its {outcome.ended.value.replace('_', ' ')}"
        case Ended.EXITED if outcome.exit_code == COULD_NOT_START:
            state, reason = State.HARNESS_ERROR, "the compiler could not be started"
        case Ended.EXITED:
            pass
    detail = said_at_end(outcome, reason)
    return Verdict(state, detail, outcome.cpu_ms, outcome.wall_ms)


def said_at_end(outcome: Outcome, reason: str = "") -> str:
    """Return the end of what a process complained of, behind what we say ourselves."""
    return last_lines(outcome.stderr or outcome.stdout, reason)


def last_lines(output: bytes, reason: str = "") -> str:
    """Return the end of a message in whole lines, behind what we say ourselves."""
    text = output.decode("utf-8", "replace").strip()
    room = MAX_DETAIL_CHARS - len(reason) - 1
    if len(text) > room:
        text = text[-room:].partition("\n")[2] or text[-room:]
    return "\n".join(filter(None, (reason, text)))


def state_without_tests(outcome: Outcome) -> tuple[State, str]:
    """Return the state of a run and our own words for it, passed where it came to a clean end."""
    if outcome.ended in _LIMITS:
        return _LIMITS[outcome.ended], ""
    if outcome.ended is Ended.EXITED and outcome.exit_code == 0:
        return State.PASSED, ""
    return _failure(outcome)


def _state(outcome: Outcome, nonce: str) -> tuple[State, str]:
    state, reason = state_without_tests(outcome)
    if state is State.PASSED and not is_said(nonce, outcome.stdout):
        return State.WRONG, "it ended before its tests did, with exit code 0"
    return state, reason


def _failure(outcome: Outcome) -> tuple[State, str]:
    """Return the state of a program that failed within its limits."""
    if _OUT_OF_MEMORY.search(outcome.stderr[-10_000:]):
        return State.MEMORY_LIMIT, ""
    if outcome.ended is Ended.EXITED and outcome.exit_code == DOES_NOT_PARSE:
        return State.COMPILE_ERROR, ""
    if outcome.ended is Ended.SIGNALLED and outcome.exit_code != -signal.SIGABRT:
        return State.KILLED, f"ended by signal {-outcome.exit_code}"
    return State.WRONG, ""
