"""What is typed: third-party files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fimble.languages import by_path

if TYPE_CHECKING:
    from fimble.languages import Language

FOLDER = Path(__file__).resolve().parent.parent / "sources"


class SourceFile(NamedTuple):
    """One third-party file, and where it is from."""

    project: str
    version: str
    licence: str
    path: Path
    language: Language
    text: str


def read_sources() -> list[SourceFile]:
    """Return the files that `bench/sources/README.md` lists, in its order."""
    table = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if "|" in line]
    sources = []
    for _, project, version, licence, name in rows[2:]:
        path = FOLDER / name
        language = by_path(name)
        assert language is not None, f"{name} is in none of our languages"
        text = path.read_text(encoding="utf-8")
        sources.append(SourceFile(project, version, licence, path, language, text))
    return sources
