from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import gguf
import numpy as np
import pytest

from fimble.errors import ModelFolderError
from fimble.fim import SPECIAL_TOKENS
from tests.stand_ins.tiny_model import (
    llama_config,
    tiny_checkpoint,
    tiny_model_folder,
    write_checkpoint,
)
from training.export.gguf import GgufType, gguf_name, write_gguf
from training.export.quantise import Quantisation, as_floats
from training.export.weights import Weights, load_weights
from training.vocabulary.learn import Unit, learn

if TYPE_CHECKING:
    from pathlib import Path


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file in float32, rows first."""
    reader = gguf.GGUFReader(path)
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}


def read_fields(path: Path) -> dict[str, object]:
    return {name: f.contents() for name, f in gguf.GGUFReader(path).fields.items()}


def as_llama_cpp(name: str, tensor: np.ndarray, weights: Weights) -> np.ndarray:
    """The tensor in ggml's order of rows, as llama.cpp's own converter computes it."""
    heads = {
        "q_proj": weights.architecture.num_attention_heads,
        "k_proj": weights.architecture.num_key_value_heads,
    }
    for part, count in heads.items():
        if f".{part}." in name:
            rows = tensor.reshape(count, 2, tensor.shape[0] // count // 2, -1)
            return rows.swapaxes(1, 2).reshape(tensor.shape)
    return tensor


@pytest.mark.parametrize("quantisation", [Quantisation.INT8, Quantisation.INT4])
def test_q8_0_holds_a_released_model_exactly(quantisation: Quantisation, tmp_path: Path) -> None:
    weights = load_weights(tiny_model_folder(quantisation))
    write_gguf(weights, tmp_path / "m.gguf", name="tiny")
    stored = read_tensors(tmp_path / "m.gguf")
    assert set(stored) == {gguf_name(name) for name in weights.tensors}
    for name, tensor in weights.tensors.items():
        expected = as_llama_cpp(name, as_floats(tensor), weights)
        np.testing.assert_array_equal(stored[gguf_name(name)], expected)


def test_f16_holds_a_checkpoint_to_eleven_bits(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(
        tmp_path / "checkpoint", config=llama_config(heads=(4, 2), is_tied=False)
    )
    weights = load_weights(checkpoint)
    write_gguf(weights, tmp_path / "m.gguf", name="tiny", stored=GgufType.F16)
    stored = read_tensors(tmp_path / "m.gguf")
    assert "output.weight" in stored
    for name, tensor in weights.tensors.items():
        expected = as_llama_cpp(name, as_floats(tensor), weights)
        np.testing.assert_allclose(stored[gguf_name(name)], expected, rtol=2**-11, atol=1e-7)


def test_q8_0_of_a_checkpoint_is_as_close_as_ggml_makes_it(tmp_path: Path) -> None:
    weights = load_weights(tiny_checkpoint())
    write_gguf(weights, tmp_path / "m.gguf", name="tiny")
    stored = read_tensors(tmp_path / "m.gguf")
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    for name, tensor in weights.tensors.items():
        expected = as_llama_cpp(name, as_floats(tensor), weights)
        ours = np.abs(stored[gguf_name(name)] - expected).mean()
        if expected.ndim == 1:
            assert ours == 0
            continue
        ggml = gguf.quants.dequantize(gguf.quants.quantize(expected, q8_0), q8_0)
        assert ours <= 1.001 * np.abs(ggml - expected).mean()


def test_rows_that_q8_0_cannot_hold_stay_float16(tmp_path: Path) -> None:
    config = llama_config(intermediate_size=200)
    weights = load_weights(write_checkpoint(tmp_path / "checkpoint", config=config))
    write_gguf(weights, tmp_path / "m.gguf", name="tiny")
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert types["blk.0.ffn_down.weight"] == "F16"
    assert types["blk.0.ffn_up.weight"] == "Q8_0"
    assert types["blk.0.ffn_norm.weight"] == "F32"


def test_fields_say_what_llama_cpp_needs(tmp_path: Path) -> None:
    write_gguf(load_weights(tiny_model_folder()), tmp_path / "m.gguf", name="tiny größe")
    fields = read_fields(tmp_path / "m.gguf")
    expected = {
        "general.architecture": "llama",
        "general.name": "tiny größe",
        "general.license": "Apache-2.0",
        "general.file_type": 7,
        "llama.context_length": 2048,
        "llama.embedding_length": 128,
        "llama.block_count": 2,
        "llama.feed_forward_length": 384,
        "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 1,
        "llama.attention.key_length": 64,
        "llama.attention.value_length": 64,
        "llama.rope.dimension_count": 64,
        "llama.rope.freq_base": 10000.0,
        "llama.vocab_size": 512,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.eot_token_id": 0,
        "tokenizer.ggml.padding_token_id": 4,
        "tokenizer.ggml.fim_pre_token_id": 1,
        "tokenizer.ggml.fim_mid_token_id": 2,
        "tokenizer.ggml.fim_suf_token_id": 3,
        "tokenizer.ggml.fim_pad_token_id": 4,
        "tokenizer.ggml.fim_rep_token_id": 5,
        "tokenizer.ggml.fim_sep_token_id": 6,
    }
    assert {name: fields[name] for name in expected} == expected
    epsilon = fields["llama.attention.layer_norm_rms_epsilon"]
    assert epsilon == pytest.approx(1e-5)
    assert "tokenizer.ggml.bos_token_id" not in fields


def test_vocabulary_is_that_of_the_tokenizer(tmp_path: Path) -> None:
    weights = load_weights(tiny_model_folder())
    write_gguf(weights, tmp_path / "m.gguf", name="tiny")
    fields = read_fields(tmp_path / "m.gguf")
    tokenizer = json.loads(weights.tokenizer.read_text(encoding="utf-8"))
    tokens = fields["tokenizer.ggml.tokens"]
    assert tokens[:64] == list(SPECIAL_TOKENS)
    assert {token: index for index, token in enumerate(tokens)} == tokenizer["model"]["vocab"]
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    assert fields["tokenizer.ggml.token_type"] == [control] * 64 + [normal] * 448
    merges = [" ".join(merge) for merge in tokenizer["model"]["merges"]]
    assert fields["tokenizer.ggml.merges"] == merges
    assert len(merges) == 512 - 64 - 256


def test_ids_beyond_the_vocabulary_are_unused(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", config=llama_config(vocab_size=640))
    shutil.copy(tiny_checkpoint() / "tokenizer.json", checkpoint)
    write_gguf(load_weights(checkpoint), tmp_path / "m.gguf", name="padded")
    fields = read_fields(tmp_path / "m.gguf")
    assert fields["tokenizer.ggml.tokens"][512:514] == ["[PAD512]", "[PAD513]"]
    assert set(fields["tokenizer.ggml.token_type"][512:]) == {int(gguf.TokenType.UNUSED)}
    assert len(fields["tokenizer.ggml.tokens"]) == 640


@pytest.mark.parametrize(
    ("unit", "pre"),
    [(Unit.WORD, "qwen2"), (Unit.LINE, "superbpe"), (Unit.LINE_WITH_END, "superbpe")],
)
def test_each_unit_of_a_vocabulary_has_its_split(tmp_path: Path, unit: Unit, pre: str) -> None:
    checkpoint = shutil.copytree(tiny_checkpoint(), tmp_path / "checkpoint")
    texts = [f"def add(a, b):\n    return a + b  # {n}\n" for n in range(50)]
    learn(texts, size=384, unit=unit).save(str(checkpoint / "tokenizer.json"))
    write_gguf(load_weights(checkpoint), tmp_path / "m.gguf", name="x")
    assert read_fields(tmp_path / "m.gguf")["tokenizer.ggml.pre"] == pre


def test_a_vocabulary_with_another_split_is_refused(tmp_path: Path) -> None:
    checkpoint = shutil.copytree(tiny_checkpoint(), tmp_path / "checkpoint")
    table = json.loads((checkpoint / "tokenizer.json").read_text())
    table["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\s+"
    (checkpoint / "tokenizer.json").write_text(json.dumps(table))
    with pytest.raises(ModelFolderError, match="neither into Qwen2's words nor at digits"):
        write_gguf(load_weights(checkpoint), tmp_path / "m.gguf", name="x")
    assert not (tmp_path / "m.gguf").exists()


def test_a_vocabulary_without_our_sentinels_is_refused(tmp_path: Path) -> None:
    checkpoint = shutil.copytree(tiny_checkpoint(), tmp_path / "checkpoint")
    text = (checkpoint / "tokenizer.json").read_text().replace("<|fim_middle|>", "<|elsewhere|>")
    (checkpoint / "tokenizer.json").write_text(text)
    with pytest.raises(ModelFolderError, match="lacks the special tokens"):
        write_gguf(load_weights(checkpoint), tmp_path / "m.gguf", name="x")
