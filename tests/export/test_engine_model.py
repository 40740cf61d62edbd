from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fimble.errors import ModelFolderError
from fimble.fim import FimOrder
from fimble.manifest import load_manifest
from tests.stand_ins.tiny_model import llama_config, tiny_checkpoint, tiny_model_folder
from training.export.engine_model import (
    Origin,
    origin_of,
    quantised_weights,
    read_origin,
    write_engine_model,
)
from training.export.quantise import Quantisation, Quantised
from training.export.weights import load_weights

if TYPE_CHECKING:
    from pathlib import Path


def test_manifest_describes_the_folder(tmp_path: Path) -> None:
    origin = Origin(
        licence="MIT", parent="abc", recipe_sha256="r", data_card_sha256="d", scores={"x": 0.5}
    )
    card = tmp_path / "README.md"
    card.write_bytes("# Größe 😀\r\n".encode())
    folder = tmp_path / "small"
    weights = load_weights(tiny_checkpoint())
    written = write_engine_model(weights, folder, origin=origin, documents=(card,))
    manifest = load_manifest(folder)
    assert manifest == written
    assert manifest.name == "small"
    assert manifest.quantisation == "int8-block128"
    assert manifest.context_tokens == 2048
    assert (manifest.fim_format, manifest.fim_order) == ("fimble", FimOrder.SPM)
    assert origin_of(manifest) == origin
    assert set(manifest.files) == {"model.onnx", "tokenizer.json", "README.md"}
    assert (folder / "README.md").read_bytes() == card.read_bytes()
    architecture, config = manifest.architecture, llama_config()
    for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "head_dim"):
        assert getattr(architecture, name) == getattr(config, name)
    assert (architecture.rope_theta, architecture.rms_norm_eps) == (10000.0, 1e-5)
    assert architecture.tie_word_embeddings


def test_a_released_model_is_written_again_bit_by_bit(tmp_path: Path) -> None:
    released = tiny_model_folder()
    write_engine_model(load_weights(released), tmp_path / "again")
    for name in ("model.onnx", "tokenizer.json"):
        assert (tmp_path / "again" / name).read_bytes() == (released / name).read_bytes()


def test_four_bits_leave_eight_to_the_embedding() -> None:
    weights = quantised_weights(load_weights(tiny_checkpoint()), Quantisation.INT4)
    bits = {n: t.bits for n, t in weights.tensors.items() if isinstance(t, Quantised)}
    assert bits.pop("model.embed_tokens.weight") == 8
    assert len(bits) == 14
    assert set(bits.values()) == {4}
    norms = [t for t in weights.tensors.values() if isinstance(t, np.ndarray)]
    assert [norm.shape for norm in norms] == [(128,)] * 5


def test_folder_sizes_follow_the_bits() -> None:
    sizes = {each: (tiny_model_folder(each) / "model.onnx").stat().st_size for each in Quantisation}
    # 458,752 weights, of which 65,536 are the embedding; 524,288 bytes are the rotary tables.
    tables = 524_288
    assert sizes[Quantisation.NONE] - tables == pytest.approx(4 * 459_392, abs=8_000)
    assert sizes[Quantisation.INT8] - tables == pytest.approx(458_752 * 33 / 32, abs=16_000)
    assert sizes[Quantisation.INT4] - tables == pytest.approx(
        65_536 * 33 / 32 + 393_216 * 17 / 32, abs=16_000
    )


def test_origin_comes_from_the_checkpoint(tmp_path: Path) -> None:
    assert read_origin(tmp_path) == Origin()
    stated = {"licence": "MIT", "fim_order": "psm", "scores": {"bits_per_byte/python": 0.75}}
    (tmp_path / "origin.json").write_text(json.dumps(stated))
    assert read_origin(tmp_path) == Origin(
        licence="MIT", fim_order=FimOrder.PSM, scores={"bits_per_byte/python": 0.75}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "holds list; it must be an object"),
        ('{"license": "MIT"}', "unknown key license"),
        ('{"fim_order": "xyz"}', "allowed are psm, spm"),
    ],
)
def test_a_broken_origin_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "origin.json").write_text(text)
    with pytest.raises(ModelFolderError, match=message):
        read_origin(tmp_path)
