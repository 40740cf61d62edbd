"""How benchmarks' own scripts compile and run a program: one compiler and one process each."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eval_harness.languages import javascript
from eval_harness.languages.go_source import go_program
from eval_harness.languages.rust_source import CRATES
from eval_harness.problem import Problem

_DEBIAN_CRATES = Path("/usr/share/cargo/registry")
_DEBIAN_GO = Path("/usr/share/gocode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command and what it has in its environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


Plainly = Callable[[Problem, str, Path], list[Command]]


def lacking(language: str) -> str:
    """Return the package that a script needs and the machine has not; empty where all is there."""
    if language == "go" and not (_DEBIAN_GO / "src/github.com/stretchr/testify").is_dir():
        return "golang-github-stretchr-testify-dev"
    return ""


def prepared(language: str, folder: Path) -> Path:
    """Return a folder to work in, with what a script finds set up by its user."""
    if language == "rust":
        crates = "\n".join(f'{name} = "*"' for name in CRATES) if _DEBIAN_CRATES.is_dir() else ""
        (folder / "Cargo.toml").write_text(
            '[package]\nname = "program"\nversion = "0.1.0"\nedition = "2021"\n\n'
            f"[dependencies]\n{crates}\n"
        )
        (folder / ".cargo").mkdir()
        (folder / ".cargo/config.toml").write_text(
            '[source.crates-io]\nreplace-with = "debian"\n'
            f'[source.debian]\ndirectory = "{_DEBIAN_CRATES}"\n'
        )
        (folder / "src").mkdir()
        (folder / "src/main.rs").write_text("fn main() {}\n")
        command = ("cargo", "test", "--offline", "--quiet")
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def _script(interpreter: tuple[str, ...], name: str) -> Plainly:
    def commands(problem: Problem, answer: str, place: Path) -> list[Command]:
        (place / name).write_text(problem.candidate(answer) + problem.tests)
        return [Command(argv=(*interpreter, name))]

    return commands


def _compiled(compiler: tuple[str, ...], name: str) -> Plainly:
    def commands(problem: Problem, answer: str, place: Path) -> list[Command]:
        (place / name).write_text(problem.candidate(answer) + problem.tests)
        libraries = ("-lcrypto",) if "openssl/" in problem.prompt else ()
        return [
            Command(argv=(*compiler, name, "-o", "program", *libraries)),
            Command(argv=("./program",)),
        ]

    return commands


def _java(problem: Problem, answer: str, place: Path) -> list[Command]:
    (place / "Main.java").write_text(problem.candidate(answer) + problem.tests)
    return [Command(argv=("javac", "Main.java")), Command(argv=("java", "-ea", "Main"))]


def _typescript(problem: Problem, answer: str, place: Path) -> list[Command]:
    compiler = javascript.package("typescript")
    assert compiler is not None
    (place / "program.ts").write_text(problem.candidate(answer) + problem.tests)
    flags = ("--target", "es2021", "--module", "commonjs")
    return [
        Command(argv=("node", str(compiler / "bin" / "tsc"), *flags, "program.ts")),
        Command(argv=("node", "program.js")),
    ]


def _csharp(problem: Problem, answer: str, place: Path) -> list[Command]:
    (place / "program.cs").write_text(problem.candidate(answer) + problem.tests)
    return [
        Command(argv=("mcs", "-d:DEBUG", "-r:System.Numerics.dll", "program.cs")),
        Command(argv=("mono", "program.exe")),
    ]


def _go(problem: Problem, answer: str, place: Path) -> list[Command]:
    (place / "program_test.go").write_text(go_program(problem, answer).text)
    env = {"GO111MODULE": "off", "GOPATH": str(_DEBIAN_GO), "GOFLAGS": ""}
    return [Command(argv=("go", "test", "program_test.go"), env=env)]


def _rust(problem: Problem, answer: str, place: Path) -> list[Command]:
    text = f"{problem.candidate(answer)}{problem.tests}\nfn main() {{}}\n"
    (place / "src/main.rs").write_text(text)
    return [Command(argv=("cargo", "test", "--offline", "--quiet"))]


PLAINLY: dict[str, Plainly] = {
    "bash": _script(("bash",), "program.sh"),
    "c": _compiled(("gcc",), "program.c"),
    "cpp": _compiled(("g++", "-std=c++17"), "program.cpp"),
    "csharp": _csharp,
    "go": _go,
    "java": _java,
    "javascript": _script(("node",), "program.js"),
    "lua": _script(("lua5.4",), "program.lua"),
    "perl": _script(("perl",), "program.pl"),
    "php": _script(("php",), "program.php"),
    "r": _script(("Rscript",), "program.R"),
    "ruby": _script(("ruby",), "program.rb"),
    "rust": _rust,
    "typescript": _typescript,
}
