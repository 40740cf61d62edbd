"""One source of a corpus: a pinned package, a repository, a folder or a table, and its facts."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fimble.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = ("pypi", "npm", "debian", "git", "parquet", "hub", "directory")
"""Where a source can come from; each is a key of a recipe."""
UNKNOWN_LICENCE = "NOASSERTION"
"""SPDX's word for a licence that nobody stated; it is never permissive."""

_SEPARATORS = {"pypi": "==", "npm": "@", "debian": "="}
_NEEDS_LICENCE = frozenset({*_SEPARATORS, "git"})
_OWN_KEYS = {
    "revision": ("git", "hub"),
    "files": ("hub",),
    "columns": ("parquet", "hub"),
    "projects": ("directory",),
}
_GIT_SCHEMES = frozenset({"https", "http", "ssh", "git", "file"})
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WILDCARD = re.compile(r"[*?\[]")


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


class Projects(StrEnum):
    """What is a project in a folder."""

    ONE = "one"
    TOP_FOLDERS = "top_folders"
    """Each folder at the top; files beside them belong to the source's own project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns of a Parquet file; an empty name means that known layouts are tried."""

    text: str = ""
    """The file's text: strings or bytes."""
    path: str = ""
    """The file's path in its project."""
    project: str = ""
    """Name of the project, for example `owner/name`."""
    licence: str = ""
    """SPDX expression, or a list of SPDX identifiers that all hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source. Exactly one key of `KINDS` is given."""

    pypi: str = ""
    """Source distribution as `name==version`."""
    npm: str = ""
    """Package as `name@version`."""
    debian: str = ""
    """Source package as `name=version`."""
    git: str = ""
    """Repository: a URL, or a path relative to the recipe."""
    parquet: str = ""
    """Parquet files: a path relative to the recipe, which may hold `*`, `?` and `**`."""
    hub: str = ""
    """Dataset of a model hub as `owner/name`."""
    directory: str = ""
    """A local folder, relative to the recipe."""
    revision: str = ""
    """Of a repository a tag or commit; of a dataset a commit."""
    files: str = ""
    """Pattern of the Parquet files in a dataset; `*` also matches slashes."""
    columns: Columns = Columns()
    """Which columns of Parquet files hold what."""
    projects: Projects = Projects.ONE
    """What is a project in a directory."""
    licence: str = UNKNOWN_LICENCE
    """SPDX expression of what states none itself: a file's own SPDX line and a row's licence go
    before it. Directories, Parquet files and datasets need none."""
    project: str = ""
    """What the split goes by where the files do not say; default: the source's name."""
    split: Split | None = None
    """Side of the project; None lets the hash decide."""
    exclude: tuple[str, ...] = ()
    """Patterns of paths to leave out; `*` also matches slashes."""

    def __post_init__(self) -> None:
        given = [kind for kind in KINDS if getattr(self, kind)]
        if len(given) != 1:
            raise ConfigError(
                f"a source names {' and '.join(given) or 'no package'}; "
                f"it must have exactly one of {', '.join(KINDS)}"
            )
        self._check_keys()
        if self.kind in _SEPARATORS and not all(self._name_and_version()):
            separator = _SEPARATORS[self.kind]
            raise ConfigError(
                f"{self.package!r} is not pinned; write {self.kind} = name{separator}version"
            )
        if self.kind == "git":
            _check_git(self.git, self.revision)
        if self.kind == "hub":
            _check_hub(self)
        if self.project_name in {"", ".", ".."}:
            raise ConfigError(f"{self.kind} {self.package!r} has no name of its own; add project")
        if self.split is not None and self.many_projects:
            raise ConfigError(
                f"{self.key} holds many projects, so it has no split of its own; "
                "name the projects to hold out in `validation`"
            )

    def _check_keys(self) -> None:
        """Refuse keys that say nothing about this kind of source, and miss none that it needs."""
        for key, kinds in _OWN_KEYS.items():
            is_default = getattr(self, key) == type(self).__dataclass_fields__[key].default
            if self.kind not in kinds and not is_default:
                raise ConfigError(f"{key} goes with {' or '.join(kinds)}, not with {self.kind}")
        if self.kind in _NEEDS_LICENCE and self.licence == UNKNOWN_LICENCE:
            raise ConfigError(f"{self.kind} {self.package!r}: missing key licence")

    @property
    def kind(self) -> str:
        """Where it comes from: one of `KINDS`."""
        return next(kind for kind in KINDS if getattr(self, kind))

    @property
    def package(self) -> str:
        """The package with its version, the path or the address, as the recipe spells it."""
        return str(getattr(self, self.kind))

    @property
    def key(self) -> str:
        """Unique name of the source in tables and cards, for example `pypi:click==8.3.0`."""
        pinned = f"@{self.revision}" if self.revision else ""
        return f"{self.kind}:{self.package}{pinned}{f'/{self.files}' if self.files else ''}"

    @property
    def name(self) -> str:
        """Name without the version; of a folder or repository, the last part of its path."""
        return self._name_and_version()[0]

    @property
    def version(self) -> str:
        """Version as the registry spells it, or the revision; empty for local files."""
        return self._name_and_version()[1]

    @property
    def project_name(self) -> str:
        """The project of every file that does not name its own."""
        return self.project or self.name

    @property
    def many_projects(self) -> bool:
        """Whether its files name their projects themselves."""
        return self.is_table or self.projects == Projects.TOP_FOLDERS

    @property
    def is_table(self) -> bool:
        """Whether it is rows of Parquet files instead of archives or folders."""
        return self.kind in {"parquet", "hub"}

    @property
    def has_wildcard(self) -> bool:
        """Whether it stands for several Parquet files."""
        return _WILDCARD.search(self.parquet or self.files) is not None

    def _name_and_version(self) -> tuple[str, str]:
        if self.kind in _SEPARATORS:
            # npm scopes start with the separator, so the last one counts.
            name, _, version = self.package.rpartition(_SEPARATORS[self.kind])
            return name, version
        if self.kind == "hub":
            return self.hub, self.revision
        if self.kind == "git":
            path = self.git.rstrip("/").removesuffix(".git").rstrip("/")
            return re.split(r"[/:\\]", path)[-1], self.revision
        if self.kind == "parquet":
            folders = [part for part in self.parquet.split("/")[:-1] if not _WILDCARD.search(part)]
            return (folders or [""])[-1], ""
        return self.directory.rstrip("/").rpartition("/")[2], ""


