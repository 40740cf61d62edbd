"""GGUF for llama.cpp and everything built on it, written without llama.cpp's converter.

The converter knows a vocabulary by a hash of what it does to a probe text, and refuses new ones; we
know how ours splits text, and say so. llama.cpp finds the sentinels by the ids we give.

Rows of the query and key matrices are reordered: ggml rotates neighbouring pairs (0, 1), (2, 3), …
where Hugging Face rotates a head's halves (0, D/2), (1, D/2 + 1), …

Matrices that are quantised already become q8_0 without loss: its blocks of 32 take over levels and
scale of the larger block they lie in.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import gguf
import numpy as np

from fimble.errors import ModelFolderError
from fimble.fim import FIMBLE, SPECIAL_TOKENS
from training.export.quantise import Quantised, as_floats, quantise
from training.export.weights import EMBEDDING, FINAL_NORM, HEAD
from training.vocabulary.learn import DIGIT_PATTERN, SPLIT_PATTERN

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.export.quantise import Matrix
    from training.export.weights import Weights

_BLOCK = 32  # values in a block of q8_0
_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OTHER_NAMES = {
    EMBEDDING: "token_embd.weight",
    FINAL_NORM: "output_norm.weight",
    HEAD: "output.weight",
}
_PRE_BY_SPLIT: dict[tuple[str, ...], str] = {
    (SPLIT_PATTERN,): "qwen2",
    (DIGIT_PATTERN,): "superbpe",
}
"""How text is split before merging, and llama.cpp's name for that (`src/llama-vocab.cpp`)."""


class GgufType(StrEnum):
    """How matrices are stored in the file."""

    F16 = "f16"
    Q8_0 = "q8_0"


class _Vocabulary(NamedTuple):
    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]


