"""Rust: the compiler alone, with the crates that benchmarks use built once."""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.artefacts import artefact, build_command, launcher
from eval_harness.languages.program_judge import (
    COMPILER_LIMITS,
    LOCALE,
    RUN_LIMITS,
    Built,
    ProgramJudge,
)
from eval_harness.languages.rust_source import (
    CRATES,
    RustProgram,
    replaced_macros,
    rust_program,
)
from eval_harness.languages.toolchains import first_line, says
from eval_harness.languages.verdicts import verdict_of_compiler
from eval_harness.sandbox.job import Job
from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox

_FLAGS = (
    "--edition=2021", "--crate-name=program", "--cap-lints=allow", "-Cdebuginfo=0", "-Copt-level=0",
    "-Cprefer-dynamic",
)  # fmt: skip
_DEBIAN = Path("/usr/share/cargo/registry")
_PACKAGES = tuple(f"librust-{name}-dev" for name in CRATES)
_INSTALL = f"apt-get install --yes {' '.join(_PACKAGES)}"


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of Rust."""
    return ProgramJudge("rust", sandbox, _Rust())


@cache
def look_up() -> Toolchain:
    """Return what there is of Rust."""
    sysroot = _sysroot()
    version = first_line(says(sysroot / "bin/rustc", "--version")) if sysroot else ""
    if not version:
        return toolchains.toolchain("", {"rustc": "rustc", "cargo": "cargo"})
    missing = {f"crate {n}": p for n, p in zip(CRATES, _PACKAGES, strict=True) if not _has(n)}
    crates = ", ".join(name for name in CRATES if _has(name))
    return toolchains.toolchain(f"{version}, crates {crates or 'none'}", missing)


class _Rust:
    """How programs are built and run; a `Recipe`."""

    def toolchain(self) -> Toolchain:
        """Return what there is."""
        return look_up()

    def lacks(self, problem: Problem) -> str:
        """Return crates that the problem itself uses and the machine has not."""
        missing = [name for name in rust_program(problem, "").crates if not _has(name)]
        return f"needs the crates {', '.join(missing)}: {_INSTALL}" if missing else ""

    def build(self, sandbox: Sandbox, problem: Problem, answer: str) -> Built | Verdict:
        """Compile a program."""
        if macros := replaced_macros(problem, answer):
            return Verdict(State.WRONG, f"it replaces macros of its tests: {', '.join(macros)}")
        program = rust_program(problem, answer)
        if not program.has_tests:
            return Verdict(State.WRONG, "there is neither a test nor a main")
        outcome = sandbox.run(_compile_job(program))
        if refused := verdict_of_compiler(outcome):
            return refused
        took = Verdict(State.PASSED, "", outcome.cpu_ms, outcome.wall_ms)
        return Built(files={"program": outcome.files["program"]}, took=took)

    def job(self, problem: Problem, built: Built) -> Job:  # noqa: ARG002 - all problems run alike
        """Return how a program is run: its source is not there."""
        return self.alone(built)

    def alone(self, built: Built) -> Job:
        """Return how a program is run: what loads it is linked into it, if anything."""
        sysroot = _sysroot()
        assert sysroot is not None
        return Job(
            argv=("./program",),
            files=built.files,
            executables=frozenset({"program"}),
            env={**LOCALE, "LD_LIBRARY_PATH": str(_libraries()), "RUST_BACKTRACE": "0"},
            readable=(sysroot,),
            limits=RUN_LIMITS,
        )

    def close(self) -> None:
        """Nothing lives on."""


def _compile_job(program: RustProgram) -> Job:
    sysroot, judge = _sysroot(), _judge()
    assert sysroot is not None
    externs = [f"--extern=fimble_judge={judge / 'libfimble_judge.rlib'}"]
    readable = [sysroot, judge]
    # A crate that is not there leaves the import of it to the compiler's message.
    if any(_has(name) for name in program.crates):
        crates = _crates()
        deps = crates / "target/debug/deps"
        externs.append(f"-Ldependency={deps}")
        externs += [f"--extern={n}={_rlib(deps, n)}" for n in program.crates if _has(n)]
        readable.append(crates)
    return Job(
        argv=(
            str(sysroot / "bin/rustc"),
            *_FLAGS,
            *_linker(),
            *externs,
            "-o",
            "program",
            "program.rs",
        ),
        files={"program.rs": program.text.encode("utf-8", "replace")},
        env=LOCALE,
        readable=tuple(readable),
        collect=("program",),
        limits=COMPILER_LIMITS,
    )


@cache
def _sysroot() -> Path | None:
    """Return the folder of the compiler itself: `rustc` may be rustup's stand-in for it."""
    said = says("rustc", "--print", "sysroot")
    return Path(said) if said and (Path(said) / "bin/rustc").exists() else None


