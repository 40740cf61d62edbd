from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, save
from safetensors.torch import load_file, save_file

from fimble.errors import ModelFolderError
from fimble.manifest import file_entries
from tests.stand_ins.tiny_model import tiny_checkpoint, tiny_model_folder
from training.export.quantise import as_floats
from training.export.weights import expected_shapes, load_weights

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(tiny_checkpoint(), tmp_path / "checkpoint")


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(tiny_model_folder(), tmp_path / "released")


def change(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, **values}))


def test_a_checkpoint_gives_every_tensor_of_its_shape(checkpoint: Path) -> None:
    weights = load_weights(checkpoint)
    shapes = {name: tensor.shape for name, tensor in weights.tensors.items()}
    assert shapes == expected_shapes(weights.architecture)
    assert len(shapes) == 2 + 9 * 2
    stored = load_file(checkpoint / "model.safetensors")
    for name, tensor in weights.tensors.items():
        np.testing.assert_array_equal(as_floats(tensor), stored[name].numpy())


def test_shards_and_bfloat16_are_read(checkpoint: Path) -> None:
    whole = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    names = sorted(whole)
    for number, part in enumerate((names[:9], names[9:])):
        tensors = {name: whole[name].to(torch.bfloat16) for name in part}
        save_file(tensors, checkpoint / f"model-0000{number}-of-00002.safetensors")
    weights = load_weights(checkpoint)
    for name, tensor in weights.tensors.items():
        expected = whole[name].to(torch.bfloat16).float().numpy()
        np.testing.assert_array_equal(as_floats(tensor), expected)


def test_the_spelling_of_transformers_4_is_read(checkpoint: Path) -> None:
    change(checkpoint, "config.json", rope_parameters=None, rope_theta=500000.0, head_dim=None)
    architecture = load_weights(checkpoint).architecture
    assert architecture.rope_theta == 500000.0
    assert architecture.head_dim == 64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "qwen2"}, "model_type is 'qwen2'; the formats hold 'llama' only"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope_type is 'llama3'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "rope_type is 'linear'"),
        ({"hidden_size": "128"}, "hidden_size is '128'"),
        ({"num_hidden_layers": 3}, "lacks 9 tensors, the first is model.layers.2"),
        ({"num_hidden_layers": 1}, "tensors that no Llama model has: model.layers.1"),
        ({"intermediate_size": 256}, r"gate_proj.weight has shape \(384, 128\)"),
        ({"max_position_embeddings": None}, "max_position_embeddings is None"),
        ({"tie_word_embeddings": False}, "the first is lm_head.weight"),
        ({"vocab_size": None}, "vocab_size is None"),
    ],
)
def test_a_model_that_no_format_holds_is_refused(
    checkpoint: Path, values: dict[str, object], message: str
) -> None:
    change(checkpoint, "config.json", **values)
    with pytest.raises(ModelFolderError, match=message):
        load_weights(checkpoint)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "config.json is not valid JSON"),
        ("config.json", b"\xff\xfe", "config.json is not valid JSON"),
        ("config.json", b"[]", "holds list; it must be an object"),
        ("config.json", None, "holds neither manifest.json .* nor config.json"),
        ("model.safetensors", b"garbage", "is not a readable safetensors file"),
        ("model.safetensors", b"", "is not a readable safetensors file"),
        ("model.safetensors", None, r"holds no \*.safetensors"),
        ("tokenizer.json", b"{}", "cannot read the tokenizer"),
        ("tokenizer.json", None, "cannot read the tokenizer"),
    ],
)
def test_a_broken_checkpoint_is_refused(
    checkpoint: Path, name: str, content: bytes | None, message: str
) -> None:
    (checkpoint / name).unlink()
    if content is not None:
        (checkpoint / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=message):
        load_weights(checkpoint)


def test_a_vocabulary_larger_than_the_model_is_refused(checkpoint: Path) -> None:
    table = json.loads((checkpoint / "tokenizer.json").read_text())
    table["added_tokens"].append({**table["added_tokens"][0], "id": 512, "content": "<|new|>"})
    (checkpoint / "tokenizer.json").write_text(json.dumps(table))
    with pytest.raises(ModelFolderError, match="holds 513 tokens; the model has 512"):
        load_weights(checkpoint)


def test_a_truncated_model_is_refused(released: Path) -> None:
    data = (released / "model.onnx").read_bytes()
    (released / "model.onnx").write_bytes(data[:-1])
    with pytest.raises(ModelFolderError, match="damaged or incomplete"):
        load_weights(released)


@pytest.mark.parametrize("content", [b"\x00garbage\xff" * 50, None])
def test_a_graph_that_is_not_ours_is_refused(released: Path, content: bytes | None) -> None:
    if content is None:
        graph = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "foreign",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        )
        save(helper.make_model(graph), released / "model.onnx")
    else:
        (released / "model.onnx").write_bytes(content)
    entries = file_entries(released, ("model.onnx", "tokenizer.json"))
    change(
        released,
        "manifest.json",
        files={n: {"sha256": e.sha256, "size_bytes": e.size_bytes} for n, e in entries.items()},
    )
    message = "was not written by" if content is None else "is not a readable ONNX file"
    with pytest.raises(ModelFolderError, match=message):
        load_weights(released)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"there is no model folder .*nowhere"):
        load_weights(tmp_path / "nowhere")
