"""`fimble corpus build` as a user types it: exit codes, one message, one JSON document."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from training.corpus.card import card_from_json
from training.corpus.pipeline import code_digest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def fimble(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fimble", "corpus", "build", *arguments]
    environment = {**os.environ, "FIMBLE_CACHE_DIR": str(cache)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.e2e
@pytest.mark.slow
def test_a_folder_becomes_a_corpus_and_its_card_is_printed(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("def f(x: int) -> int:\n    return x + 1\n")
    (tmp_path / "code" / "notes.md").write_text("# notes\n")
    out = tmp_path / "out"
    arguments = ["--source", str(tmp_path / "code"), "--licence", "MIT", "--out", str(out)]

    done = fimble(*arguments, "--json", cache=tmp_path / "cache")
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    assert printed == json.loads((out / "card.json").read_text())
    card = card_from_json(printed, where=out / "card.json")
    assert (card.read.files, card.kept.files, card.dropped.files) == (2, 1, 1)
    assert str(tmp_path) not in done.stdout

    shown = fimble(*arguments, cache=tmp_path / "cache")
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
        (["--source", ".", "--out", "o"], "fimble: --source needs --licence"),
        (["--source", "no-such", "--licence", "MIT", "--out", "o"], "(no_such_directory)"),
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


def module_of(path: Path, text: str) -> ModuleType:
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("planted", path)
    assert spec is not None
    return importlib.util.module_from_spec(spec)


def test_better_words_in_the_code_repeat_no_stage_and_another_rule_does(tmp_path: Path) -> None:
    path = tmp_path / "rules.py"
    first = code_digest([module_of(path, '"""Rules."""\nLIMIT = 10\n')])
    words = code_digest([module_of(path, '"""Better words."""\n\n# Why.\nLIMIT  =  10\n')])
    other = code_digest([module_of(path, '"""Rules."""\nLIMIT = 11\n')])
    assert first == words != other
