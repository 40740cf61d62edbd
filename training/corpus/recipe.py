"""The recipe of a corpus: pinned packages by name, their licences, and the limits of the build."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fimble.config import read_toml
from fimble.errors import ConfigError
from fimble.languages import by_name

if TYPE_CHECKING:
    from pathlib import Path

_SEPARATORS = {"pypi": "==", "npm": "@", "debian": "="}


class Split(StrEnum):
    """Which side a project is on; a project is never on both."""

    TRAIN = "train"
    VALIDATION = "validation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One package or folder. Exactly one of `pypi`, `npm`, `debian` and `directory` is given."""

    pypi: str = ""
    """Source distribution as `name==version`."""
    npm: str = ""
    """Package as `name@version`."""
    debian: str = ""
    """Source package as `name=version`."""
    directory: str = ""
    """A local folder, relative to the recipe."""
    licence: str
    """SPDX expression of the package; a file's own SPDX line goes before it."""
    project: str = ""
    """What the split goes by; default: the package's name. Two sources may share one."""
    split: Split | None = None
    """Side of the project; None lets the hash decide."""
    exclude: tuple[str, ...] = ()
    """Patterns of paths to leave out; `*` also matches slashes."""

    def __post_init__(self) -> None:
        given = [kind for kind in ("pypi", "npm", "debian", "directory") if getattr(self, kind)]
        if len(given) != 1:
            raise ConfigError(
                f"a source names {' and '.join(given) or 'no package'}; "
                "it must have exactly one of pypi, npm, debian, directory"
            )
        if self.kind == "directory" and self.project_name in {"", ".", ".."}:
            raise ConfigError(f"directory {self.directory!r} has no name of its own; add project")
        if self.kind != "directory" and not all(self._name_and_version()):
            separator = _SEPARATORS[self.kind]
            raise ConfigError(
                f"{self.package!r} is not pinned; write {self.kind} = name{separator}version"
            )

    @property
    def kind(self) -> str:
        """Where it comes from: `pypi`, `npm`, `debian` or `directory`."""
        return next(k for k in ("pypi", "npm", "debian", "directory") if getattr(self, k))

    @property
    def package(self) -> str:
        """The package with its version, as the recipe spells it."""
        return self.pypi or self.npm or self.debian or self.directory

    @property
    def key(self) -> str:
        """Unique name of the source in tables and cards, for example `pypi:click==8.3.0`."""
        return f"{self.kind}:{self.package}"

    @property
    def name(self) -> str:
        """Name without the version; of a folder, its last part."""
        return self._name_and_version()[0]

    @property
    def version(self) -> str:
        """Version as the registry spells it; empty for a folder."""
        return self._name_and_version()[1]

    @property
    def project_name(self) -> str:
        """The project that the split goes by."""
        return self.project or self.name

    def _name_and_version(self) -> tuple[str, str]:
        if self.kind == "directory":
            return self.directory.rstrip("/").rpartition("/")[2], ""
        # npm scopes start with the separator, so the last one counts.
        name, _, version = self.package.rpartition(_SEPARATORS[self.kind])
        return name, version


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What protects the build from huge or hostile input."""

    file_bytes: int = 1_000_000
    """Largest source file."""
    archive_bytes: int = 4_000_000_000
    """Largest unpacked size of one archive; beyond it the source is skipped."""
    archive_members: int = 300_000
    """Largest number of members of one archive; beyond it the source is skipped."""
    parse_s: float = 10.0
    """CPU seconds that one file may take to parse."""

    def __post_init__(self) -> None:
        for name in ("file_bytes", "archive_bytes", "archive_members", "parse_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"limits.{name} is {getattr(self, name)}; it must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How much of one project and of one language is kept, so that none outweighs the rest."""

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
    exclude: tuple[str, ...] = ()
    """Patterns of paths to leave out of every source; `*` also matches slashes."""
    keep_out: tuple[str, ...] = ()
    """Projects that must never be in this corpus, for example what a demonstration opens."""
    limits: Limits = Limits()
    caps: Caps = Caps()
    sources: tuple[Source, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9-]+", self.name):
            raise ConfigError(f"name is {self.name!r}; allowed are a-z, 0-9 and hyphens")
        if not 0 <= self.validation_rate <= 1:
            raise ConfigError(f"validation_rate is {self.validation_rate}; it must lie in 0..1")
        if not self.sources:
            raise ConfigError("sources is empty; name at least one package or directory")
        keys = [source.key for source in self.sources]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
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

    def split_of(self, project: str) -> Split:
        """Return the side of a project: the recipe's word, or else the hash."""
        for source in self.sources:
            if source.project_name == project and source.split is not None:
                return source.split
        digest = hashlib.sha256(f"{self.seed}\0{project}".encode()).digest()
        drawn = int.from_bytes(digest[:8], "big") / 2**64
        return Split.VALIDATION if drawn < self.validation_rate else Split.TRAIN


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file.

    Raises:
        ConfigError: The file cannot be read or does not describe a corpus.
    """
    return read_toml(Recipe, path)
