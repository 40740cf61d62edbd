"""What is decided before a model is asked: the keys of `fimble eval feedback`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fimble.config import check_positive, check_shares
from fimble.errors import ConfigError

LANGUAGES = ("javascript", "lua", "python", "ruby")
"""Languages in which an unknown name fails when it is called, not before: whether tests see a place
is found out by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecipe:
    """A project that has tests, and how a model is asked about it."""

    source: Path
    """Folder of the project; it is copied into the sandbox for every run of the tests."""
    tests: str = "python -m unittest -q"
    """Command that runs the tests, from that folder; succeeds if they pass. `python` is the one
    that runs Fimble, with its packages."""
    model: str
    """URL, folder, or name of a shipped model, as for `fimble eval run`."""
    fim_format: str = ""
    """Sentinels of a model that does not say."""
    languages: tuple[str, ...] = ("python",)
    """Our names of the languages of the files with holes: those of `LANGUAGES`."""
    exclude: tuple[str, ...] = ("test*", "*/test*", "*_test.*")
    """Files without holes: patterns of paths; `*` also matches slashes. Tests above all."""
    places: int = 100
    """Most holes of each language and kind: line, expression, block."""
    samples: int = 4
    """Texts of the model for each hole; equal ones count once."""
    temperature: float = 0.8
    max_new_tokens: int = 128
    held_out: float = 0.1
    """Share of the files whose examples are kept apart, each file whole."""
    seed: int = 0
    at_once: int = 2
    """Runs of the tests at a time."""
    cpu_s: float = 60.0
    """Of one run of the tests, over all its processes."""
    memory_mib: int = 1024
    sandbox: str = ""
    """Tier of isolation; empty takes the best that this machine has."""

    def __post_init__(self) -> None:
        numbers = ("places", "samples", "max_new_tokens", "at_once", "cpu_s", "memory_mib")
        check_positive(self, numbers)
        check_shares(self, ("held_out",))
        if unknown := sorted(set(self.languages) - set(LANGUAGES)):
            raise ConfigError(
                f"languages names {', '.join(unknown)}; allowed are {', '.join(LANGUAGES)}"
            )
        if not 0 < self.temperature <= 10:
            raise ConfigError(f"temperature is {self.temperature}; it must be above 0, up to 10")
        if not self.tests.split():
            raise ConfigError("tests is empty; it must be a command")
