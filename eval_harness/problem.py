"""What a suite asks, and how an answer becomes a program: the seam of suites and languages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a model is asked."""

    COMPLETE = "complete"
    """Left to right: the prompt alone."""
    INFILL = "infill"
    """Prefix and suffix; the middle is missing."""


class Extent(StrEnum):
    """How far an answer goes: what a stream is cut at, by `fimble.stops`."""

    LINE = "line"
    """The rest of a line."""
    SPAN = "span"
    """As much as the model says, until its end token."""
    BLOCK = "block"
    """To the end of the block that the prompt leaves open: a function's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question; its program is `header + prompt + answer + suffix + tests`.

    The model sees `prompt` and, of an infilling problem, `suffix`; never `header` or `tests`.
    """

    problem_id: str
    """Unique within its suite and language, such as `HumanEval/0`."""
    group: str
    """What problems are clustered by: those from one source function have one group."""
    language: str
    """Our name of the language (`fimble.languages`)."""
    kind: Kind
    extent: Extent
    prompt: str
    suffix: str = ""
    header: str = ""
    """Goes before the prompt in the program: imports, for one."""
    tests: str = ""
    """Goes after the suffix; empty where the answer is only compared with `canonical`."""
    entry_point: str = ""
    """Function that the tests call; empty where the program runs by itself."""
    style: str = ""
    """What the language must know of how the tests are written, such as `check` or `go_test`."""
    canonical: str | None = None
    """The true answer, where there is one."""
    stops: tuple[str, ...] = ()
    """Texts that end an answer, besides what `extent` says."""
    path: str = ""
    """Path of the file within its project, as prompts name it."""

    def candidate(self, answer: str) -> str:
        """Return the program without its tests: all that a candidate may read."""
        return f"{self.header}{self.prompt}{answer}{self.suffix}"
