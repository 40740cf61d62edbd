"""Recipes of vocabularies, read from TOML by `fimble.config`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fimble.config import check_shares
from fimble.errors import ConfigError
from fimble.fim import SPECIAL_TOKENS
from training.vocabulary.learn import Unit

MIN_SIZE = len(SPECIAL_TOKENS) + 256
MAX_SIZE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleConfig:
    """Which files of the training split are looked at."""

    num_bytes: int = 60_000_000
    """Text to take, over all languages."""
    language_exponent: float = 1.0
    """A language's share goes with its bytes to this power, 0..1: with 1 as training reads it, with
    0 all languages alike."""
    weights: dict[str, float] = field(default_factory=dict)
    """Factors by language on top of that; 1 for languages not named."""
    even_projects: bool = False
    """Whether the projects of a language count alike, as far as their sizes allow; otherwise they
    count by their bytes, as training reads them."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_bytes < 1:
            raise ConfigError(f"num_bytes is {self.num_bytes}; it must be 1 or more")
        check_shares(self, ("language_exponent",))
        for language, weight in self.weights.items():
            if not 0 < weight < float("inf"):
                raise ConfigError(f"weights.{language} is {weight}; it must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyRecipe:
    """How a vocabulary is trained."""

    corpus: Path
    """Output folder of `fimble corpus build`."""
    size: int = 16_384
    """Tokens, sentinels included; a multiple of 128 keeps matrix products whole."""
    unit: Unit = Unit.WORD
    """Within what pairs are merged: `word`, or `line` and `line_with_end` for tokens of several."""
    max_token_bytes: int = 24
    """Longest token: longer ones are headers of licences, not code."""
    sample: SampleConfig = field(default_factory=SampleConfig)

    def __post_init__(self) -> None:
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise ConfigError(f"size is {self.size}; it must be {MIN_SIZE} to {MAX_SIZE}")
        if self.max_token_bytes < 1:
            raise ConfigError(f"max_token_bytes is {self.max_token_bytes}; it must be 1 or more")
