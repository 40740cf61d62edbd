"""What a user asks of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.model_sources import ModelChoice
from eval_harness.records import Asked
from eval_harness.suites.suite import Suite
from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Phase(StrEnum):
    """What one command does of a run."""

    ALL = "all"
    GENERATE = "generate"
    JUDGE = "judge"
    """Judges the answers there are; no model is asked, or needs to be there."""


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which problems, which model, how often, and where the answers go."""

    suites: tuple[Suite, ...]
    model: ModelChoice
    out: Path
    num_samples: int = 1
    """Answers to each problem."""
    phase: Phase = Phase.ALL
    concurrency: int = 0
    """Questions under way at a time; 0 takes what suits the model."""
    wants_bits: bool = False
    """Ask for the probability of true answers, too."""
    tier: str | None = None
    """Of isolation; None takes the best that the machine offers."""
    is_unsafe_allowed: bool = False
    workers: int = field(default_factory=_num_cores)
    """Programs that run at a time."""

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise InputError(f"-n is {self.num_samples}; it must be 1 or more")
        if self.num_samples > 1 and not self.model.has_chance:
            raise InputError(
                f"-n is {self.num_samples} and --temperature is 0, which gives the same answer "
                f"{self.num_samples} times; choose a temperature above 0"
            )
        if self.concurrency < 0 or self.workers < 1:
            raise InputError("--concurrency must be 0 or more, --workers 1 or more")

    @property
    def corpus(self) -> str:
        """What the problems were compared with; empty where nothing was named."""
        return next((suite.corpus for suite in self.suites if suite.corpus), "")

    def asked(self) -> Iterator[Asked]:
        """Yield the problems of all suites, in order."""
        for suite in self.suites:
            for problem in suite.problems:
                key = problem.key
                yield Asked(
                    suite=suite.name,
                    problem=problem,
                    known_bad=suite.known_bad.get(key, ""),
                    contaminated=suite.contaminated.get(key, ""),
                    is_unchecked=key in suite.unchecked,
                )