def _check_git(address: str, revision: str) -> None:
    """Refuse addresses that run programs or hold secrets, and revisions that are none.

    Messages do not repeat the address: a recipe's error is printed and logged.
    """
    scheme = urlsplit(address).scheme if "://" in address else ""
    if "::" in address or address.startswith("-") or (scheme and scheme not in _GIT_SCHEMES):
        raise ConfigError(
            f"git is no address we use; allowed are a path, owner@host:path and "
            f"{', '.join(sorted(_GIT_SCHEMES))}"
        )
    parts = urlsplit(address if scheme else "")
    user, at, _ = parts.netloc.rpartition("@")
    if parts.query or (at and (scheme != "ssh" or ":" in user)):
        raise ConfigError(
            "git is an address with a user name, password or query; "
            "leave who you are to git's credential helper"
        )
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise ConfigError(f"revision is {revision!r}; git needs a tag or a commit")


def _check_hub(source: Source) -> None:
    if not _HUB_NAME.fullmatch(source.hub):
        raise ConfigError(f"hub is {source.hub!r}; write owner/name")
    if not _COMMIT.fullmatch(source.revision):
        raise ConfigError(f"revision is {source.revision!r}; hub needs a commit of 40 digits")
    if not source.files.endswith(".parquet"):
        raise ConfigError(f"files is {source.files!r}; it must be a pattern of .parquet files")


def repeated_keys(sources: Iterable[Source]) -> list[str]:
    """Return the keys that several sources share, ascending."""
    counts = Counter(source.key for source in sources)
    return sorted(key for key, count in counts.items() if count > 1)
