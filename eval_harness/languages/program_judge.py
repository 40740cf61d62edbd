"""Judges a program: builds it, runs it with its tests, and says what became of it.

What differs between languages is a `Recipe`; the rest is here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from eval_harness.languages.cases import judge_cases
from eval_harness.languages.nonce import as_stdin, new_nonce
from eval_harness.languages.verdicts import verdict_of_run
from eval_harness.problem import Style
from eval_harness.sandbox.job import Job, Limits, Sandbox, SandboxError
from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem

MIB = 1 << 20
RUN_LIMITS = Limits()
"""Of a program and its tests."""
COMPILER_LIMITS = Limits(
    cpu_s=60.0,
    wall_s=600.0,
    memory_bytes=2048 * MIB,
    address_space_bytes=8192 * MIB,
    files_bytes=256 * MIB,
)
"""Many times what any program of a benchmark needs."""
NO_TIME = Verdict(State.PASSED)
LOCALE = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A program that can be run."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    """For the launcher: how the tests are written."""
    took: Verdict = NO_TIME
    """CPU and wall time of building it."""


class Recipe(Protocol):
    """What a language knows about building and running programs; used by several threads."""

    def toolchain(self) -> Toolchain:
        """Return what there is."""
        ...

    def lacks(self, problem: Problem) -> str:
        """Return what the problem itself needs and the machine has not; empty where nothing."""
        ...

    def build(self, sandbox: Sandbox, problem: Problem, answer: str) -> Built | Verdict:
        """Return the program, or why there is none.

        Raises:
            SandboxError: It could not be tried.
        """
        ...

    def job(self, problem: Problem, built: Built) -> Job:
        """Return how the program and its tests are run; standard input is filled in later."""
        ...

    def alone(self, built: Built) -> Job:
        """Return how a program of the style `stdio` is run, which no launcher loads."""
        ...

    def close(self) -> None:
        """End resident processes."""
        ...


class ProgramJudge:
    """Judges programs of one language as its recipe says."""

    def __init__(self, language: str, sandbox: Sandbox, recipe: Recipe) -> None:
        self.language = language
        self._sandbox = sandbox
        self._recipe = recipe
        self._lock = threading.Lock()

    def toolchain(self) -> Toolchain:
        """Return what there is; looked up once."""
        with self._lock:
            return self._toolchain

    @cached_property
    def _toolchain(self) -> Toolchain:
        return self._recipe.toolchain()

    def judge(self, problem: Problem, answer: str) -> Verdict:
        """Compile and run the program that an answer makes, and say what became of it."""
        toolchain = self.toolchain()
        if not toolchain.version:
            return Verdict(State.TOOLCHAIN_MISSING, f"{toolchain.install} brings it")
        if lacking := self._recipe.lacks(problem):
            return Verdict(State.TOOLCHAIN_MISSING, lacking)
        try:
            built = self._recipe.build(self._sandbox, problem, answer)
            if isinstance(built, Verdict):
                return built
            if problem.style == Style.STDIO:
                job = self._recipe.alone(built)
                return judge_cases(self._sandbox, job, problem.tests, built=built.took)
            nonce = new_nonce()
            job = replace(self._recipe.job(problem, built), stdin=as_stdin(nonce))
            return verdict_of_run(self._sandbox.run(job), nonce, built=built.took)
        except (SandboxError, ValueError) as error:
            return Verdict(State.HARNESS_ERROR, str(error))

    def close(self) -> None:
        """End resident processes."""
        self._recipe.close()
