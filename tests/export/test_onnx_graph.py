from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from tests.export.graph_run import GraphRun
from tests.stand_ins.tiny_model import (
    TINY_VOCABULARY,
    llama_config,
    tiny_checkpoint,
    write_checkpoint,
)
from training.export.engine_model import quantised_weights
from training.export.onnx_graph import build_graph, rotary_tables
from training.export.onnx_weights import read_tensors
from training.export.quantise import Quantisation, as_floats
from training.export.weights import Weights, load_weights

if TYPE_CHECKING:
    from pathlib import Path

IDS = np.random.default_rng(0).integers(0, TINY_VOCABULARY, 70).tolist()
SHAPES = {
    "tied": {},
    "untied": {"is_tied": False},
    "odd sizes": {"hidden_size": 96, "intermediate_size": 200, "heads": (6, 2), "head_dim": 32},
    "one layer, as many heads": {"num_hidden_layers": 1, "heads": (2, 2)},
}


def transformers_logits(weights: Weights, checkpoint: Path, ids: list[int]) -> np.ndarray:
    """What transformers computes with exactly these weights, (T, V)."""
    model = LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    state = {name: torch.tensor(as_floats(each)) for name, each in weights.tensors.items()}
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert missing in ([], ["lm_head.weight"])
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def written(folder: Path, weights: Weights, *, all_logits: bool = False) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(build_graph(weights, all_logits=all_logits).SerializeToString())
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_floating_point_graph_computes_what_transformers_does(shape: str, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, config=llama_config(**SHAPES[shape]))
    weights = load_weights(checkpoint)
    expected = transformers_logits(weights, checkpoint, IDS)
    run = GraphRun(written(tmp_path, weights, all_logits=True))
    np.testing.assert_allclose(run.logits(IDS, past_tokens=0), expected, atol=1e-3)
    last = GraphRun(written(tmp_path, weights))
    np.testing.assert_allclose(last.logits(IDS, past_tokens=0), expected[-1:], atol=1e-3)


