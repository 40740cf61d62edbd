"""C# on Mono."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.artefacts import artefact, build_command, launcher
from eval_harness.languages.program_judge import (
    COMPILER_LIMITS,
    LOCALE,
    MIB,
    Built,
    ProgramJudge,
)
from eval_harness.languages.toolchains import first_line, says
from eval_harness.languages.verdicts import verdict_of_compiler
from eval_harness.sandbox.job import Job, Limits
from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox

_LAUNCHER = "FimbleLauncher.cs"
_COMPILER = ("/usr/lib/mono/4.5/mcs.exe", "/usr/local/lib/mono/4.5/mcs.exe")
_FLAGS = (
    "-nologo", "-d:DEBUG", "-optimize-", "-debug-", "-out:program.exe",
    "-r:System.Numerics.dll", "-r:System.Core.dll",
)  # fmt: skip
_RUN_LIMITS = Limits(address_space_bytes=4096 * MIB)


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of C#."""
    return ProgramJudge("csharp", sandbox, _CSharp())


@cache
def look_up() -> Toolchain:
    """Return what there is of C#."""
    mono = toolchains.program("mono")
    version = first_line(says(mono, "--version")) if mono and _compiler() else ""
    return toolchains.toolchain(version, {} if version else {"mono": "mono-mcs"})


@cache
def _compiler() -> Path | None:
    return next(iter(toolchains.existing(_COMPILER)), None)


class _CSharp:
    """How programs are built and run; a `Recipe`."""

    def toolchain(self) -> Toolchain:
        """Return what there is."""
        return look_up()

    def lacks(self, problem: Problem) -> str:
        """Return the library that the problem itself uses and the machine has not."""
        needs = "KellermanSoftware" in problem.header + problem.prompt + problem.tests
        return "needs the library CompareNETObjects" if needs else ""

    def build(self, sandbox: Sandbox, problem: Problem, answer: str) -> Built | Verdict:
        """Compile a program."""
        text = problem.candidate(answer) + problem.tests
        job = Job(
            argv=(str(toolchains.program("mono")), str(_compiler()), *_FLAGS, "program.cs"),
            files={"program.cs": text.encode("utf-8", "replace")},
            env=LOCALE,
            readable=_readable(),
            collect=("program.exe",),
            limits=COMPILER_LIMITS,
        )
        outcome = sandbox.run(job)
        if refused := verdict_of_compiler(outcome):
            return refused
        took = Verdict(State.PASSED, "", outcome.cpu_ms, outcome.wall_ms)
        return Built(files={"program.exe": outcome.files["program.exe"]}, took=took)

    def job(self, problem: Problem, built: Built) -> Job:  # noqa: ARG002 - all problems run alike
        """Return how a program is run: its source is not there."""
        return Job(
            argv=(str(toolchains.program("mono")), str(_artefacts() / "launcher.exe")),
            files=built.files,
            env=LOCALE,
            readable=(_artefacts(), *_readable()),
            limits=_RUN_LIMITS,
        )

    def close(self) -> None:
        """Nothing lives on."""


@cache
def _readable() -> tuple[Path, ...]:
    mono = toolchains.program("mono")
    assert mono is not None
    return toolchains.existing((mono, "/usr/lib/mono", "/usr/local/lib/mono", "/etc/mono"))


@cache
def _artefacts() -> Path:
    """Return the folder of our compiled launcher."""
    text = launcher(_LAUNCHER)

    def build(folder: Path) -> None:
        (folder / _LAUNCHER).write_bytes(text)
        compiler = (toolchains.program("mono") or "mono", _compiler() or "mcs.exe")
        build_command((*compiler, "-nologo", "-d:DEBUG", "-out:launcher.exe", _LAUNCHER), folder)

    return artefact("csharp", look_up().version, text.decode(), build=build)
