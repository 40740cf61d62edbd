"""Languages whose programs an interpreter reads: one launcher, one file, one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages.artefacts import launcher
from eval_harness.languages.language import Toolchain
from eval_harness.languages.program_judge import LOCALE, RUN_LIMITS, Built
from eval_harness.problem import Problem, Style
from eval_harness.sandbox.job import Job, Limits
from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from eval_harness.sandbox.job import Sandbox


def _nothing(*_: object) -> str:
    return ""


def _as_it_is(problem: Problem, answer: str) -> str:
    return problem.candidate(answer) + problem.test_code


def _no_arguments(_: Problem, __: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How programs of one interpreter are run; a `Recipe`."""

    look_up: Callable[[], Toolchain]
    argv: Callable[[], tuple[str, ...]]
    """The interpreter with its options; asked for only where there is one."""
    launcher: str
    """Our file that loads the program."""
    program: str
    """What the launcher calls the program."""
    arguments: Callable[[Problem, str], tuple[str, ...]] = _no_arguments
    """For the launcher: how the tests of a problem are written."""
    text: Callable[[Problem, str], str] = _as_it_is
    """The program that an answer makes."""
    lacking: Callable[[Problem], str] = _nothing
    refuses: Callable[[Problem, str], str] = _nothing
    """Why an answer can only be a trick; empty for all others."""
    env: Callable[[], Mapping[str, str]] = dict
    readable: Callable[[], tuple[Path, ...]] = tuple
    limits: Limits = RUN_LIMITS

    def toolchain(self) -> Toolchain:
        """Return what there is."""
        return self.look_up()

    def lacks(self, problem: Problem) -> str:
        """Return what the problem itself needs and the machine has not."""
        return self.lacking(problem)

    def build(self, sandbox: Sandbox, problem: Problem, answer: str) -> Built | Verdict:  # noqa: ARG002 - nothing is compiled
        """Return the program and its launcher."""
        if reason := self.refuses(problem, answer):
            return Verdict(State.WRONG, reason)
        files = {self.program: self.text(problem, answer).encode("utf-8", "replace")}
        if problem.style != Style.STDIO:
            files[self.launcher] = launcher(self.launcher)
        return Built(files=files, arguments=self.arguments(problem, answer))

    def job(self, problem: Problem, built: Built) -> Job:  # noqa: ARG002 - all problems run alike
        """Return how the program is run."""
        return self._job(built, self.launcher, *built.arguments)

    def alone(self, built: Built) -> Job:
        """Return how the program is run without the launcher."""
        return self._job(built, self.program)

    def _job(self, built: Built, *arguments: str) -> Job:
        return Job(
            argv=(*self.argv(), *arguments),
            files=built.files,
            env={**LOCALE, **self.env()},
            readable=self.readable(),
            limits=self.limits,
        )

    def close(self) -> None:
        """Nothing lives on."""