@pytest.mark.parametrize("quantisation", [Quantisation.INT8, Quantisation.INT4])
@pytest.mark.parametrize("shape", SHAPES)
def test_quantised_graph_computes_with_the_dequantised_weights(
    shape: str, quantisation: Quantisation, tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(tmp_path, config=llama_config(**SHAPES[shape]))
    weights = quantised_weights(load_weights(checkpoint), quantisation)
    expected = transformers_logits(weights, checkpoint, IDS)
    path = written(tmp_path, weights, all_logits=True)
    noise = GraphRun(path).logits(IDS, past_tokens=0) - expected
    # Activations are rounded to 8 bits before each product.
    assert noise.std() < 0.05 * expected.std()
    model = onnx.load(path)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 1  # activations in float32: only the weights are quantised
    onnx.save(model, path)
    exact = GraphRun(path).logits(IDS, past_tokens=0)
    np.testing.assert_allclose(exact, expected, atol=1e-3)


def test_inputs_and_outputs_are_those_of_the_contract(tmp_path: Path) -> None:
    session = ort.InferenceSession(str(written(tmp_path, load_weights(tiny_checkpoint()))))
    caches = ["0.key", "0.value", "1.key", "1.value"]
    cache = ("tensor(float)", [1, 1, "capacity", 64])
    assert {each.name: (each.type, each.shape) for each in session.get_inputs()} == {
        "input_ids": ("tensor(int64)", [1, "new"]),
        "attention_mask": ("tensor(int64)", [1, "total"]),
        **{f"past_key_values.{name}": cache for name in caches},
    }
    assert {each.name: (each.type, each.shape) for each in session.get_outputs()} == {
        "logits": ("tensor(float)", [1, "last", TINY_VOCABULARY]),
        **{f"present.{name}": cache for name in caches},
    }


@pytest.mark.parametrize("quantisation", list(Quantisation))
def test_a_shorter_mask_rewinds(quantisation: Quantisation, tmp_path: Path) -> None:
    weights = quantised_weights(load_weights(tiny_checkpoint()), quantisation)
    path = written(tmp_path, weights)
    fresh, used = GraphRun(path), GraphRun(path)
    used.logits(IDS[::-1], past_tokens=0)  # leaves 70 keys and values of another text
    for start, stop in ((0, 20), (20, 21), (21, 60)):
        np.testing.assert_array_equal(
            used.logits(IDS[start:stop], past_tokens=start),
            fresh.logits(IDS[start:stop], past_tokens=start),
        )
    used.logits([7, 8, 9], past_tokens=30)
    np.testing.assert_array_equal(
        used.logits(IDS[30:60], past_tokens=30), fresh.logits(IDS[30:60], past_tokens=30)
    )


def test_what_lies_beyond_the_mask_is_never_read(tmp_path: Path) -> None:
    path = written(tmp_path, load_weights(tiny_checkpoint()))
    clean, dirty = GraphRun(path), GraphRun(path)
    for value in dirty.buffers.values():
        value.update_inplace(np.full(value.shape(), np.nan, np.float32))
    expected = clean.logits(IDS[:40], past_tokens=0)
    np.testing.assert_array_equal(dirty.logits(IDS[:40], past_tokens=0), expected)


def test_chunks_and_whole_prompt_give_the_same_logits(tmp_path: Path) -> None:
    path = written(tmp_path, load_weights(tiny_checkpoint()))
    whole = GraphRun(path).logits(IDS, past_tokens=0)
    run = GraphRun(path)
    for start in range(0, len(IDS), 16):
        chunked = run.logits(IDS[start : start + 16], past_tokens=start)
    np.testing.assert_allclose(chunked, whole, atol=1e-4)


def test_a_full_buffer_is_used_to_its_last_place(tmp_path: Path) -> None:
    path = written(tmp_path, load_weights(tiny_checkpoint()))
    tight = GraphRun(path, capacity_tokens=len(IDS))
    tight.logits(IDS[:-1], past_tokens=0)
    roomy = GraphRun(path)
    roomy.logits(IDS[:-1], past_tokens=0)
    np.testing.assert_array_equal(
        tight.logits(IDS[-1:], past_tokens=len(IDS) - 1),
        roomy.logits(IDS[-1:], past_tokens=len(IDS) - 1),
    )


@pytest.mark.parametrize("quantisation", list(Quantisation))
def test_a_tied_embedding_is_stored_once(quantisation: Quantisation) -> None:
    weights = quantised_weights(load_weights(tiny_checkpoint()), quantisation)
    graph = build_graph(weights).graph
    with_rows = [t for t in graph.initializer if t.dims and t.dims[0] == TINY_VOCABULARY]
    names = ["model.embed_tokens.weight"]
    if quantisation is not Quantisation.NONE:
        names.append("model.embed_tokens.weight.scales")
    assert [tensor.name for tensor in with_rows] == names


@pytest.mark.parametrize("quantisation", list(Quantisation))
@pytest.mark.parametrize("shape", SHAPES)
def test_tensors_are_read_back_as_they_were_written(
    shape: str, quantisation: Quantisation, tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(tmp_path, config=llama_config(**SHAPES[shape]))
    weights = quantised_weights(load_weights(checkpoint), quantisation)
    back = read_tensors(written(tmp_path, weights), weights.architecture)
    assert set(back) == set(weights.tensors)
    for name, tensor in weights.tensors.items():
        np.testing.assert_array_equal(as_floats(back[name]), as_floats(tensor))
        assert type(back[name]) is type(tensor)


def test_the_same_weights_give_the_same_bytes() -> None:
    first, second = (build_graph(load_weights(tiny_checkpoint())) for _ in range(2))
    assert first.SerializeToString() == second.SerializeToString()


def test_rotary_tables_are_those_of_transformers() -> None:
    config = llama_config()
    config.rope_parameters["rope_theta"] = 500000.0
    positions = torch.arange(2048)[None]
    cosines, sines = LlamaRotaryEmbedding(config)(torch.zeros(1), positions)
    architecture = dataclasses.replace(
        load_weights(tiny_checkpoint()).architecture, rope_theta=500000.0
    )
    ours = rotary_tables(architecture, 2048)
    # transformers computes angles in float32, which is 1e-4 off at position 2047.
    np.testing.assert_allclose(ours[0], cosines[0, :, :32].numpy(), atol=2e-4)
    np.testing.assert_allclose(ours[1], sines[0, :, :32].numpy(), atol=2e-4)
