"""How a suite that is drawn from code chooses its problems."""

from __future__ import annotations

from dataclasses import dataclass

from fimble.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What to draw problems from, and how many."""

    source: str = ""
    """Git repository (folder or address), folder, package archive, or folder of a corpus."""
    revision: str = ""
    """Commit, tag or branch of a git repository; empty is what is checked out, or its default."""
    per_language: int = 0
    """Problems of each language and variant, fewer where the source has fewer; 0 leaves it to the
    suite: all of `infilling-x`, 100 of the others."""
    seed: int = 0
    """Another seed draws other problems."""

    def __post_init__(self) -> None:
        if self.per_language < 0:
            raise ConfigError(f"per_language is {self.per_language}; it must be 0 or more")
