"""The score from cheap labels: each label by itself, and the stage that keeps or drops by it."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from fimble.errors import ConfigError
from training.corpus.quality import Labels, labels, score
from training.corpus.recipe import QualityRules, Recipe, read_recipe

if TYPE_CHECKING:
    from pathlib import Path

THINGS = (
    ("invoice", "customer", "shipping"), ("parcel", "weight", "distance"),
    ("salary", "bonus", "overtime"), ("garden", "length", "fertiliser"),
    ("journey", "altitude", "passengers"), ("concert", "balcony", "refreshments"),
    ("library", "shelves", "borrowers"), ("kitchen", "flour", "temperature"),
)  # fmt: skip
CAREFUL = '"""Totals of many things."""\n\n\n' + "".join(
    f"def total_{thing}({one}: list[float], {other}: float) -> float:\n"
    f'    """Return the {thing} that {other} gives for every {one}."""\n'
    f"    before_{thing} = sum({one}) + {number * 7919 % 1000}\n"
    f"    return before_{thing} * {other} - len({one})\n\n\n"
    for number, (thing, one, other) in enumerate(THINGS)
)


def changed(
    text: str = CAREFUL, language: str = "python", path: str = "shop/orders.py"
) -> set[str]:
    """Return the labels that do not hold."""
    return {name for name, held in labels(text, language, path)._asdict().items() if held is False}


def test_careful_code_has_every_label() -> None:
    assert labels(CAREFUL, "python", "shop/orders.py") == Labels(*[True] * 8)
    assert score(CAREFUL, "python", "shop/orders.py") == 1.0


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("documented", "\n".join(line for line in CAREFUL.split("\n") if '"""' not in line)),
        ("typed", re.sub(r": list\[float\]|: float| -> float", "", CAREFUL)),
        ("narrow", CAREFUL.replace("sum(", "sum(" + "summary_of_everything_that_is_known + " * 3)),
        ("shallow", CAREFUL.replace("    ", " " * 28)),
        ("sized", CAREFUL[: CAREFUL.index("def total_salary")]),
    ],
)  # fmt: skip
def test_a_label_falls_alone(label: str, text: str) -> None:
    assert changed(text) == {label}


def test_a_file_of_more_than_a_thousand_lines_is_too_large() -> None:
    assert not labels("x = 1\n" * 19, "python", "x.py").sized
    assert labels("x = 1\n\n" * 1000, "python", "x.py").sized
    assert not labels("x = 1\n" * 1001, "python", "x.py").sized


def test_copied_lines_and_one_letter_names_fall() -> None:
    assert "varied" in changed(CAREFUL + "    values = values + values\n" * 800)
    assert "named" in changed("".join(f"x{i} = a + b * c - d\ny = e\n" for i in range(30)))
    assert labels("x = 1\n", "python", "x.py").named is None
    assert labels("x = 1\n", "python", "x.py").typed is None
    assert labels("int x;\n", "c", "x.c").typed is None


@pytest.mark.parametrize(
    ("path", "is_central"),
    [
        ("src/shop/orders.py", True),
        ("tests/orders.py", False),
        ("src/Tests/orders.py", False),
        ("test_orders.py", False),
        ("orders_test.go", False),
        ("orders.spec.ts", False),
        ("OrdersTest.java", False),
        ("contest.py", True),
        ("attestation/latest.py", True),
        ("db/migrations/0001.py", False),
    ],
)
def test_tests_and_examples_are_told_by_their_paths(path: str, is_central: bool) -> None:  # noqa: FBT001
    assert labels(CAREFUL, "python", path).central is is_central


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "x"),
        ("python", "\n"),
        ("c", "😀" * 1000),
        ("html", "<p>" * 100_000),
        ("css", "a" * 1_000_000),
        ("javascript", "/*" * 100_000),
        ("python", "def f(a: b" * 50_000),
    ],
)
def test_any_text_has_a_score_between_none_and_all(language: str, text: str) -> None:
    assert 0 <= score(text, language, "a/b") <= 1


RECIPE = """
name = "scored"
sources = [{{ directory = "shop", licence = "MIT" }}]
[near_duplicates]
enabled = false
[quality]
{quality}
"""


def build(folder: Path, quality: str) -> dict[str, float | None]:
    """Return the paths and scores of what a build keeps."""
    from fimble.cli import main

    (folder / "shop").mkdir(exist_ok=True)
    (folder / "shop" / "orders.py").write_text(CAREFUL)
    (folder / "shop" / "test_x.py").write_text("def twice(a):\n    return a + a\n")
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(quality=quality))
    assert main(["corpus", "build", str(recipe), "--out", str(folder / "out"), "--jobs", "1"]) == 0
    kept = [
        row
        for path in (folder / "out" / "files").iterdir()
        for row in pq.read_table(path).to_pylist()
    ]
    return {row["path"]: row["quality"] for row in kept}


def test_a_build_writes_scores_and_drops_by_them_only_when_told(
    tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_CACHE_DIR", str(warm_cache))
    monkeypatch.delenv("FIMBLE_BENCHMARKS", raising=False)
    assert build(tmp_path, "") == {"orders.py": None, "test_x.py": None}
    scores = build(tmp_path, "enabled = true")
    assert scores == {"orders.py": 1.0, "test_x.py": pytest.approx(3 / 7)}
    assert build(tmp_path, "enabled = true\nmin_score = 0.5") == {"orders.py": 1.0}
    dropped = [
        row
        for path in (tmp_path / "out" / "dropped").iterdir()
        for row in pq.read_table(path).to_pylist()
    ]
    assert [(row["path"], row["stage"], row["reason"]) for row in dropped] == [
        ("test_x.py", "quality", "low_quality")
    ]


@pytest.mark.parametrize(
    "quality", ["enabled = true\nmin_score = 1.5", "min_score = 0.5", "best = 1"]
)
def test_wrong_rules_are_one_message(tmp_path: Path, quality: str) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE.format(quality=quality))
    with pytest.raises(ConfigError, match=r"quality"):
        read_recipe(tmp_path / "recipe.toml")


def test_no_recipe_scores_unless_it_says_so() -> None:
    assert not QualityRules().enabled
    assert "quality" in asdict(Recipe(name="x", sources=read_first())), (
        "part of what decides a corpus"
    )


def read_first() -> tuple:
    from training.corpus.source import Source

    return (Source(directory="x", licence="MIT"),)
