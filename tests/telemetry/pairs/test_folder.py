"""`fimble telemetry pairs`: from a real session to files that trl's trainers take."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow.json
import pytest

from fimble.cli import main
from fimble.events import Outcome
from fimble.preferences import Label, read_examples
from tests.stand_ins.lsp_client import start_client
from tests.stand_ins.tgi_app import TgiScript, tgi_server
from tests.telemetry.pairs.conftest import Case, Consenting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = [f"{kind}/{part}.jsonl" for kind in ("labels", "pairs") for part in ("held_out", "train")]
LONG = "".join(f"name_{n} = 'é😀'\r\n" for n in range(400)) + "def add(a, b):\r\n"
NO_MODELS = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `fimble telemetry pairs` in this process, with folders of its own."""
    for name in ("DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"FIMBLE_{name}_DIR", os.fspath(tmp_path / name.lower()))
    monkeypatch.setenv("FIMBLE_CONFIG", os.fspath(tmp_path / "fimble.toml"))
    (tmp_path / "fimble.toml").write_text('[telemetry]\nlevel = "content"\n')
    return lambda *arguments: main(["telemetry", "pairs", *map(os.fspath, arguments)])


@pytest.fixture
def recorded(pairs: Callable[..., int], consenting: Consenting, tmp_path: Path) -> Path:
    """Leave two users' sessions where the command looks; return the folder for its output."""
    kept = Case(name="a", text="é😀\r", kept_rate=0.9, looks={600: "b"})
    refused = replace(kept, name="b", text="other", outcome=Outcome.REJECTED, looks={})
    consenting.record(kept, refused, user="u1", session_id="s1")
    consenting.record(replace(kept, name="c", text="x"), user="u2", session_id="s2")
    data = tmp_path / "data"
    data.mkdir()
    consenting.store.spool.rename(data / "spool")
    consenting.content.rename(data / "content")
    for path in (data / "content").iterdir():  # they were recorded in a time long past, or to come
        text = path.read_text()
        expires_ms = json.loads(text.splitlines()[0])["expires_ms"]
        path.write_text(text.replace(str(expires_ms), "9000000000000"))
    assert pairs is not None
    return tmp_path / "out"


async def accept_one(environment: dict[str, str], url: str, text: str) -> str:
    """Let an editor ask at the end of a document and accept; return what was suggested."""
    client = await start_client(environment)
    try:
        options = {
            "engine": {"tgi_url": url, "failover": False},
            "completion": {"debounce_ms": 0, "shown_after_ms": 50, "deadline_ms": 0},
        }
        await client.initialize(options=options)
        client.open(text)
        place = (text.count("\n"), 0)
        items = await client.items(place)
        assert items
        await asyncio.sleep(2.0)  # to be read; less than 750 ms would not count
        client.type(place, items[0]["insertText"])
        await client.settle()
        await asyncio.sleep(0.3)
        assert await client.close() == 0
    finally:
        await client.kill()
    return items[0]["insertText"]


@pytest.mark.e2e
@pytest.mark.slow
async def test_a_prompt_is_the_one_that_the_server_sent(
    pairs: Callable[..., int], tmp_path: Path
) -> None:
    tokens = ["    return", " a", " +", " b", "\n\n\n", "def"]
    with tgi_server(TgiScript(answer=lambda _: tokens)) as tgi:
        for text in (LONG, "def add(a, b):\n"):
            await accept_one(dict(os.environ), tgi.url, text)
    assert pairs("--out", tmp_path / "out", "--held-out", "0") == 0
    lines = (tmp_path / "out" / "labels" / "train.jsonl").read_text().splitlines()
    labels = [json.loads(line) for line in lines]
    assert [each["completion"] for each in labels] == ["    return a + b"] * 2
    assert {each["label"] for each in labels} == {True}
    assert {each["is_prompt_as_sent"] for each in labels} == {True}
    # It also asks ahead, for what follows an accepted text.
    asked = [prompt for prompt in tgi.prompts if prompt.endswith("(a, b):\n<|fim_middle|>")]
    assert {each["prompt"] for each in labels} == set(asked)
    assert len({each["prompt"] for each in labels}) == 2
    assert {each["path"] for each in labels} == {"pkg/module.py"}
    assert list(read_examples(Label, tmp_path / "out" / "labels" / "train.jsonl"))
    assert max(len(each["prefix"]) for each in labels) < len(LONG) / 2


def test_files_and_manifest_say_the_same_every_time(
    pairs: Callable[..., int], recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pairs("--out", recorded, "--held-out", "0.5", "--json") == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest == json.loads((recorded / "manifest.json").read_text())
    assert sorted(manifest["files"]) == FILES
    for name, entry in manifest["files"].items():
        data = (recorded / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert (entry["size_bytes"], entry["num_examples"]) == (len(data), data.count(b"\n"))
    assert manifest["num_suggestions"] == 3
    assert manifest["left_out"]["pairs"] == {"not_looked_at": 1}
    assert manifest["models"]["labels"] == {"0123456789abcdef": 3}
    before = {name: (recorded / name).read_bytes() for name in (*FILES, "manifest.json")}
    assert pairs("--out", recorded, "--held-out", "0.5") == 0
    assert {name: (recorded / name).read_bytes() for name in before} == before
    assert [path.name for path in recorded.parent.iterdir() if path.name.startswith(".")] == []


def test_trainers_find_their_columns(
    pairs: Callable[..., int],
    recorded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert pairs("--out", recorded, "--held-out", "0") == 0
    table = pyarrow.json.read_json(recorded / "pairs" / "train.jsonl")
    assert table.column_names[:3] == ["prompt", "chosen", "rejected"]
    assert table["rejected"].to_pylist() == ["é😀\r", "x"]
    for name, value in NO_MODELS.items():
        monkeypatch.setenv(name, value)
    datasets = pytest.importorskip("datasets")
    rows = {
        kind: datasets.load_dataset(
            "json",
            data_files=os.fspath(recorded / kind / "train.jsonl"),
            split="train",
            cache_dir=os.fspath(tmp_path / "cache"),
        )
        for kind in ("pairs", "labels")
    }
    assert rows["pairs"]["chosen"][:] == ["b", "b"]
    assert rows["labels"]["label"][:] == [True, False, True]
    assert set(rows["labels"].column_names) >= {"prompt", "completion", "label", "weight"}
    assert rows["labels"]["prompt"][0] == rows["pairs"]["prompt"][0]


def test_a_folder_of_somebody_else_is_not_touched(
    pairs: Callable[..., int], recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.mkdir()
    (recorded / "manifest.json").write_text('{"kind": "other"}')
    assert pairs("--out", recorded) == 2
    assert "holds no examples" in capsys.readouterr().err
    assert pairs("--out", recorded / "new", "--content", recorded / "no") == 2
    assert "--content must name folders" in capsys.readouterr().err
    assert [path.name for path in recorded.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("wrong", [["--held-out", "1.5"], ["--per-user", "-1"]])
def test_wrong_options_are_refused(
    pairs: Callable[..., int], wrong: list[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        pairs("--out", tmp_path / "out", *wrong)
    assert caught.value.code == 2
