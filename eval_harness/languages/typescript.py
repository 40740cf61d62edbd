"""TypeScript: a compiler that stays and checks types, then Node.

A wrong type is a compile error, as it is to the compiler; what is imported has any type. The script
of MBXP lets programs with wrong types run, so its scores are a few points higher.
"""

from __future__ import annotations

import json
import threading
from functools import cache
from typing import TYPE_CHECKING

from eval_harness.languages import javascript, toolchains
from eval_harness.languages.artefacts import launcher
from eval_harness.languages.program_judge import LOCALE, MIB, Built, ProgramJudge
from eval_harness.languages.verdicts import MAX_DETAIL_CHARS
from eval_harness.sandbox.job import Job, Limits, SandboxError
from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox, Service

COMPILER_PACKAGE = "typescript@5.9.3"
"""What the doctor installs; any 4.x or 5.x will do. Later ones have no compiler to call."""
_COMPILER = "compile_typescript.js"
_COMPILER_WALL_S = 120.0


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of TypeScript."""
    return ProgramJudge("typescript", sandbox, _TypeScript())


@cache
def look_up() -> Toolchain:
    """Return what there is of TypeScript."""
    node = javascript.look_up()
    if not node.version:
        return node
    compiler = _compiler()
    if compiler is None:
        return toolchains.toolchain(
            "", {"typescript": COMPILER_PACKAGE}, by=javascript.npm_install().strip()
        )
    version = json.loads((compiler / "package.json").read_text())["version"]
    return toolchains.toolchain(f"typescript {version}, {node.version}", {})


@cache
def _compiler() -> Path | None:
    found = javascript.package("typescript")
    is_usable = found is not None and (found / "lib" / "typescript.js").is_file()
    return found if is_usable else None


class _TypeScript:
    """How programs are built and run; a `Recipe`."""

    def __init__(self) -> None:
        self._service: Service | None = None
        self._lock = threading.Lock()

    def toolchain(self) -> Toolchain:
        """Return what there is."""
        return look_up()

    def lacks(self, problem: Problem) -> str:
        """Return npm packages that the problem itself asks for and the machine has not."""
        return javascript.lacking(problem)

    def build(self, sandbox: Sandbox, problem: Problem, answer: str) -> Built | Verdict:
        """Check the types of a program and turn it into JavaScript."""
        question = {"source": problem.candidate(answer) + problem.test_code}
        service = self._started(sandbox)
        try:
            said = service.ask(question, wall_s=_COMPILER_WALL_S)
        except SandboxError:
            # It may have died of what came before; a second time in a row it dies of this program.
            try:
                said = service.ask(question, wall_s=_COMPILER_WALL_S)
            except SandboxError as error:
                return Verdict(State.COMPILE_ERROR, f"the compiler dies of it: {error}")
        cpu_ms = float(str(said["cpu_ms"]))
        if error := str(said["error"]):
            return Verdict(State.COMPILE_ERROR, error[:MAX_DETAIL_CHARS], cpu_ms, cpu_ms)
        files = {
            javascript.PROGRAM: str(said["code"]).encode(),
            javascript.LAUNCHER: launcher(javascript.LAUNCHER),
        }
        return Built(files=files, took=Verdict(State.PASSED, "", cpu_ms, cpu_ms))

    def job(self, problem: Problem, built: Built) -> Job:  # noqa: ARG002 - all problems run alike
        """Return how the JavaScript is run."""
        return _job(built, javascript.LAUNCHER)

    def alone(self, built: Built) -> Job:
        """Return how the JavaScript is run without the launcher."""
        return _job(built, javascript.PROGRAM)

    def close(self) -> None:
        """End the compiler."""
        with self._lock:
            if self._service is not None:
                self._service.close()
                self._service = None

    def _started(self, sandbox: Sandbox) -> Service:
        with self._lock:
            if self._service is None:
                self._service = sandbox.service(_service_job())
            return self._service


def _job(built: Built, file: str) -> Job:
    return Job(
        argv=(*javascript.argv(), file),
        files=built.files,
        env={**LOCALE, **javascript.env()},
        readable=javascript.readable(),
        limits=javascript.LIMITS,
    )


def _service_job() -> Job:
    compiler = _compiler()
    assert compiler is not None
    node = javascript.argv()[0]
    return Job(
        argv=(node, "--max-old-space-size=1024", _COMPILER, str(compiler)),
        files={_COMPILER: launcher(_COMPILER)},
        env=LOCALE,
        readable=(compiler, *javascript.readable()),
        limits=Limits(
            cpu_s=1e6, wall_s=1e7, memory_bytes=1536 * MIB, address_space_bytes=16_384 * MIB
        ),
    )
