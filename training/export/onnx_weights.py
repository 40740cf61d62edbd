"""How tensors are named in `model.onnx`, and how they are read back.

A product of several matrices with one input is stored as one, rows below one another; a quantised
matrix has its scales beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from fimble.errors import ModelFolderError
from training.export.quantise import unpacked

if TYPE_CHECKING:
    from pathlib import Path

    from fimble.manifest import Architecture
    from training.export.quantise import Matrix

SCALES_SUFFIX = ".scales"
BLOCK_SIZE_KEY = "fimble.block_size"
"""Key of the model's metadata; its value is the number of columns that share a scale."""
QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
GATE_UP = ("mlp.gate_proj", "mlp.up_proj")
MERGED = {"self_attn.qkv_proj": QKV, "mlp.gate_up_proj": GATE_UP}
"""Name of a stacked matrix -> what is stacked in it."""


def read_tensors(path: Path, architecture: Architecture) -> dict[str, Matrix]:
    """Return the tensors of a graph that we wrote, by the names of `LlamaForCausalLM`.

    Raises:
        ModelFolderError: The file cannot be read, or is not such a graph.
    """
    try:
        model = onnx.load(path)
    except (OSError, DecodeError) as error:
        raise ModelFolderError(f"{path} is not a readable ONNX file: {error}") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if BLOCK_SIZE_KEY not in metadata:
        raise ModelFolderError(f"{path} was not written by `fimble export`")
    block_size = int(metadata[BLOCK_SIZE_KEY])
    arrays = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if ".weight" in tensor.name
    }
    tensors: dict[str, Matrix] = {}
    for name, array in arrays.items():
        if name.endswith(SCALES_SUFFIX):
            continue
        scales = arrays.get(name + SCALES_SUFFIX)
        matrix: Matrix = array
        if scales is not None:
            columns = _columns(name, architecture)
            matrix = unpacked(array, scales, columns=columns, block_size=block_size)
        tensors |= _split(name, matrix, architecture)
    return tensors


def _columns(name: str, architecture: Architecture) -> int:
    """Return the number of inputs of a matrix; the packed form is padded to whole blocks."""
    if "o_proj" in name:
        return architecture.num_attention_heads * architecture.head_dim
    return architecture.intermediate_size if "down_proj" in name else architecture.hidden_size


def _split(name: str, matrix: Matrix, architecture: Architecture) -> dict[str, Matrix]:
    """Return the parts of a stacked matrix by their own names."""
    merged = next((key for key in MERGED if f".{key}." in name), None)
    if merged is None:
        return {name: matrix}
    heads = {"self_attn.q_proj": architecture.num_attention_heads}
    stops = np.cumsum(
        [
            architecture.intermediate_size
            if part in GATE_UP
            else heads.get(part, architecture.num_key_value_heads) * architecture.head_dim
            for part in MERGED[merged]
        ]
    )
    starts = [0, *stops[:-1]]
    return {
        name.replace(merged, part): _rows(matrix, int(start), int(stop))
        for part, start, stop in zip(MERGED[merged], starts, stops, strict=True)
    }


def _rows(matrix: Matrix, start: int, stop: int) -> Matrix:
    return (
        matrix[start:stop]
        if isinstance(matrix, np.ndarray)
        else matrix.reordered(slice(start, stop))
    )
