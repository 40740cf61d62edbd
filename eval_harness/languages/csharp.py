"""C# on Mono: a compiler that stays, then one process per program."""

from __future__ import annotations

import base64
import threading
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
from eval_harness.languages.verdicts import MAX_DETAIL_CHARS, verdict_of_compiler
from eval_harness.sandbox.job import Job, Limits, SandboxError
from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox, Service

_LAUNCHER, _SERVICE = "FimbleLauncher.cs", "CSharpCompiler.cs"
_COMPILER = ("/usr/lib/mono/4.5/mcs.exe", "/usr/local/lib/mono/4.5/mcs.exe")
_FLAGS = (
    "-nologo", "-langversion:experimental", "-d:DEBUG", "-optimize-", "-debug-", "-out:program.exe",
    "-r:System.Numerics.dll", "-r:System.Core.dll",
)  # fmt: skip
_RUN_LIMITS = Limits(address_space_bytes=4096 * MIB)
_SERVICE_LIMITS = Limits(
    cpu_s=1e6, wall_s=1e7, memory_bytes=1024 * MIB, address_space_bytes=4096 * MIB
)
_COMPILER_WALL_S = 60.0


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

    def __init__(self) -> None:
        self._service: Service | None = None
        self._lock = threading.Lock()

    def toolchain(self) -> Toolchain:
        """Return what there is."""
        return look_up()

    def lacks(self, problem: Problem) -> str:
        """Return the library that the problem itself uses and the machine has not."""
        needs = "KellermanSoftware" in problem.header + problem.prompt + problem.test_code
        return "needs the library CompareNETObjects" if needs else ""

    def build(self, sandbox: Sandbox, problem: Problem, answer: str) -> Built | Verdict:
        """Compile a program: by the compiler that stays, else by one that is started for it."""
        source = (problem.candidate(answer) + problem.test_code).encode("utf-8", "replace")
        try:
            return self._ask(sandbox, source)
        except SandboxError:
            # It died of this program or of another's remains; mcs itself has the last word.
            return _compile_alone(sandbox, source)

    def job(self, problem: Problem, built: Built) -> Job:  # noqa: ARG002 - all problems run alike
        """Return how a program is run: its source is not there."""
        return _run_job(built, str(_artefacts() / "launcher.exe"))

    def alone(self, built: Built) -> Job:
        """Return how a program is run without the launcher."""
        return _run_job(built, "program.exe")

    def close(self) -> None:
        """End the compiler."""
        with self._lock:
            if self._service is not None:
                self._service.close()
                self._service = None

    def _ask(self, sandbox: Sandbox, source: bytes) -> Built | Verdict:
        with self._lock:
            if self._service is None:
                self._service = sandbox.service(_service_job())
            service = self._service
        question = {"source": base64.b64encode(source).decode()}
        said = service.ask(question, wall_s=_COMPILER_WALL_S)
        cpu_ms = float(str(said["cpu_ms"]))
        if error := base64.b64decode(str(said["error"])).decode("utf-8", "replace"):
            return Verdict(State.COMPILE_ERROR, error[:MAX_DETAIL_CHARS], cpu_ms, cpu_ms)
        program = base64.b64decode(str(said["program"]))
        took = Verdict(State.PASSED, "", cpu_ms, cpu_ms)
        return Built(files={"program.exe": program}, took=took)


def _run_job(built: Built, file: str) -> Job:
    return Job(
        argv=(str(toolchains.program("mono")), file),
        files=built.files,
        env=LOCALE,
        readable=(_artefacts(), *_readable()),
        limits=_RUN_LIMITS,
    )


def _service_job() -> Job:
    compiler = _compiler()
    assert compiler is not None
    return Job(
        argv=(str(toolchains.program("mono")), str(_artefacts() / "compiler.exe"), *_FLAGS),
        env={**LOCALE, "MONO_PATH": str(compiler.parent)},
        readable=(_artefacts(), *_readable()),
        limits=_SERVICE_LIMITS,
    )


def _compile_alone(sandbox: Sandbox, source: bytes) -> Built | Verdict:
    job = Job(
        argv=(str(toolchains.program("mono")), str(_compiler()), *_FLAGS, "program.cs"),
        files={"program.cs": source},
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


@cache
def _readable() -> tuple[Path, ...]:
    mono = toolchains.program("mono")
    assert mono is not None
    return toolchains.existing((mono, "/usr/lib/mono", "/usr/local/lib/mono", "/etc/mono"))


@cache
def _artefacts() -> Path:
    """Return the folder of our compiled launcher and compiler service."""
    texts = {name: launcher(name) for name in (_LAUNCHER, _SERVICE)}

    def build(folder: Path) -> None:
        for name, text in texts.items():
            (folder / name).write_bytes(text)
        mcs = _compiler() or "mcs.exe"
        compiler = (toolchains.program("mono") or "mono", mcs, "-nologo")
        build_command((*compiler, "-d:DEBUG", "-out:launcher.exe", _LAUNCHER), folder)
        build_command((*compiler, f"-r:{mcs}", "-out:compiler.exe", _SERVICE), folder)

    return artefact("csharp", look_up().version, *(t.decode() for t in texts.values()), build=build)
