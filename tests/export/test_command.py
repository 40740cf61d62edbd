from __future__ import annotations

import json
from typing import TYPE_CHECKING

import gguf
import pytest

from fimble.cli import main
from fimble.manifest import load_manifest
from tests.export.graph_run import GraphRun
from tests.stand_ins.tiny_model import tiny_checkpoint, tiny_model_folder

if TYPE_CHECKING:
    from pathlib import Path


def export(*words: object) -> int:
    return main(["export", *map(str, words)])


@pytest.mark.parametrize(
    ("word", "quantisation"),
    [(None, "int8-block128"), ("int4", "int4-block128"), ("none", "none")],
)
def test_engine_format_writes_a_model_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str | None, quantisation: str
) -> None:
    out = tmp_path / "deep" / "model"
    chosen = ["--quantisation", word] if word else []
    assert export(tiny_checkpoint(), "--format", "engine", "--out", out, *chosen) == 0
    assert load_manifest(out).quantisation == quantisation
    report = json.loads(capsys.readouterr().out)
    assert (report["format"], report["out"]) == ("engine", str(out))
    assert report["parameters"] == 459_392
    assert set(report["bytes"]) == {"manifest.json", "model.onnx", "tokenizer.json"}
    assert GraphRun(out / "model.onnx").logits([1, 2, 3], past_tokens=0).shape == (1, 512)


def test_all_logits_gives_a_row_for_each_token(tmp_path: Path) -> None:
    out = tmp_path / "model"
    words = ("--format", "engine", "--out", out, "--all-logits")
    assert export(tiny_model_folder(), *words) == 0
    assert GraphRun(out / "model.onnx").logits([1, 2, 3], past_tokens=0).shape == (3, 512)


def test_hf_format_writes_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "hf"
    assert export(tiny_model_folder(), "--format", "hf", "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


@pytest.mark.parametrize(("word", "kind"), [(None, "Q8_0"), ("q8_0", "Q8_0"), ("f16", "F16")])
def test_gguf_format_writes_a_file(tmp_path: Path, word: str | None, kind: str) -> None:
    out = tmp_path / "deep" / "model.gguf"
    chosen = ["--quantisation", word] if word else []
    assert export(tiny_model_folder(), "--format", "gguf", "--out", out, *chosen) == 0
    kinds = {tensor.tensor_type.name for tensor in gguf.GGUFReader(out).tensors}
    assert kinds == {"F32", kind}
    assert [path.name for path in out.parent.iterdir()] == ["model.gguf"]


def test_documents_and_origin_of_a_checkpoint_reach_the_release(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    assert export(tiny_checkpoint(), "--format", "hf", "--out", checkpoint) == 0
    (checkpoint / "README.md").write_text("# Card\n")
    (checkpoint / "ATTRIBUTION.md").write_text("# Sources\n")
    (checkpoint / "origin.json").write_text('{"recipe_sha256": "abc"}')
    out = tmp_path / "model"
    assert export(checkpoint, "--format", "engine", "--out", out) == 0
    assert load_manifest(out).recipe_sha256 == "abc"
    assert (out / "README.md").read_text() == "# Card\n"
    assert (out / "ATTRIBUTION.md").read_text() == "# Sources\n"
    assert {"README.md", "ATTRIBUTION.md"} < set(load_manifest(out).files)
    again = tmp_path / "again"
    assert export(out, "--format", "engine", "--out", again) == 0
    assert load_manifest(again).digest == load_manifest(out).digest
    assert load_manifest(again).recipe_sha256 == "abc"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "hf", "--quantisation", "int8"), "--format hf allows none to be chosen"),
        (("--format", "engine", "--quantisation", "f16"), "engine allows int8, int4, none"),
        (("--format", "gguf", "--quantisation", "int8"), "gguf allows q8_0, f16"),
        (("--format", "hf", "--all-logits"), "--all-logits belongs to --format engine"),
    ],
)
def test_options_that_do_not_fit_the_format_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert export(tiny_model_folder(), *words, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_written_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model_folder()
    file = tmp_path / "file"
    file.write_text("")
    for words, message in (
        (("--format", "gguf", "--out", tmp_path), "writes one file"),
        (("--format", "hf", "--out", file), "writes a folder"),
        (("--format", "hf", "--out", model), "the folder that is read"),
        (("--format", "engine", "--out", file / "below"), "cannot write"),
        (("--format", "gguf", "--out", file / "below.gguf"), "cannot write"),
    ):
        assert export(model, *words) == 2
        errors = capsys.readouterr().err
        assert message in errors
        assert "Traceback" not in errors


def test_a_model_that_does_not_exist_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path / "nowhere", "--format", "hf", "--out", tmp_path / "out") == 2
    assert "nowhere" in capsys.readouterr().err
