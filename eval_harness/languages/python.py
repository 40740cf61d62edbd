"""Python: the tests run in one process and call the candidate in another.

The candidate never sees its tests, and what it returns crosses as data (`sandbox.inside.plain`), so
neither ending the process nor redefining equality can pass them.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages.cases import judge_cases
from eval_harness.languages.language import Toolchain
from eval_harness.languages.python_source import examination_of
from eval_harness.problem import Style
from eval_harness.sandbox.inside import frames
from eval_harness.sandbox.job import MIB, Ended, Job, Limits, SandboxError
from eval_harness.sandbox.pool import WorkerPool, outcome
from eval_harness.verdict import State, Verdict
from fimble.errors import InputError

if TYPE_CHECKING:
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Outcome, Sandbox

LIMITS = Limits(memory_bytes=1024 * MIB, address_space_bytes=1024 * MIB)
_MAX_DETAIL_CHARS = 2000
_MAGIC = importlib.util.MAGIC_NUMBER.hex()
"""Of this interpreter's compiled code: one within a container may have another."""
_PROGRAM = "program.py"
_DOES_NOT_PARSE = re.compile(r"^(?:SyntaxError|IndentationError|TabError): .*\Z", re.MULTILINE)
_STATES = {
    "passed": State.PASSED,
    "wrong": State.WRONG,
    "compile_error": State.COMPILE_ERROR,
    "memory": State.MEMORY_LIMIT,
}
_LIMIT_STATES = {
    Ended.CPU_LIMIT: State.CPU_LIMIT,
    Ended.WALL_LIMIT: State.WALL_LIMIT,
    Ended.MEMORY_LIMIT: State.MEMORY_LIMIT,
    Ended.OUTPUT_LIMIT: State.OUTPUT_LIMIT,
}


class PythonJudge:
    """Judges Python; safe to use from several threads."""

    language = "python"

    def __init__(self, sandbox: WorkerPool, limits: Limits = LIMITS) -> None:
        """Judge in a sandbox.

        Args:
            sandbox: Its workers fork the programs.
            limits: Of one program and its tests together.
        """
        self._sandbox = sandbox
        self._limits = limits

    def toolchain(self) -> Toolchain:
        """Return the interpreter: always the one that runs the harness."""
        return look_up()

    def judge(self, problem: Problem, answer: str) -> Verdict:
        """Run a program and its tests, and say what became of it."""
        if problem.style == Style.STDIO:
            return self._judge_cases(problem, answer)
        try:
            examination = examination_of(problem)
        except SyntaxError as error:
            return Verdict(State.HARNESS_ERROR, f"the tests do not parse: {error}")
        body = {
            "candidate": problem.candidate(answer),
            "tests": examination.tests,
            "trusted": examination.trusted,
            "remote": examination.remote,
            "magic": _MAGIC,
        }
        packed = frames.pack(body, (examination.code,))
        try:
            answers = self._sandbox.ask("python", self._limits, packed)
        except SandboxError as error:
            return Verdict(State.HARNESS_ERROR, str(error)[-_MAX_DETAIL_CHARS:])
        done = outcome(answers, self._limits)
        said = answers.keeper.meta if answers.keeper else {}
        state, detail = _state(done, said)
        return Verdict(state, detail[-_MAX_DETAIL_CHARS:], done.cpu_ms, done.wall_ms)

    def _judge_cases(self, problem: Problem, answer: str) -> Verdict:
        """Run a whole program in an interpreter of its own, once for each input."""
        program = problem.candidate(answer).encode("utf-8", "replace")
        job = Job(
            argv=(str(Path(sys.executable).resolve()), "-I", _PROGRAM),
            files={_PROGRAM: program},
            readable=(Path(sys.base_prefix).resolve(),),
            limits=self._limits,
        )
        try:
            verdict = judge_cases(self._sandbox, job, problem.tests, built=Verdict(State.PASSED))
        except (SandboxError, ValueError) as error:
            return Verdict(State.HARNESS_ERROR, str(error)[-_MAX_DETAIL_CHARS:])
        is_unread = verdict.state is State.WRONG and _DOES_NOT_PARSE.search(verdict.detail)
        return verdict._replace(state=State.COMPILE_ERROR) if is_unread else verdict

    def close(self) -> None:
        """End nothing: the processes belong to the sandbox."""


def look_up() -> Toolchain:
    """Return the interpreter: always the one that runs the harness."""
    return Toolchain(f"{platform.python_implementation()} {platform.python_version()}")


def make_judge(sandbox: Sandbox) -> PythonJudge:
    """Return a judge whose programs run in this sandbox.

    Raises:
        InputError: The sandbox has no workers that fork.
    """
    if not isinstance(sandbox, WorkerPool):
        raise InputError(f"Python is judged in a sandbox of `open_sandbox`, not in {sandbox!r}")
    return PythonJudge(sandbox)


def _state(done: Outcome, said: dict[str, object]) -> tuple[State, str]:
    if done.ended in _LIMIT_STATES:
        return _LIMIT_STATES[done.ended], ""
    verdict = str(said.get("verdict"))
    detail = str(said.get("detail", ""))
    if verdict in _STATES:
        return _STATES[verdict], detail
    exit_code = done.exit_code
    if exit_code < 0:
        if -exit_code == signal.SIGXCPU:
            return State.CPU_LIMIT, ""
        return State.KILLED, f"ended by {signal.Signals(-exit_code).name}"
    if verdict == "gone":
        return State.WRONG, "the program ended its process before its tests were done"
    return State.KILLED, "ended from outside"
