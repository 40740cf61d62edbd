"""What became of a program."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """The verdict on one answer."""

    PASSED = "passed"
    WRONG = "wrong"
    """It ran and its tests did not all pass, or it ended before they did."""
    COMPILE_ERROR = "compile_error"
    CPU_LIMIT = "cpu_limit"
    WALL_LIMIT = "wall_limit"
    """The backstop; such programs were run again, alone, before this is said."""
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"
    """Something else ended it: a signal of its own making, or the sandbox's rules."""
    TOOLCHAIN_MISSING = "toolchain_missing"
    """Says nothing about the answer; does not count."""
    HARNESS_ERROR = "harness_error"
    """Our own fault; does not count, and is run again with the next start."""


NOT_JUDGED = frozenset({State.TOOLCHAIN_MISSING, State.HARNESS_ERROR})
"""States that leave the denominator."""


class Verdict(NamedTuple):
    """A state and what a person needs to understand it."""

    state: State
    detail: str = ""
    """Last lines of the compiler's or the program's own message, at most 2,000 characters."""
    cpu_ms: float = 0.0
    """CPU time of compiling and running, of all processes."""
    wall_ms: float = 0.0
