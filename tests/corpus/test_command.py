"""`fimble corpus build` as a user types it: exit codes, one message, one JSON document."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from training.corpus.card import card_from_json
from training.corpus.digests import _plain_tree, _reachable, code_digest

if TYPE_CHECKING:
    from pathlib import Path


def fimble(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fimble", "corpus", "build", *arguments]
    environment = {**os.environ, "FIMBLE_CACHE_DIR": str(cache)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.e2e
@pytest.mark.slow
def test_a_folder_becomes_a_corpus_and_its_card_is_printed(
    tmp_path: Path, warm_cache: Path
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("def f(x: int) -> int:\n    return x + 1\n")
    (tmp_path / "code" / "notes.md").write_text("# notes\n")
    out = tmp_path / "out"
    arguments = ["--source", str(tmp_path / "code"), "--licence", "MIT", "--out", str(out)]

    done = fimble(*arguments, "--json", cache=warm_cache)
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    assert printed == json.loads((out / "card.json").read_text())
    card = card_from_json(printed, where=out / "card.json")
    assert (card.read.files, card.kept.files, card.dropped.files) == (2, 1, 1)
    assert str(tmp_path) not in done.stdout

    shown = fimble(*arguments, cache=warm_cache)
    assert shown.stdout == (
        "directory: kept 1 files (0.0 MB) of 2 files (0.0 MB)\n"
        "  python       train 1 files (0.0 MB)\n"
    )


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such.toml", "--out", "o"], "fimble: cannot read no-such.toml"),
        (["--out", "o"], "fimble: give either a recipe or --source DIR"),
        (["recipe.toml", "--licence", "MIT", "--out", "o"], "fimble: --licence goes with --source"),
        (["--source", "no-such", "--out", "o"], "no-such is no folder"),
        (["--source", ".", "--out", "o", "--engine", "abacus"], "invalid choice: 'abacus'"),
        (["--source", ".", "--licence", "MIT", "--out", "o", "--jobs", "0"], "jobs is 0"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = fimble(*arguments, cache=tmp_path / "cache")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def plant_package(folder: Path, name: str, rules: str) -> None:
    """Plant a package whose module `stage` imports `rules`."""
    package = folder / name
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "stage.py").write_text(
        "from typing import TYPE_CHECKING\n"
        f"from {name} import rules\n"
        f"if TYPE_CHECKING:\n    from {name}.unused import Nothing\n",
        encoding="utf-8",
    )
    (package / "rules.py").write_text(rules, encoding="utf-8")
    (package / "unused.py").write_text(rules, encoding="utf-8")


def test_the_code_that_a_stage_imports_decides_and_its_words_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    reached = _reachable("training.corpus.stages")
    assert {"training.corpus.faults", "training.corpus.shingles", "fimble.languages"} <= set(
        reached
    )
    assert "training.corpus.pipeline" not in reached
    words = '"""Better words."""\n\n# Why.\nLIMIT  =  10\n'
    for name, rules in (("one", "LIMIT = 10\n"), ("two", words), ("three", "LIMIT = 11\n")):
        plant_package(tmp_path, f"planted_{name}", rules)
    trees = {
        name: ast.dump(_plain_tree(_reachable(f"planted_{name}.stage")[f"planted_{name}.rules"]))
        for name in ("one", "two", "three")
    }
    assert trees["one"] == trees["two"] != trees["three"]
    assert not any("unused" in module for module in _reachable("planted_one.stage"))
    assert code_digest("planted_one.stage") != code_digest("planted_three.stage")
