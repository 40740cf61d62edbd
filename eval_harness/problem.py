"""What a suite asks, and how an answer becomes a program: the seam of suites and languages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fimble.fim import Snippet


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


class Style(StrEnum):
    """How the tests are written, where a language knows several ways."""

    PROGRAM = "program"
    """The whole is a program: it comes to its normal end where the answer is right."""
    CHECK = "check"
    """Python: statements that call the candidate's functions and assert."""
    CONSOLE_ASSERT = "console_assert"
    """JavaScript: `console.assert`, which of itself fails nothing."""
    GO_TEST = "go_test"
    """Go: `func TestX(t *testing.T)`. The header is the tests' own `package` and `import`; the
    prompt may import, too, and the answer may use what nobody imported: the judge mends that."""
    RUST_TEST = "rust_test"
    """Rust: `#[cfg(test)] mod tests`; there is no `main`."""
    STDIO = "stdio"
    """A whole program that reads and writes: the tests are no code but inputs, each with the
    outputs that are right (`eval_harness.stdio`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question; its program is `header + prompt + answer + suffix + test_code`.

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
    """Goes after the suffix, unless the style says otherwise; empty where the answer is only
    compared with `canonical`."""
    entry_point: str = ""
    """Function that the tests call; empty where the program runs by itself."""
    style: str = ""
    """How the tests are written: a `Style`; empty is `PROGRAM`."""
    canonical: str | None = None
    """The true answer, where there is one."""
    stops: tuple[str, ...] = ()
    """Texts that end an answer, besides what `extent` says."""
    path: str = ""
    """Path of the file within its project, as prompts name it."""
    project: str = ""
    """Key of the suite's `workspaces`: the other files that the project has."""
    context: tuple[Snippet, ...] = ()
    """Code of other files that the benchmark itself puts before the prompt, the most important
    last."""
    variant: str = ""
    """What was held out, where a suite asks in several ways: `line`, `lines`, `node`, `block`."""

    @property
    def key(self) -> str:
        """Return what tells the problem from all others of its suite."""
        return f"{self.language}/{self.problem_id}"

    @property
    def test_code(self) -> str:
        """Return the tests as the program holds them: nothing where they are input and output."""
        return "" if self.style == Style.STDIO else self.tests

    def candidate(self, answer: str) -> str:
        """Return the program without its tests: all that a candidate may read."""
        return f"{self.header}{self.prompt}{answer}{self.suffix}"
