"""What a suite is, as its TOML file says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Style
from eval_harness.suites.draw import Draw
from eval_harness.suites.language_names import KNOWN
from fimble.config import read_toml
from fimble.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One file of records."""

    file: str
    """Path: of a shipped suite within the folder of benchmarks, else beside the TOML file. The same
    name with or without `.gz` does as well."""
    sha256: str = ""
    """Of what the file holds, unpacked where it is gzipped; empty takes any content."""
    language: str = ""
    """Our name of the records' language; empty where each record says its own."""
    packages: str = ""
    """What the programs need besides the language, for people to read."""

    def __post_init__(self) -> None:
        if self.language and self.language not in KNOWN:
            raise ConfigError(
                f"language is {self.language!r}; allowed are {', '.join(sorted(KNOWN))}"
            )
        is_hash = len(self.sha256) == 64 and set(self.sha256) <= set("0123456789abcdef")
        if self.sha256 and not is_hash:
            raise ConfigError(f"sha256 is {self.sha256!r}; it must be 64 hexadecimal digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """How fields of a record make a problem: `{name}` stands for the field `name`."""

    problem_id: str
    prompt: str
    suffix: str = ""
    """Empty means that the answer goes on to the end."""
    header: str = ""
    tests: str = ""
    """Empty means that answers are compared with `canonical`, not run."""
    entry_point: str = ""
    canonical: str = ""
    group: str = ""
    """What problems are clustered by; empty is `problem_id`."""
    path: str = ""
    kind: Kind = Kind.COMPLETE
    extent: Extent = Extent.BLOCK
    style: Style = Style.PROGRAM


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One suite."""

    name: str
    shape: str
    """A name in `eval_harness.suites.shapes.table`, or `FILE.py:FUNCTION` beside the TOML file."""
    data: tuple[DataFile, ...] = ()
    licence: str = ""
    source: str = ""
    """Where the files come from: address, commit, folder."""
    stops: tuple[str, ...] = ()
    """Texts that end an answer, besides what the shape says."""
    template: Template | None = None
    """For the shape `template` only."""
    draw: Draw | None = None
    """For the shape `repository` only."""
    about: str = field(default="")
    """A line for people."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a suite needs a name")
        for table, shape in ((self.template, "template"), (self.draw, "repository")):
            if (self.shape == shape) != (table is not None):
                name = "draw" if shape == "repository" else shape
                raise ConfigError(
                    f"the table [{name}] belongs to the shape {shape!r}, and to no other"
                )
        if not self.data and self.draw is None:
            raise ConfigError("a suite needs at least one [[data]]")


def read_description(path: Path) -> Description:
    """Return the description in a TOML file.

    Raises:
        ConfigError: The file cannot be read or does not fit.
    """
    return read_toml(Description, path)
