"""C and C++: compiled and linked with a launcher that holds the nonce."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.artefacts import artefact, build_command, launcher
from eval_harness.languages.program_judge import COMPILER_LIMITS, LOCALE, RUN_LIMITS, Built
from eval_harness.languages.toolchains import first_line, says
from eval_harness.languages.verdicts import verdict_of_compiler
from eval_harness.problem import Style
from eval_harness.sandbox.job import Job, SandboxError
from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox

PROGRAM = "program"
_LINKERS = ("-fuse-ld=mold", "-fuse-ld=gold", "-fuse-ld=lld", "")
"""The last is the compiler's own, which takes several times as long."""
_LINKER = "linker"
_INSTANCES = "libinstances.a"
_INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
_DEFINED = re.compile(r"^\s*#\s*define\s+(\w+)", re.MULTILINE)
_ENDS_ASSERT = re.compile(r"#\s*(?:define\s+(?:NDEBUG|assert)\b|undef\s+assert\b)")
_LIBRARIES = {"openssl/": ("-lcrypto",), "math.h": ("-lm",), "cmath": ("-lm",)}
"""What the linker needs for a header, by how its name starts."""
_PACKAGES = {"openssl/": "libssl-dev", "boost/": "libboost-dev", "gmp": "libgmp-dev"}
"""Debian's package of a header, by how its name starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """How programs of one of the two are built and run; a `Recipe`."""

    language: str
    suffix: str
    compilers: tuple[str, ...]
    package: str
    flags: tuple[str, ...]
    precompiled: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Sets of headers that are precompiled: the header that calls for a set, and the set. The
    first that a program includes is taken; an empty name is called for by every program."""
    instantiated: tuple[str, ...] = ()
    """Classes made of templates that many programs use and the sets of headers declare: compiled
    once, into a library that is linked where a program needs it, not anew with each program."""
    seldom: str = ""
    """Pattern of names of the headers that cost every program and that few mention."""
    without_seldom: str = ""
    """Text before the headers that leaves those out."""

    def toolchain(self) -> Toolchain:
        """Return what there is."""
        version = _version(self.compilers)
        lacking = {} if version else {self.compilers[0]: self.package}
        if version and self.language == "cpp":
            lacking.update(
                {header: _package(header) for header in ("openssl/md5.h", "boost/any.hpp")
                 if not self._has(header)}
            )  # fmt: skip
        return toolchains.toolchain(version, lacking)

    def lacks(self, problem: Problem) -> str:
        """Return headers that the problem itself includes and the machine has not."""
        included = _INCLUDE.findall(problem.header + problem.prompt + problem.test_code)
        known = [header for header in included if _package(header)]
        missing = [_package(header) for header in known if not self._has(header)]
        return f"apt-get install --yes {' '.join(missing)} brings it" if missing else ""

    def build(self, sandbox: Sandbox, problem: Problem, answer: str) -> Built | Verdict:
        """Compile a program."""
        text = self._text(problem, answer)
        first = self._first(text)
        folder = self._artefacts(first)
        source = f"{PROGRAM}{self.suffix}"
        precompiled = ("-include", str(folder / "first.h")) if self.precompiled else ()
        # Contests define that name, and programs then leave files alone.
        is_alone = problem.style == Style.STDIO
        how = ("-DONLINE_JUDGE",) if is_alone else (str(folder / "launch.o"), "-Wl,--wrap=main")
        instances = (str(folder / _INSTANCES),) if self.instantiated else ()
        job = Job(
            argv=(
                str(_compiler(self.compilers)), *self.flags, *precompiled, source,
                *how, *instances, "-o", PROGRAM, *_libraries(text),
                *(folder / _LINKER).read_text().split(),
            ),
            files={source: text.encode("utf-8", "replace")},
            env=LOCALE,
            readable=(folder, *toolchains.existing((str(_compiler(self.compilers)),))),
            collect=(PROGRAM,),
            limits=COMPILER_LIMITS,
        )  # fmt: skip
        outcome = sandbox.run(job)
        if refused := verdict_of_compiler(outcome):
            return refused
        took = Verdict(State.PASSED, "", outcome.cpu_ms, outcome.wall_ms)
        return Built(files={PROGRAM: outcome.files[PROGRAM]}, took=took)

    def job(self, problem: Problem, built: Built) -> Job:  # noqa: ARG002 - all problems run alike
        """Return how a program is run: its source is not there."""
        return self.alone(built)

    def alone(self, built: Built) -> Job:
        """Return how a program is run: what loads it is linked into it, if anything."""
        return Job(
            argv=(f"./{PROGRAM}",),
            files=built.files,
            executables=frozenset({PROGRAM}),
            env=LOCALE,
            limits=RUN_LIMITS,
        )

    def close(self) -> None:
        """Nothing lives on."""

    def _text(self, problem: Problem, answer: str) -> str:
        """Return the program, in which no macro of the answer gives the tests another meaning."""
        words = set(re.findall(r"\w+", problem.test_code))
        mended = [f"#undef {name}\n" for name in _DEFINED.findall(answer) if name in words]
        if "assert" in words and _ENDS_ASSERT.search(answer):
            mended.append("#undef NDEBUG\n#include <assert.h>\n")
        between = "\n" + "".join(dict.fromkeys(mended)) if mended else ""
        return problem.candidate(answer) + between + problem.test_code

    def _first(self, text: str) -> str:
        """Return what a program has before its first line, precompiled; empty where nothing is."""
        included = set(_INCLUDE.findall(text))
        sets = (headers for cause, headers in self.precompiled if not cause or cause in included)
        lines = [f"#include <{header}>\n" for header in next(sets, ())]
        lines += [f"extern template class {name};\n" for name in self.instantiated]
        return ("" if re.search(self.seldom, text) else self.without_seldom) + "".join(lines)

    def _artefacts(self, first: str) -> Path:
        """Return the folder of the launcher, and of what is precompiled and instantiated."""
        compiler = str(_compiler(self.compilers))
        kind = "c" if self.language == "c" else "c++"

        def build(folder: Path) -> None:
            (folder / "launch.c").write_bytes(launcher("launch.c"))
            c_compiler = compiler.replace("g++", "gcc").replace("clang++", "clang")
            build_command((c_compiler, "-c", "-O1", "launch.c", "-o", "launch.o"), folder)
            (folder / _LINKER).write_text(_fastest_linker(c_compiler, folder))
            (folder / "first.h").write_text(first)
            if first:
                compile_header = ("-x", f"{kind}-header", "first.h", "-o", "first.h.gch")
                build_command((compiler, *self.flags, *compile_header), folder)
            if self.instantiated:
                _build_instances((compiler, *self.flags), self.instantiated, folder)

        key = (_version(self.compilers), compiler, *self.flags, first, *_linkers())
        return artefact(
            f"{self.language}-headers", *key, launcher("launch.c").decode(), build=build
        )

    def _has(self, header: str) -> bool:
        compiler = _compiler(self.compilers)
        return compiler is not None and _has_header(compiler, header)


