"""The recipe of a corpus: pinned packages by name, their licences, and the limits of the build."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fimble.config import check_shares, read_toml
from fimble.errors import ConfigError
from fimble.languages import by_name
from training.corpus.filters import LineLimits
from training.corpus.licence import PERMISSIVE
from training.corpus.limits import Limits
from training.corpus.minhash import THRESHOLD
from training.corpus.source import Source, Split, Splits, repeated_keys

_LIMITS = Limits()
_LINES = LineLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceRules:
    """`[licence]`: what may be trained on."""

    enabled: bool = True
    """Whether files are dropped for their licence; off for one's own code."""
    allow: tuple[str, ...] = tuple(sorted(PERMISSIVE))
    """SPDX identifiers that pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRules:
    """`[origin]`: generated and compiled files."""

    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxRules:
    """`[syntax]`: files that are not their language."""

    enabled: bool = True
    max_error_share: dict[str, float] | None = None
    """By language, the share of bytes under ERROR nodes above which a file is dropped, 0 to 1, in
    place of `faults.MAX_ERROR_SHARE`."""

    def __post_init__(self) -> None:
        for name, share in (self.max_error_share or {}).items():
            if by_name(name) is None:
                raise ConfigError(f"syntax.max_error_share names the unknown language {name!r}")
            if not 0 <= share <= 1:
                raise ConfigError(f"syntax.max_error_share.{name} is {share}; allowed are 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRules:
    """`[quality]`: a score from cheap labels; off unless it is asked for."""

    enabled: bool = False
    """Whether files get a score in the column `quality`."""
    min_score: float = 0.0
    """Files with a lower score are dropped, 0 to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"quality.min_score is {self.min_score}; allowed are 0..1")
        if self.min_score and not self.enabled:
            raise ConfigError("quality.min_score needs quality.enabled = true")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionRules:
    """`[redaction]`: secrets, e-mail and IP addresses become stand-ins."""

    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DecontaminationRules:
    """`[decontamination]`: files that hold a part of a benchmark."""

    enabled: bool = True
    benchmarks: tuple[Path, ...] = ()
    """Files and folders of benchmarks, relative to the recipe; besides these, the folder that
    `FIMBLE_BENCHMARKS` names is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicateRules:
    """`[near_duplicates]`: files that are nearly the same as another."""

    enabled: bool = True
    threshold: float = THRESHOLD
    """Least estimated Jaccard similarity of word 5-grams, 0 to 1."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"near_duplicates.threshold is {self.threshold}; allowed are 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the stages that look at one file at a time go by."""

    licence: LicenceRules = LicenceRules()
    lines: LineLimits = _LINES
    origin: OriginRules = OriginRules()
    syntax: SyntaxRules = SyntaxRules()
    quality: QualityRules = QualityRules()
    redaction: RedactionRules = RedactionRules()
    benchmarks: tuple[Path, ...] = ()
    """Files of the benchmarks; none means no decontamination."""
    parse_s: float = _LIMITS.parse_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How much of one project and of one language is kept, so that none outweighs the rest."""

    enabled: bool = True
    project_bytes: int = 25_000_000
    """Most bytes of one language from one project."""
    language_bytes: int = 80_000_000
    """Most bytes of one language in the training split."""
    language_bytes_of: dict[str, int] | None = None
    """Most bytes of a language by its name, instead of `language_bytes`."""

    def __post_init__(self) -> None:
        for name in self.language_bytes_of or {}:
            if by_name(name) is None:
                raise ConfigError(f"caps.language_bytes_of names the unknown language {name!r}")

    def of(self, language: str) -> int:
        """Return the most bytes of `language` in the training split."""
        return (self.language_bytes_of or {}).get(language, self.language_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what a corpus holds."""

    name: str
    """Name in cards and reports: lower case letters, digits and hyphens."""
    seed: int = 0
    """Seed of the hash that assigns projects to the validation split."""
    validation_rate: float = 0.0
    """Share of the projects without a `split` that the hash sends to validation, 0 to 1."""
    validation: tuple[str, ...] = ()
    """Projects to hold out by name; needed where a source holds many projects."""
    exclude: tuple[str, ...] = ()
    """Patterns of paths to leave out of every source; `*` also matches slashes."""
    keep_out: tuple[str, ...] = ()
    """Projects that must never be in this corpus, for example what a demonstration opens."""
    limits: Limits = _LIMITS
    licence: LicenceRules = LicenceRules()
    lines: LineLimits = _LINES
    origin: OriginRules = OriginRules()
    syntax: SyntaxRules = SyntaxRules()
    quality: QualityRules = QualityRules()
    redaction: RedactionRules = RedactionRules()
    decontamination: DecontaminationRules = DecontaminationRules()
    near_duplicates: NearDuplicateRules = NearDuplicateRules()
    caps: Caps = Caps()
    sources: tuple[Source, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9-]+", self.name):
            raise ConfigError(f"name is {self.name!r}; allowed are a-z, 0-9 and hyphens")
        check_shares(self, ("validation_rate",))
        if not self.sources:
            raise ConfigError("sources is empty; name at least one package or directory")
        if twice := repeated_keys(self.sources):
            raise ConfigError(f"sources names {', '.join(twice)} more than once")
        if kept_out := sorted({s.project_name for s in self.sources} & set(self.keep_out)):
            raise ConfigError(f"sources names {', '.join(kept_out)}, which keep_out forbids")
        self._check_splits()

    def _check_splits(self) -> None:
        sides: dict[str, Split] = {}
        for source in self.sources:
            if source.split is None:
                continue
            if sides.setdefault(source.project_name, source.split) is not source.split:
                raise ConfigError(f"project {source.project_name!r} is named for both splits")

    def rules(self, benchmarks: tuple[Path, ...]) -> Rules:
        """Return what the stages of one file go by.

        Args:
            benchmarks: Files of the benchmarks that must not be in the corpus.
        """
        return Rules(
            licence=self.licence,
            lines=self.lines,
            origin=self.origin,
            syntax=self.syntax,
            quality=self.quality,
            redaction=self.redaction,
            benchmarks=benchmarks,
            parse_s=self.limits.parse_s,
        )

    @property
    def splits(self) -> Splits:
        """Which projects are held out."""
        named = {source.project_name: source.split for source in self.sources if source.split}
        held_out = {name for name, split in named.items() if split is Split.VALIDATION}
        return Splits(
            train=frozenset(set(named) - held_out),
            validation=frozenset(held_out | set(self.validation)),
            seed=self.seed,
            validation_rate=self.validation_rate,
        )


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file.

    Raises:
        ConfigError: The file cannot be read or does not describe a corpus.
    """
    return read_toml(Recipe, path)
