"""What every release format starts from: the weights of a Llama model, wherever they lie.

Sources are a Hugging Face folder (a training checkpoint) and a model folder of ours, whose matrices
stay quantised, so that a format that can hold them as they are does.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from fimble.config import from_table
from fimble.errors import ConfigError, ModelFolderError
from fimble.manifest import (
    MANIFEST_NAME,
    ONNX_NAME,
    TOKENIZER_NAME,
    Architecture,
    Manifest,
    load_manifest,
)
from training.export.onnx_weights import read_tensors
from training.export.quantise import Matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_NAME = "config.json"
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
FINAL_NORM = "model.norm.weight"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """A Llama model: shape, tensors and vocabulary."""

    architecture: Architecture
    context_tokens: int
    tensors: dict[str, Matrix]
    """By the names of `LlamaForCausalLM`; no `lm_head.weight` where it is tied."""
    tokenizer: Path
    """Its `tokenizer.json`."""
    manifest: Manifest | None = None
    """Of the model folder it was read from; None for a checkpoint."""


def load_weights(folder: Path) -> Weights:
    """Return the model in a Hugging Face folder or in a model folder of ours.

    Raises:
        ModelFolderError: The folder is neither, a file is missing or damaged, or the model is not
            one that the formats can hold.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"there is no model folder {str(folder)!r}")
    if (folder / MANIFEST_NAME).is_file():
        weights = _from_model_folder(folder)
    elif (folder / CONFIG_NAME).is_file():
        weights = _from_checkpoint(folder)
    else:
        raise ModelFolderError(
            f"{folder} holds neither {MANIFEST_NAME} (a model folder) nor {CONFIG_NAME} "
            "(a Hugging Face folder)"
        )
    _check_tensors(weights, folder)
    _check_tokenizer(weights.tokenizer, weights.architecture.vocab_size)
    return weights


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a model, in the order of its layers."""
    hidden, ff = architecture.hidden_size, architecture.intermediate_size
    queries = architecture.num_attention_heads * architecture.head_dim
    keys = architecture.num_key_value_heads * architecture.head_dim
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (architecture.vocab_size, hidden)}
    for layer in range(architecture.num_hidden_layers):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.input_layernorm.weight": (hidden,),
            f"{at}.self_attn.q_proj.weight": (queries, hidden),
            f"{at}.self_attn.k_proj.weight": (keys, hidden),
            f"{at}.self_attn.v_proj.weight": (keys, hidden),
            f"{at}.self_attn.o_proj.weight": (hidden, queries),
            f"{at}.post_attention_layernorm.weight": (hidden,),
            f"{at}.mlp.gate_proj.weight": (ff, hidden),
            f"{at}.mlp.up_proj.weight": (ff, hidden),
            f"{at}.mlp.down_proj.weight": (hidden, ff),
        }
    shapes[FINAL_NORM] = (hidden,)
    if not architecture.tie_word_embeddings:
        shapes[HEAD] = (architecture.vocab_size, hidden)
    return shapes


def read_config(path: Path) -> tuple[Architecture, int]:
    """Return the shape and the context length, in tokens, that a Llama `config.json` gives.

    Raises:
        ModelFolderError: The file is broken, or describes a model that the formats cannot hold.
    """
    config = _read_object(path)
    _check_config(config, path)
    table = {each.name: config.get(each.name) for each in dataclasses.fields(Architecture)}
    heads = config.get("num_attention_heads")
    table["rope_theta"] = _rope(config).get("rope_theta", 10000.0)
    table["num_key_value_heads"] = config.get("num_key_value_heads") or heads
    table["tie_word_embeddings"] = config.get("tie_word_embeddings", False)
    hidden = config.get("hidden_size")
    if table["head_dim"] is None and isinstance(heads, int) and isinstance(hidden, int):
        table["head_dim"] = hidden // max(heads, 1)
    context_tokens = config.get("max_position_embeddings")
    if not isinstance(context_tokens, int) or context_tokens < 1:
        raise ModelFolderError(
            f"{path}: max_position_embeddings is {context_tokens!r}; it must be a positive integer"
        )
    try:
        return from_table(Architecture, table, where=str(path)), context_tokens
    except ConfigError as error:
        raise ModelFolderError(str(error)) from error


def _read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ModelFolderError: The file cannot be read, is not JSON, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFolderError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelFolderError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelFolderError(f"{path} holds {type(value).__name__}; it must be an object")
    return value


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the rotary settings: transformers 5 nests them, 4 spells them side by side."""
    nested = config.get("rope_parameters")
    if isinstance(nested, dict):
        return nested
    scaling = config.get("rope_scaling")
    return {**(scaling if isinstance(scaling, dict) else {}), **config}


