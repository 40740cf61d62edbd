"""One program to run in a sandbox, and what came of it: the seam of sandboxes and languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from fimble.errors import FimbleError

MIB = 1 << 20


class SandboxError(FimbleError):
    """The sandbox itself failed; says nothing about what ran in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may use; over all of its processes where the machine can count that."""

    cpu_s: float = 10.0
    wall_s: float = 120.0
    """A backstop for programs that wait; the verdict goes by CPU time."""
    memory_bytes: int = 512 * MIB
    """By cgroup; else as the address space of each process, see `address_space_bytes`."""
    address_space_bytes: int | None = None
    """RLIMIT_AS where there is no cgroup, for toolchains that reserve much (JVM, Go, node)."""
    processes: int = 64
    output_bytes: int = 1 * MIB
    """Of standard output and standard error together."""
    files_bytes: int = 64 * MIB
    """Of the largest file a job may write."""
    folder_bytes: int = 256 * MIB
    """Of all files in the job's folder; beyond it the job ends with `output_limit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command in a fresh folder that only it sees."""

    argv: tuple[str, ...]
    """Absolute path of the program, and its arguments; relative ones lie in the job's folder."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What the folder holds at the start, by relative path."""
    executables: frozenset[str] = frozenset()
    """Which of `files` may be run."""
    stdin: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment, besides PATH, HOME and TMPDIR."""
    readable: tuple[Path, ...] = ()
    """Folders and files outside that it may read and run: its toolchain. Nothing else is there,
    besides the system's libraries."""
    collect: tuple[str, ...] = ()
    """Relative paths to bring back: what a compiler wrote. A folder brings what is in it."""
    limits: Limits = field(default_factory=Limits)


class Ended(StrEnum):
    """How a job ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    CPU_LIMIT = "cpu_limit"
    WALL_LIMIT = "wall_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a job."""

    ended: Ended
    exit_code: int = 0
    """Of the first process; minus the signal's number where a signal ended it."""
    stdout: bytes = b""
    """At most `output_bytes`."""
    stderr: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What `collect` found."""
    cpu_ms: float = 0.0
    wall_ms: float = 0.0
    peak_memory_bytes: int = 0
    """0 where it could not be counted; of all jobs of the worker so far with version 2 of control
    groups before Linux 6.12, which cannot set it back."""


class Service(Protocol):
    """A trusted process that lives on in the sandbox: a resident compiler.

    It reads lines of JSON from standard input and answers each with one line on standard output.
    """

    def ask(self, question: Mapping[str, object], *, wall_s: float) -> dict[str, object]:
        """Return the answer to one question; questions of several threads take turns.

        Raises:
            SandboxError: It died or did not answer in time; the next question starts it anew.
        """
        ...

    def close(self) -> None:
        """End it."""
        ...


class Sandbox(Protocol):
    """A tier of isolation; safe to use from several threads."""

    tier: str
    """`bubblewrap`, `landlock`, `container` or `none`."""

    def run(self, job: Job) -> Outcome:
        """Run a job to its end; when this returns, no process and no file of it is left.

        Raises:
            SandboxError: The sandbox itself failed; says nothing about the job.
        """
        ...

    def service(self, job: Job) -> Service:
        """Start a resident process with the job's command, files and readable paths."""
        ...

    def close(self) -> None:
        """End every process and remove every folder."""
        ...
