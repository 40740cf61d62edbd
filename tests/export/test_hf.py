from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from fimble.fim import SPECIAL_TOKENS
from tests.stand_ins.tiny_model import (
    llama_config,
    tiny_checkpoint,
    tiny_model_folder,
    write_checkpoint,
)
from training.export.engine_model import write_engine_model
from training.export.hf import write_hf_folder
from training.export.quantise import Quantisation, as_floats
from training.export.weights import load_weights

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a released model."""
    folder = tmp_path_factory.mktemp("hf")
    write_hf_folder(load_weights(tiny_model_folder()), folder)
    return folder


def read(folder: Path, name: str) -> dict[str, object]:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_small_files_are_spelled_for_transformers_4_and_5(folder: Path) -> None:
    config = read(folder, "config.json")
    assert config["rope_theta"] == 10000.0
    assert config["rope_parameters"] == {"rope_theta": 10000.0, "rope_type": "default"}
    assert (config["torch_dtype"], config["dtype"]) == ("float32", "float32")
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (None, 0, 4)
    tokenizer = read(folder, "tokenizer_config.json")
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (tokenizer["eos_token"], tokenizer["pad_token"]) == ("<|endoftext|>", "<|fim_pad|>")
    assert (tokenizer["bos_token"], tokenizer["add_bos_token"]) == (None, False)
    assert tokenizer["clean_up_tokenization_spaces"] is False


def test_generation_ends_at_the_end_token_and_at_sentinels_but_padding_is_no_end(
    folder: Path,
) -> None:
    generation = read(folder, "generation_config.json")
    names = [SPECIAL_TOKENS[token] for token in generation["eos_token_id"]]
    assert names == [
        "<|endoftext|>",
        "<|fim_prefix|>",
        "<|fim_middle|>",
        "<|fim_suffix|>",
        "<|repo_name|>",
        "<|file_sep|>",
    ]
    assert SPECIAL_TOKENS[generation["pad_token_id"]] == "<|fim_pad|>"


def test_transformers_loads_shape_and_vocabulary(folder: Path) -> None:
    config, original = AutoConfig.from_pretrained(folder), llama_config()
    for name in ("vocab_size", "hidden_size", "intermediate_size", "num_key_value_heads"):
        assert getattr(config, name) == getattr(original, name)
    assert config.rope_parameters == original.rope_parameters
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token) == (0, 4, None)
    assert len(tokenizer) == 512
    assert tokenizer.model_max_length == 2048


@pytest.mark.parametrize("quantisation", [Quantisation.INT8, Quantisation.INT4])
def test_weights_of_a_released_model_are_exact(quantisation: Quantisation, tmp_path: Path) -> None:
    weights = load_weights(tiny_model_folder(quantisation))
    write_hf_folder(weights, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.dtype == torch.float32
    state = model.state_dict()
    assert set(state) == {*weights.tensors, "lm_head.weight"}
    for name, tensor in weights.tensors.items():
        np.testing.assert_array_equal(state[name].numpy(), as_floats(tensor))


def test_a_checkpoint_is_stored_in_bfloat16_with_its_head_if_it_has_one(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", config=llama_config(is_tied=False))
    write_hf_folder(load_weights(checkpoint), tmp_path / "out")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    original = load_file(checkpoint / "model.safetensors")
    assert "lm_head.weight" in stored
    assert set(stored) == set(original)
    for name, tensor in original.items():
        assert torch.equal(stored[name], tensor.to(torch.bfloat16))
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16


def test_the_way_back_gives_the_released_model_bit_by_bit(folder: Path, tmp_path: Path) -> None:
    write_engine_model(load_weights(folder), tmp_path / "back")
    released = tiny_model_folder() / "model.onnx"
    assert (tmp_path / "back" / "model.onnx").read_bytes() == released.read_bytes()


def test_documents_go_along(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_bytes(b"# card\r\n")
    write_hf_folder(load_weights(tiny_checkpoint()), tmp_path / "out", documents=(card,))
    assert (tmp_path / "out" / "README.md").read_bytes() == b"# card\r\n"
