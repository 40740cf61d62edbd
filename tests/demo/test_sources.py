"""The third-party files of demo and tests: whole, licensed, and in no corpus of ours."""

from __future__ import annotations

import random
import re
import tomllib
from pathlib import Path

import pytest

from bench.demo.sources import SourceFile, read_sources
from eval_harness.sessions.places import Place, places_in, without
from fimble.languages import by_name

ROOT = Path(__file__).parents[2]
SOURCES = read_sources()
RECIPES = sorted((ROOT / "training" / "recipes").glob("corpus-*.toml"))
PYTHON = by_name("python")


def test_every_language_has_one_file() -> None:
    names = [source.language.name for source in SOURCES]
    assert sorted(names) == ["c", "cpp", "go", "java", "javascript", "python", "rust", "typescript"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path.name)
def test_a_file_is_text_of_medium_size_with_its_licence_beside_it(source: SourceFile) -> None:
    assert 100 <= source.text.count("\n") <= 410
    assert "\r" not in source.text
    assert [path for path in source.path.parent.iterdir() if path.name.startswith("LICENSE")]


def test_nothing_lies_there_that_the_table_does_not_list() -> None:
    folder = ROOT / "bench" / "sources"
    files = {path for path in folder.rglob("*") if path.is_file()}
    licences = {path for path in files if path.name.startswith("LICENSE")}
    assert files - licences == {source.path for source in SOURCES} | {folder / "README.md"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_no_corpus_recipe_takes_a_project_of_these_files(recipe: Path) -> None:
    taken = [
        str(source.get(kind, ""))
        for source in tomllib.loads(recipe.read_text(encoding="utf-8"))["sources"]
        for kind in ("pypi", "npm", "debian", "directory", "project")
    ]
    words = {f"-{re.sub(r'[^a-z0-9]+', '-', name.lower())}-" for name in taken}
    projects = [source.path.parent.name for source in SOURCES]
    assert [p for p in projects if any(f"-{p}-" in word for word in words)] == []
    assert len(words) > 100


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path.name)
@pytest.mark.parametrize("seed", range(5))
def test_what_is_taken_out_can_be_written_again(source: SourceFile, seed: int) -> None:
    places = places_in(source.text, source.language, random.Random(seed))
    assert places == places_in(source.text, source.language, random.Random(seed))
    for place in places:
        shorter = without(source.text, place)
        lines = shorter.split("\n")
        start = sum(len(line) + 1 for line in lines[: place.line]) + place.column
        assert shorter[:start] + place.text + shorter[start:] == source.text
        assert len(source.text) - len(shorter) == len(place.text)
        assert shorter[start : start + 1] == "\n"


def test_a_place_is_a_body_and_a_rest_of_a_line_elsewhere() -> None:
    assert PYTHON is not None
    text = "".join(
        [
            '"""Nothing."""\n' * 8,
            "def area(width, height):\n",
            "    # Comments are not typed again.\n",
            "    return width * height\n",
            "def distance(first, second):\n",
            "    across, up = vector(first, second)\n",
            "    return hypotenuse(across, up)\n",
            '"""Nothing."""\n' * 8,
        ]
    )
    source = SourceFile("p", "1", "MIT", Path("p.py"), PYTHON, text)
    body = "across, up = vector(first, second)\n"
    body += "    return hypotenuse(across, up)"
    assert places_in(source.text, source.language, random.Random(0)) == [
        Place(10, 11, "width * height"),
        Place(12, 4, body),
    ]