@cache
def _compiler(names: tuple[str, ...]) -> Path | None:
    return toolchains.program(*names)


@cache
def _version(names: tuple[str, ...]) -> str:
    compiler = _compiler(names)
    return first_line(says(compiler, "--version")) if compiler else ""


@cache
def _has_header(compiler: Path, header: str) -> bool:
    folders = ("/usr/include", "/usr/local/include")
    # Each compiler also has folders of its own, which hold none of the packages' headers.
    multiarch = says(compiler, "-print-multiarch")
    places = [Path(folder) / header for folder in folders]
    places.append(Path("/usr/include") / multiarch / header)
    return any(place.exists() for place in places)


def _linkers() -> tuple[str, ...]:
    """Return the flags of the linkers that are there: one may come or go."""
    names = {flag: flag.replace("-fuse-ld=", "ld.") for flag in _LINKERS}
    return tuple(flag for flag, name in names.items() if not name or shutil.which(name))


def _build_instances(compiler: tuple[str, ...], names: tuple[str, ...], folder: Path) -> None:
    """Compile each class by itself, so that a program gets only those that it uses.

    Raises:
        SandboxError: One cannot be compiled.
    """
    objects = [f"instance-{number}.o" for number in range(len(names))]
    for name, made in zip(names, objects, strict=True):
        (folder / "instance.cpp").write_text(f"template class {name};\n")
        compile_one = ("-include", "first.h", "-c", "instance.cpp", "-o", made)
        build_command((*compiler, *compile_one), folder)
    build_command(("ar", "rcs", _INSTANCES, *objects), folder)


def _fastest_linker(compiler: str, folder: Path) -> str:
    """Return the flag of the first linker that is there and with which our launcher works.

    Raises:
        SandboxError: It works with none.
    """
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    command = (compiler, "empty.c", "launch.o", "-Wl,--wrap=main", "-o", "empty")
    said = ""
    for flag in _linkers():
        try:
            build_command((*command, *flag.split()), folder)
        except SandboxError as error:
            said = str(error)
            continue
        ran = subprocess.run(
            [folder / "empty"], input=b"nonce\n", stdout=subprocess.PIPE, check=False
        )
        if ran.stdout.strip() == b"nonce":
            return flag
        said = f"a program linked with {flag or 'the default linker'} does not reach its end"
    raise SandboxError(said)


def _package(header: str) -> str:
    return next((name for start, name in _PACKAGES.items() if header.startswith(start)), "")


def _libraries(text: str) -> tuple[str, ...]:
    found = [
        library
        for header in _INCLUDE.findall(text)
        for start, libraries in _LIBRARIES.items()
        if header.startswith(start)
        for library in libraries
    ]
    return tuple(dict.fromkeys(found))