@cache
def _linker() -> tuple[str, ...]:
    """Return the flag of a linker that jobs can run.

    Jobs of a harness that is root are other users, who may read a toolchain in root's home but are
    told by `access(2)`, which gcc asks for rustc's own linker, that they may not.
    """
    sysroot = _sysroot()
    assert sysroot is not None
    is_open = all(folder.stat().st_mode & stat.S_IXOTH for folder in sysroot.parents)
    return () if is_open or os.geteuid() != 0 else ("-Clink-arg=-fuse-ld=bfd",)


@cache
def _libraries() -> Path:
    return Path(says("rustc", "--print", "target-libdir"))


@cache
def _has(crate: str) -> bool:
    """Return whether a crate's source is there: from Debian, or fetched by cargo before."""
    home = Path(os.environ.get("CARGO_HOME", "~/.cargo")).expanduser()
    fetched = home.glob(f"registry/cache/*/{crate}-[0-9]*.crate")
    return bool(toolchains.program("cargo")) and (
        any(_DEBIAN.glob(f"{crate}-[0-9]*")) or any(fetched)
    )


def _rlib(folder: Path, crate: str) -> Path:
    """Return a compiled crate; of `rand`, the one that has the calls of older versions."""
    name = "fimble_rand" if crate == "rand" else crate
    return next(folder.glob(f"lib{name}-*.rlib"))


@cache
def _judge() -> Path:
    """Return the folder of our compiled launcher."""
    text = launcher("judge.rs")
    sysroot = _sysroot()
    assert sysroot is not None

    def build(folder: Path) -> None:
        (folder / "judge.rs").write_bytes(text)
        flags = ("--edition=2021", "--crate-type=rlib", "--crate-name=fimble_judge")
        build_command((sysroot / "bin/rustc", *flags, "-Cprefer-dynamic", "judge.rs"), folder)

    return artefact("rust-judge", look_up().version, text.decode(), build=build)


@cache
def _crates() -> Path:
    """Return the folder of the crates, compiled."""
    places = {
        "judge.rs": "judge.rs",
        "Cargo.toml": "rust_crates.toml",
        "rand/Cargo.toml": "rust_rand.toml",
        "rand/rand.rs": "rand.rs",
    }
    config = ""
    if _DEBIAN.is_dir():
        config = (
            '[source.crates-io]\nreplace-with = "debian"\n'
            f'[source.debian]\ndirectory = "{_DEBIAN}"\n'
        )

    def build(folder: Path) -> None:
        for path, name in places.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(launcher(name))
        (folder / ".cargo").mkdir()
        (folder / ".cargo/config.toml").write_text(config)
        env = {**os.environ, "CARGO_TARGET_DIR": str(folder / "target")}
        env.pop("RUSTFLAGS", None)
        build_command(("cargo", "build", "--offline", "--quiet"), folder, env=env)

    key = [launcher(name).decode() for name in places.values()]
    return artefact("rust-crates", look_up().version, config, *key, build=build)
