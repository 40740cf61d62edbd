"""Java: a compiler that stays, and a virtual machine that starts fast."""

from __future__ import annotations

import base64
import re
import threading
from functools import cache
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.artefacts import artefact, build_command, launcher, toolchains_dir
from eval_harness.languages.program_judge import (
    COMPILER_LIMITS,
    LOCALE,
    MIB,
    RUN_LIMITS,
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

_SMALL_JVM = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:CICompilerCount=1",
    "-Xshare:auto",
    "-XX:CompressedClassSpaceSize=64m",
    "-XX:ReservedCodeCacheSize=48m",
)
_RUN_FLAGS = (*_SMALL_JVM, "-Xmx384m", "-Xss16m", "-ea", "-cp")
_COMPILER_FLAGS = (*_SMALL_JVM, "-Xmx768m", "-Xss64m", "-cp")
_JAVAC_OPTIONS = ("-proc:none", "-nowarn", "-XDuseUnsharedTable", "-implicit:none")
_ADDRESS_SPACE_BYTES = 4096 * MIB
_RUN_LIMITS = Limits(
    memory_bytes=RUN_LIMITS.memory_bytes + 256 * MIB, address_space_bytes=_ADDRESS_SPACE_BYTES
)
_COMPILER_WALL_S = 60.0
_ALONE = "-"
"""Tells the launcher to leave standard input to the program, and to say nothing."""
_CLASS = re.compile(r"\b(?:class|record|enum|interface)\s+([A-Za-z_]\w*)")


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of Java."""
    return ProgramJudge("java", sandbox, _Java())


@cache
def look_up() -> Toolchain:
    """Return what there is of Java."""
    home = _home()
    version = first_line(says(home / "bin/java", "--version")) if home else ""
    return toolchains.toolchain(version, {} if version else {"javac": "default-jdk-headless"})


class _Java:
    """How programs are built and run; a `Recipe`."""

    def __init__(self) -> None:
        self._service: Service | None = None
        self._lock = threading.Lock()

    def toolchain(self) -> Toolchain:
        """Return what there is."""
        return look_up()

    def lacks(self, problem: Problem) -> str:
        """Return the library that the problem itself imports and the machine has not."""
        needs = "org.javatuples" in problem.header + problem.prompt + problem.test_code
        return (
            f"needs javatuples.jar in {toolchains_dir() / 'java'}"
            if needs and not _libraries()
            else ""
        )

    def build(self, sandbox: Sandbox, problem: Problem, answer: str) -> Built | Verdict:
        """Compile a program: by the compiler that stays, else by one that is started for it."""
        text = problem.candidate(answer) + problem.test_code
        try:
            built = self._ask(sandbox, text)
        except SandboxError:
            # It died of this program or of another's remains; javac itself has the last word.
            built = _compile_alone(sandbox, text)
        if isinstance(built, Verdict):
            return built
        # An answer may have classes of its own; where to begin is not for it to say.
        declared = _CLASS.findall(problem.test_code) or _CLASS.findall(
            problem.header + problem.prompt + problem.suffix
        )
        classes = [name for name in dict.fromkeys(declared) if f"{name}.class" in built.files]
        return Built(files=built.files, arguments=tuple(classes), took=built.took)

    def job(self, problem: Problem, built: Built) -> Job:  # noqa: ARG002 - all problems run alike
        """Return how a program is run: its source is not there."""
        return self._job(built)

    def alone(self, built: Built) -> Job:
        """Return how a program is run that reads standard input by itself."""
        return self._job(built, _ALONE)

    def _job(self, built: Built, *how: str) -> Job:
        class_path = ":".join(map(str, (_artefacts(), ".", *_libraries())))
        return Job(
            argv=(_java(), *_RUN_FLAGS, class_path, "FimbleLauncher", *how, *built.arguments),
            files=built.files,
            env=LOCALE,
            readable=(_artefacts(), *_readable()),
            limits=_RUN_LIMITS,
        )

    def close(self) -> None:
        """End the compiler."""
        with self._lock:
            if self._service is not None:
                self._service.close()
                self._service = None

    def _ask(self, sandbox: Sandbox, text: str) -> Built | Verdict:
        with self._lock:
            if self._service is None:
                self._service = sandbox.service(_service_job())
        source = base64.b64encode(text.encode("utf-8", "replace")).decode()
        answer = self._service.ask({"source": source}, wall_s=_COMPILER_WALL_S)
        cpu_ms = float(str(answer["cpu_ms"]))
        error = base64.b64decode(str(answer["error"])).decode("utf-8", "replace")
        classes = answer["classes"]
        assert isinstance(classes, dict)
        if error:
            return Verdict(State.COMPILE_ERROR, error[:MAX_DETAIL_CHARS], cpu_ms, cpu_ms)
        files = {f"{n.replace('.', '/')}.class": base64.b64decode(c) for n, c in classes.items()}
        return Built(files=files, took=Verdict(State.PASSED, "", cpu_ms, cpu_ms))


def _service_job() -> Job:
    class_path = str(_artefacts())
    options = [*_JAVAC_OPTIONS]
    if libraries := _libraries():
        options += ["-cp", ":".join(map(str, libraries))]
    return Job(
        argv=(_java(), *_COMPILER_FLAGS, class_path, "JavaCompiler", *options),
        env=LOCALE,
        readable=(_artefacts(), *_readable()),
        limits=Limits(
            cpu_s=1e6,
            wall_s=1e7,
            memory_bytes=1536 * MIB,
            address_space_bytes=_ADDRESS_SPACE_BYTES,
        ),
    )


def _compile_alone(sandbox: Sandbox, text: str) -> Built | Verdict:
    home = _home()
    assert home is not None
    name = re.search(r"\bpublic\s+(?:final\s+|abstract\s+)*class\s+(\w+)", text)
    source = f"{name[1] if name else 'Main'}.java"
    flags = [f"-J{flag}" for flag in _COMPILER_FLAGS[:-1]]
    libraries = ("-cp", ":".join(map(str, _libraries()))) if _libraries() else ()
    argv = (str(home / "bin/javac"), *flags, *_JAVAC_OPTIONS, *libraries, "-d", "classes", source)
    job = Job(
        argv=argv,
        files={source: text.encode("utf-8", "replace"), "classes/.keep": b""},
        env=LOCALE,
        readable=_readable(),
        collect=("classes",),
        limits=COMPILER_LIMITS,
    )
    outcome = sandbox.run(job)
    if refused := verdict_of_compiler(outcome):
        return refused
    files = {path.removeprefix("classes/"): data for path, data in outcome.files.items()}
    return Built(files=files, took=Verdict(State.PASSED, "", outcome.cpu_ms, outcome.wall_ms))


@cache
def _home() -> Path | None:
    """Return the folder of the development kit whose `javac` is found first."""
    javac = toolchains.program("javac")
    home = javac.parent.parent if javac else None
    return home if home and (home / "bin/java").exists() else None


def _java() -> str:
    home = _home()
    assert home is not None
    return str(home / "bin/java")


@cache
def _readable() -> tuple[Path, ...]:
    home = _home()
    assert home is not None
    # Debian keeps the configuration in /etc and links to it file by file.
    links = [path.resolve() for path in (home / "conf").rglob("*") if path.is_symlink()]
    return toolchains.existing((home, *{link.parent for link in links}))


def _libraries() -> tuple[Path, ...]:
    tuples = toolchains_dir() / "java" / "javatuples.jar"
    return (tuples,) if tuples.is_file() else ()


@cache
def _artefacts() -> Path:
    """Return the folder of our compiled launcher and compiler service."""
    home = _home()
    assert home is not None
    texts = {name: launcher(name) for name in ("FimbleLauncher.java", "JavaCompiler.java")}

    def build(folder: Path) -> None:
        for name, text in texts.items():
            (folder / name).write_bytes(text)
        build_command((home / "bin/javac", "-proc:none", "-d", ".", *texts), folder)

    return artefact("java", look_up().version, *(t.decode() for t in texts.values()), build=build)
