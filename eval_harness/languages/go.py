"""Go: the compiler and the linker themselves, on a standard library that is compiled once.

`go build` and `go test` spend most of their time on finding out what has changed; a program of one
file needs none of that. The program is a package of its own, which cannot import the judge's.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.artefacts import artefact, build_command, launcher
from eval_harness.languages.go_source import MAIN, PACKAGE, go_program
from eval_harness.languages.program_judge import (
    COMPILER_LIMITS,
    LOCALE,
    MIB,
    Built,
    ProgramJudge,
)
from eval_harness.languages.toolchains import first_line, says
from eval_harness.languages.verdicts import verdict_of_compiler
from eval_harness.problem import Style
from eval_harness.sandbox.job import Job, Limits
from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from eval_harness.languages.go_source import GoProgram
    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox

_ASSERT = "github.com/stretchr/testify/assert"
_JUDGE = "fimble/judge"
_PACKAGES, _HERE = "packages.cfg", "<here>"
_BUILD = f"""set -e
"$1/compile" -p {PACKAGE} -complete -importcfg program.cfg -o program.a program.go
"$1/compile" -p main -complete -importcfg main.cfg -o main.a main.go
exec "$1/link" -s -w -importcfg main.cfg -o main main.a
"""
_RUN_LIMITS = Limits(address_space_bytes=4096 * MIB)
_CALLED = re.compile(r"\bassert\.(\w+)\(")
_OFFERED = re.compile(r"^func (?:\(a \*Assertions\) )?([A-Z]\w*)", re.MULTILINE)


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of Go."""
    return ProgramJudge("go", sandbox, _Go())


@cache
def look_up() -> Toolchain:
    """Return what there is of Go."""
    go = toolchains.program("go")
    version = first_line(says(go, "version")) if go else ""
    return toolchains.toolchain(version, {} if version else {"go": "golang-go"})


class _Go:
    """How programs are built and run; a `Recipe`."""

    def toolchain(self) -> Toolchain:
        """Return what there is."""
        return look_up()

    def lacks(self, problem: Problem) -> str:
        """Return functions of testify that the tests call and that ours does not have."""
        if _ASSERT not in problem.header + problem.prompt + problem.test_code:
            return ""
        offered = set(_OFFERED.findall(launcher("assert.go").decode()))
        missing = sorted(set(_CALLED.findall(problem.test_code)) - offered)
        return f"our stand-in for testify has no {', '.join(missing)}" if missing else ""

    def build(self, sandbox: Sandbox, problem: Problem, answer: str) -> Built | Verdict:
        """Compile and link a program."""
        program = go_program(problem, answer)
        packages = _packages()
        main = _main(program, is_alone=problem.style == Style.STDIO)
        own = f"packagefile {_JUDGE}={_artefacts()}/judge.a\npackagefile {PACKAGE}=program.a\n"
        job = Job(
            argv=("/bin/sh", "build.sh", str(_tools())),
            files={
                "build.sh": _BUILD.encode(),
                "program.go": program.text.encode("utf-8", "replace"),
                "main.go": main.encode(),
                "program.cfg": packages.encode(),
                "main.cfg": f"{packages}{own}".encode(),
            },
            env={**LOCALE, "GOGC": "400", "GOMAXPROCS": "2", "GOROOT": str(_root())},
            readable=(_artefacts(), *_readable()),
            collect=("main",),
            limits=COMPILER_LIMITS,
        )
        outcome = sandbox.run(job)
        if refused := verdict_of_compiler(outcome):
            return refused
        took = Verdict(State.PASSED, "", outcome.cpu_ms, outcome.wall_ms)
        return Built(files={"main": outcome.files["main"]}, took=took)

    def job(self, problem: Problem, built: Built) -> Job:  # noqa: ARG002 - all problems run alike
        """Return how a program is run: its source is not there."""
        return self.alone(built)

    def alone(self, built: Built) -> Job:
        """Return how a program is run: what loads it is linked into it, if anything."""
        return Job(
            argv=("./main",),
            files=built.files,
            executables=frozenset({"main"}),
            env={**LOCALE, "GOMAXPROCS": "2"},
            limits=_RUN_LIMITS,
        )

    def close(self) -> None:
        """Nothing lives on."""


def _main(program: GoProgram, *, is_alone: bool) -> str:
    """Return the package that runs a program, and says the nonce unless it is alone."""
    if is_alone:
        return f'package main\nimport "{PACKAGE}"\nfunc main() {{ {PACKAGE}.{MAIN}() }}\n'
    calls = "".join(f'{{"{name}", {PACKAGE}.{name}}}, ' for name in program.tests)
    run = (
        f"judge.Tests([]testing.InternalTest{{{calls}}})"
        if program.tests
        else f"judge.Program({PACKAGE}.{MAIN})"
    )
    testing = 'import "testing"\n' if program.tests else ""
    imports = f'{testing}import "{_JUDGE}"\nimport "{PACKAGE}"\n'
    return f"package main\n{imports}func main() {{ {run} }}\n"


@cache
def _root() -> Path:
    return Path(says("go", "env", "GOROOT"))


@cache
def _tools() -> Path:
    return Path(says("go", "env", "GOTOOLDIR"))


@cache
def _readable() -> tuple[Path, ...]:
    return toolchains.existing((_root(), _root() / "pkg", _root() / "src", _tools()))


@cache
def _packages() -> str:
    """Return where the compiler finds the packages that a program may import."""
    folder = _artefacts()
    return (folder / _PACKAGES).read_text().replace(_HERE, str(folder))


@cache
def _artefacts() -> Path:
    """Return the folder of the compiled standard library, our judge, and our `assert`."""
    texts = {name: launcher(name) for name in ("judge.go", "assert.go")}

    def build(folder: Path) -> None:
        env = {
            **os.environ,
            "GOCACHE": str(folder / "cache"),
            "GOFLAGS": "-mod=mod",
            "GO111MODULE": "off",
            "GOWORK": "off",
            "CGO_ENABLED": "0",
        }
        template = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"
        listed = build_command(("go", "list", "-export", "-f", template, "std"), folder, env=env)
        packages = "".join(f"{line}\n" for line in listed.splitlines() if line.strip())
        (folder / _PACKAGES).write_text(packages)
        for name, text in texts.items():
            (folder / name).write_bytes(text)
        for path, name in ((_JUDGE, "judge"), (_ASSERT, "assert")):
            build_command(
                (_tools() / "compile", "-p", path, "-complete", "-importcfg", _PACKAGES,
                 "-o", f"{name}.a", f"{name}.go"),
                folder,
            )  # fmt: skip
        # The folder moves to its place when it is whole.
        moved = packages.replace(str(folder), _HERE)
        (folder / _PACKAGES).write_text(f"{moved}packagefile {_ASSERT}={_HERE}/assert.a\n")

    return artefact("go", look_up().version, *(t.decode() for t in texts.values()), build=build)
