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
    per_language: int = 100
    """Problems of each language, and of each kind of hole in it, at least 1; fewer where the source
    has fewer. `infilling-x` has all, whatever this is."""
    seed: int = 0
    """Another seed draws other problems."""

    def __post_init__(self) -> None:
        if self.per_language < 1:
            raise ConfigError(f"per_language is {self.per_language}; it must be 1 or more")
