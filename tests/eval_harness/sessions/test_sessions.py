"""Simulated people type held-out code in a real editor session with a tiny model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fimble.cli import main
from tests.stand_ins.tiny_model import tiny_model_folder

if TYPE_CHECKING:
    from pathlib import Path

BODY = "    product = width * height\n    return product + {}\n\n\n"
TEXT = '"""Areas. 📐"""\n\n\n' + "".join(
    f"def area_{n}(width, height):\n{BODY.format(n)}" for n in range(12)
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    columns = ("project", "language", "path", "split", "text")
    rows = [
        ("held", "python", "areas.py", "validation", TEXT),
        ("held", "python", "dos.py", "validation", TEXT.replace("\n", "\r\n")),
        ("held", "python", "empty.py", "validation", ""),
        ("learnt", "python", "other.py", "train", TEXT),
    ]
    folder = tmp_path / "corpus"
    (folder / "files").mkdir(parents=True)
    table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows])
    pq.write_table(table, folder / "files" / "part-0000.parquet")
    return folder


def write_recipe(folder: Path, corpus: Path, model: Path, *lines: str) -> Path:
    path = folder / "sessions.toml"
    pace = "pace = { fastest_key_ms = 2, slowest_key_ms = 4, reading_ms = 20 }"
    own = (f'corpus = "{corpus}"', f'model = "{model}"', "users = 2", "visits = 1", pace)
    path.write_text("\n".join((*own, *lines)), encoding="utf-8")
    return path


def sessions(recipe: Path, out: Path) -> int:
    return main(["eval", "sessions", str(recipe), "--out", str(out), "--json"])


@pytest.mark.e2e
@pytest.mark.slow
def test_what_people_type_and_see_is_recorded_apart_from_ones_own(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model_folder()
    recipe, out = write_recipe(tmp_path, corpus, model), tmp_path / "out"
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path / "own"))
    assert sessions(recipe, out) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["num_keys"] > 50
    assert record["num_answers"] > 0
    assert not (tmp_path / "own").exists()

    monkeypatch.setenv("FIMBLE_DATA_DIR", str(out / "data"))
    query = "select count(distinct user_key) as users, count(*) > 9 as any from opportunities"
    assert main(["telemetry", "sql", query, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"users": 2, "any": True}]

    assert sessions(recipe, out) == 0  # finished: left alone
    assert json.loads(capsys.readouterr().out) == record
    assert sessions(write_recipe(tmp_path, corpus, model, "seed = 1"), out) == 2
    assert "has sessions of another recipe" in capsys.readouterr().err


def test_what_cannot_be_typed_is_one_message(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, corpus, tmp_path, 'languages = ["go"]')
    assert sessions(recipe, tmp_path / "out") == 2
    assert "has no held-out file to type in of go" in capsys.readouterr().err
    recipe = write_recipe(tmp_path, corpus, tmp_path, "at_once = 0")
    assert sessions(recipe, tmp_path / "out") == 2
    assert "at_once is 0; it must be above 0" in capsys.readouterr().err