def write_gguf(
    weights: Weights, path: Path, *, name: str, stored: GgufType = GgufType.Q8_0
) -> None:
    """Write the model to `path`, whole.

    Args:
        weights: The model.
        path: The file.
        name: What the model is called.
        stored: How matrices are stored; norms are float32.

    Raises:
        ModelFolderError: The vocabulary is not one that llama.cpp would read as we mean it.
    """
    vocabulary = _read_vocabulary(weights.tokenizer, weights.architecture.vocab_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    writer = gguf.GGUFWriter(aside, "llama")
    _add_shape(writer, weights, name=name, stored=stored)
    _add_vocabulary(writer, vocabulary)
    for tensor_name, tensor in weights.tensors.items():
        ordered = _reordered(tensor_name, tensor, weights)
        _add_tensor(writer, gguf_name(tensor_name), ordered, stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    aside.replace(path)


def gguf_name(name: str) -> str:
    """Return what llama.cpp calls a tensor of `LlamaForCausalLM`."""
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{_LAYER_NAMES[part.removesuffix('.weight')]}.weight"


def rotary_order(num_heads: int, head_dim: int) -> NDArray[np.intp]:
    """Return for each row of a query or key matrix in GGUF which row it is in Hugging Face's."""
    rows = np.arange(num_heads * head_dim).reshape(num_heads, 2, head_dim // 2)
    return rows.swapaxes(1, 2).reshape(-1)


def _reordered(name: str, tensor: Matrix, weights: Weights) -> Matrix:
    architecture = weights.architecture
    if ".q_proj." in name:
        order = rotary_order(architecture.num_attention_heads, architecture.head_dim)
    elif ".k_proj." in name:
        order = rotary_order(architecture.num_key_value_heads, architecture.head_dim)
    else:
        return tensor
    return tensor.reordered(order) if isinstance(tensor, Quantised) else tensor[order]


def _add_tensor(writer: gguf.GGUFWriter, name: str, tensor: Matrix, stored: GgufType) -> None:
    if len(tensor.shape) == 1:
        writer.add_tensor(name, as_floats(tensor))
    elif stored is GgufType.Q8_0 and tensor.shape[1] % _BLOCK == 0:
        q8_0 = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, q8_0_bytes(tensor), raw_dtype=q8_0)
    else:
        writer.add_tensor(name, as_floats(tensor).astype(np.float16))


def q8_0_bytes(matrix: Matrix) -> NDArray[np.uint8]:
    """Return rows of q8_0 blocks: a float16 scale and 32 signed levels each.

    Source: ggml's `block_q8_0`.
    """
    if not isinstance(matrix, Quantised):
        matrix = quantise(matrix, bits=8, block_size=_BLOCK)
    rows, columns = matrix.shape
    blocks = columns // _BLOCK
    scales = np.repeat(matrix.scales, matrix.block_size // _BLOCK, axis=1)[:, :blocks]
    packed = np.empty((rows, blocks, 2 + _BLOCK), np.uint8)
    packed[:, :, :2] = scales.astype("<f2")[..., None].view(np.uint8)
    packed[:, :, 2:] = matrix.levels.reshape(rows, blocks, _BLOCK).view(np.uint8)
    return packed.reshape(rows, -1)


def _add_shape(writer: gguf.GGUFWriter, weights: Weights, *, name: str, stored: GgufType) -> None:
    architecture = weights.architecture
    writer.add_name(name)
    if weights.manifest is not None:
        writer.add_license(weights.manifest.licence)
    is_f16 = stored is GgufType.F16
    file_type = gguf.LlamaFileType.MOSTLY_F16 if is_f16 else gguf.LlamaFileType.MOSTLY_Q8_0
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(weights.context_tokens)
    writer.add_embedding_length(architecture.hidden_size)
    writer.add_block_count(architecture.num_hidden_layers)
    writer.add_feed_forward_length(architecture.intermediate_size)
    writer.add_head_count(architecture.num_attention_heads)
    writer.add_head_count_kv(architecture.num_key_value_heads)
    writer.add_key_length(architecture.head_dim)
    writer.add_value_length(architecture.head_dim)
    writer.add_rope_dimension_count(architecture.head_dim)
    writer.add_rope_freq_base(architecture.rope_theta)
    writer.add_layer_norm_rms_eps(architecture.rms_norm_eps)
    writer.add_vocab_size(architecture.vocab_size)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: _Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_add_bos_token(False)  # noqa: FBT003 - the library's signature
    writer.add_add_eos_token(False)  # noqa: FBT003 - the library's signature
    end_id = SPECIAL_TOKENS.index(FIMBLE.end)
    writer.add_eos_token_id(end_id)
    writer.add_eot_token_id(end_id)
    writer.add_pad_token_id(SPECIAL_TOKENS.index(FIMBLE.pad))
    keys = gguf.Keys.Tokenizer
    for key, sentinel in (
        (keys.FIM_PRE_ID, FIMBLE.prefix),
        (keys.FIM_SUF_ID, FIMBLE.suffix),
        (keys.FIM_MID_ID, FIMBLE.middle),
        (keys.FIM_PAD_ID, FIMBLE.pad),
        (keys.FIM_REP_ID, FIMBLE.repository),
        (keys.FIM_SEP_ID, FIMBLE.file),
    ):
        writer.add_uint32(key, SPECIAL_TOKENS.index(sentinel))


def _read_vocabulary(path: Path, vocab_size: int) -> _Vocabulary:
    """Return tokens, their types and merges of a `tokenizer.json`.

    Raises:
        ModelFolderError: It is not byte-level BPE with one of our splits, or lacks our sentinels.
    """
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    pre = _PRE_BY_SPLIT.get(_split_patterns(table))
    if table["model"]["type"] != "BPE" or pre is None:
        raise ModelFolderError(
            f"{path} splits text neither into Qwen2's words nor at digits alone; GGUF holds "
            "byte-level BPE with one of these splits"
        )
    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    types = [int(gguf.TokenType.UNUSED)] * vocab_size
    for token, index in table["model"]["vocab"].items():
        tokens[index], types[index] = token, gguf.TokenType.NORMAL
    for added in table["added_tokens"]:
        special = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], special
    if tuple(tokens[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
        raise ModelFolderError(f"{path} lacks the special tokens of our models at its first ids")
    merges = [m if isinstance(m, str) else " ".join(m) for m in table["model"]["merges"]]
    return _Vocabulary(pre, tokens, types, merges)


def _split_patterns(table: dict[str, Any]) -> tuple[str, ...]:
    """Return the patterns that the tokenizer splits text with."""
    steps = table["pre_tokenizer"] or {}
    return tuple(
        step["pattern"]["Regex"]
        for step in steps.get("pretokenizers", [steps])
        if "Regex" in step.get("pattern", {})
    )