def _check_config(config: Mapping[str, Any], path: Path) -> None:
    """Refuse what the graph does not compute, rather than export a model that talks nonsense."""
    rope = _rope(config)
    demands = (
        ("model_type", config.get("model_type"), "llama"),
        ("hidden_act", config.get("hidden_act", "silu"), "silu"),
        ("attention_bias", config.get("attention_bias", False), False),
        ("mlp_bias", config.get("mlp_bias", False), False),
        ("rope_type", rope.get("rope_type", rope.get("type", "default")), "default"),
    )
    for key, value, allowed in demands:
        if value != allowed:
            raise ModelFolderError(f"{path}: {key} is {value!r}; the formats hold {allowed!r} only")


def _from_checkpoint(folder: Path) -> Weights:
    architecture, context_tokens = read_config(folder / CONFIG_NAME)
    tensors: dict[str, Matrix] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= _read_safetensors(path)
    if not tensors:
        raise ModelFolderError(f"{folder} holds no *.safetensors")
    if architecture.tie_word_embeddings:
        tensors.pop(HEAD, None)
    return Weights(
        architecture=architecture,
        context_tokens=context_tokens,
        tensors=tensors,
        tokenizer=folder / TOKENIZER_NAME,
    )


def _read_safetensors(path: Path) -> dict[str, Matrix]:
    """Return the tensors of one file in float32; torch reads bfloat16, which numpy lacks."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {
            name: np.ascontiguousarray(tensor.float().numpy())
            for name, tensor in load_file(path).items()
        }
    except (OSError, SafetensorError) as error:
        raise ModelFolderError(f"{path} is not a readable safetensors file: {error}") from error


def _from_model_folder(folder: Path) -> Weights:
    manifest = load_manifest(folder)
    if ONNX_NAME not in manifest.files:
        raise ModelFolderError(f"{folder / MANIFEST_NAME} does not list {ONNX_NAME}")
    return Weights(
        architecture=manifest.architecture,
        context_tokens=manifest.context_tokens,
        tensors=read_tensors(folder / ONNX_NAME, manifest.architecture),
        tokenizer=folder / TOKENIZER_NAME,
        manifest=manifest,
    )


def _check_tensors(weights: Weights, folder: Path) -> None:
    shapes = expected_shapes(weights.architecture)
    if missing := sorted(set(shapes) - set(weights.tensors)):
        raise ModelFolderError(f"{folder} lacks {len(missing)} tensors, the first is {missing[0]}")
    if unknown := sorted(set(weights.tensors) - set(shapes)):
        raise ModelFolderError(f"{folder} holds tensors that no Llama model has: {unknown[0]}")
    for name, shape in shapes.items():
        if (found := weights.tensors[name].shape) != shape:
            raise ModelFolderError(f"{folder}: {name} has shape {found}; it must be {shape}")


def _check_tokenizer(path: Path, vocab_size: int) -> None:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise ModelFolderError(f"cannot read the tokenizer {path}: {error}") from error
    if (found := tokenizer.get_vocab_size()) > vocab_size:
        raise ModelFolderError(f"{path} holds {found} tokens; the model has {vocab_size}")
