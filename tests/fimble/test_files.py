"""Files that appear whole, model folders that are checked, and where state lives."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fimble import paths
from fimble.errors import ModelFolderError
from fimble.files import sha256_of, write_json, write_whole
from fimble.fim import FimOrder
from fimble.manifest import (
    FORMAT_VERSION,
    Architecture,
    FileEntry,
    Manifest,
    file_entries,
    load_manifest,
    save_manifest,
)

OLD, NEW = b"old\n" * 500_000, b"new\r\n" * 600_000
WRITER = """
import pathlib, sys
from fimble.files import write_whole
path = pathlib.Path(sys.argv[1])
print("ready", flush=True)
while True:
    write_whole(path, b"new\\r\\n" * 600_000)
    write_whole(path, b"old\\n" * 500_000)
"""


def test_a_writer_killed_at_any_time_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, OLD)
    chance = random.Random(1)
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, os.fspath(path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.05))
            writer.send_signal(signal.SIGKILL)
        assert path.read_bytes() in (OLD, NEW)


def test_a_file_is_written_into_folders_that_do_not_exist_yet(tmp_path: Path) -> None:
    path = tmp_path / "a" / "ü 🙂" / "file.json"
    write_json(path, {"b": "🙂\r\n", "a": [1.5, None]})
    assert path.read_text(encoding="utf-8") == (
        '{\n  "b": "🙂\\r\\n",\n  "a": [\n    1.5,\n    null\n  ]\n}\n'
    )
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_a_hash_is_that_of_the_content(tmp_path: Path) -> None:
    """Expected values: FIPS 180-4 examples for SHA-256 of the empty text and of `abc`."""
    path = tmp_path / "file"
    write_whole(path, b"")
    assert sha256_of(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    write_whole(path, b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"weights" * 1000)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    save_manifest(
        tmp_path,
        Manifest(
            name="tiny",
            format_version=FORMAT_VERSION,
            architecture=Architecture(
                vocab_size=16_384,
                hidden_size=8,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=4,
                rope_theta=10_000.0,
                rms_norm_eps=1e-5,
            ),
            context_tokens=128,
            fim_format="fimble",
            fim_order=FimOrder.SPM,
            quantisation="none",
            licence="Apache-2.0",
            files=file_entries(tmp_path, ("model.onnx", "tokenizer.json")),
            scores={"bits_per_byte/python": 1.0},
        ),
    )
    return tmp_path


def test_a_manifest_comes_back_as_it_was_saved(model: Path) -> None:
    manifest = load_manifest(model)
    assert manifest.files["tokenizer.json"] == FileEntry(
        sha256="44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", size_bytes=2
    )
    save_manifest(model, manifest)
    assert load_manifest(model) == manifest
    assert len(manifest.digest) == 16


def test_a_digest_is_the_identity_of_weights_tokenizer_and_format(model: Path) -> None:
    before = load_manifest(model)
    table = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    write_json(model / "manifest.json", table | {"name": "renamed"})
    assert load_manifest(model).digest == before.digest
    (model / "README.md").write_text("# A corrected card\n", encoding="utf-8")
    card = {"README.md": dataclasses.asdict(file_entries(model, ("README.md",))["README.md"])}
    write_json(model / "manifest.json", table | {"files": table["files"] | card})
    assert load_manifest(model).digest == before.digest
    write_json(model / "manifest.json", table | {"fim_order": "psm"})
    assert load_manifest(model).digest != before.digest


def test_a_damaged_or_missing_file_is_found(model: Path) -> None:
    weights = model / "model.onnx"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + b"X")
    with pytest.raises(ModelFolderError, match=r"model\.onnx differs from its manifest"):
        load_manifest(model)
    assert load_manifest(model, verify=False).name == "tiny"
    weights.write_bytes(good[:100])
    with pytest.raises(ModelFolderError, match=r"\(100 bytes, 7000 expected\)"):
        load_manifest(model)
    weights.unlink()
    with pytest.raises(ModelFolderError, match=r"lacks model\.onnx"):
        load_manifest(model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ('{"name": "x"', "is not valid JSON"),
        ("[]", "holds list; it must be an object"),
        ("{}", "missing key architecture, context_tokens"),
        ("\ud800", "is not valid JSON"),
    ],
)
def test_a_broken_manifest_is_refused(model: Path, text: str, message: str) -> None:
    (model / "manifest.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelFolderError, match=message):
        load_manifest(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format_version is 2; this release reads 1"),
        ({"fim_format": "x"}, "fim_format is 'x'; allowed are fimble, qwen"),
        ({"fim_order": "xyz"}, "fim_order is 'xyz'; allowed are psm, spm"),
        ({"files": {"../x": {"sha256": "", "size_bytes": 1}}}, "'../x' leaves the folder"),
        ({"files": {"x": {"sha256": ""}}}, "missing key size_bytes"),
        ({"colour": 1}, "unknown key colour"),
    ],
)
def test_a_manifest_that_says_what_we_do_not_accept_is_refused(
    model: Path, change: dict[str, object], message: str
) -> None:
    path = model / "manifest.json"
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | change)
    with pytest.raises(ModelFolderError, match=message):
        load_manifest(model)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"cannot read .*manifest\.json: No such file"):
        load_manifest(tmp_path)


def test_every_place_can_be_set_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, place in {
        "FIMBLE_DATA_DIR": paths.data_dir,
        "FIMBLE_CACHE_DIR": paths.cache_dir,
        "FIMBLE_STATE_DIR": paths.state_dir,
        "FIMBLE_CONFIG": paths.config_file,
    }.items():
        monkeypatch.delenv(variable, raising=False)
        assert place().is_absolute()
        monkeypatch.setenv(variable, os.fspath(tmp_path / variable))
        assert place() == tmp_path / variable
    assert paths.spool_dir() == tmp_path / "FIMBLE_DATA_DIR" / "spool"
    assert paths.warehouse_dir() == tmp_path / "FIMBLE_DATA_DIR" / "warehouse"


def test_a_model_is_a_folder_or_one_that_the_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paths.model_dir(os.fspath(tmp_path)) == tmp_path.resolve()
    monkeypatch.setenv("FIMBLE_MODEL", os.fspath(tmp_path))
    assert paths.model_dir() == tmp_path.resolve()
    with pytest.raises(ModelFolderError, match="there is no model folder 'no-such-model'"):
        paths.model_dir("no-such-model")
