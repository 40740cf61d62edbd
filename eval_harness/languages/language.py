"""What every language's file offers: the seam of languages and the queue that judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox
    from eval_harness.verdict import Verdict


class Toolchain(NamedTuple):
    """What a machine has for one language."""

    version: str
    """As the toolchain says; empty where it is missing. Part of the key of cached verdicts."""
    missing: tuple[str, ...] = ()
    """What is not there, by name."""
    install: str = ""
    """The exact command that installs what is missing."""


class Judge(Protocol):
    """Judges answers in one language; safe to use from several threads."""

    language: str

    def toolchain(self) -> Toolchain:
        """Return what there is; looked up once."""
        ...

    def judge(self, problem: Problem, answer: str) -> Verdict:
        """Compile and run the program that an answer makes, and say what became of it."""
        ...

    def close(self) -> None:
        """End resident processes."""
        ...


class MakeJudge(Protocol):
    """How a language's file makes its judge."""

    def __call__(self, sandbox: Sandbox) -> Judge:
        """Return a judge whose programs run in this sandbox."""
        ...
