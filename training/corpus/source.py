"""One source of a corpus: a pinned package or a folder, and what is to be known about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from fimble.errors import ConfigError

_SEPARATORS = {"pypi": "==", "npm": "@", "debian": "="}


class Split(StrEnum):
    """Which side a project is on; a project is never on both."""

    TRAIN = "train"
    VALIDATION = "validation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Which projects are held out: by name, or else by a hash of the project's name."""

    train: frozenset[str] = frozenset()
    """Projects that are never held out."""
    validation: frozenset[str] = frozenset()
    """Projects that are always held out."""
    seed: int = 0
    """Seed of the hash."""
    validation_rate: float = 0.0
    """Share of the other projects that the hash holds out, 0 to 1."""

    def of(self, project: str) -> Split:
        """Return the side of a project."""
        if project in self.validation:
            return Split.VALIDATION
        if project in self.train:
            return Split.TRAIN
        digest = hashlib.sha256(f"{self.seed}\0{project}".encode()).digest()
        drawn = int.from_bytes(digest[:8], "big") / 2**64
        return Split.VALIDATION if drawn < self.validation_rate else Split.TRAIN


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
