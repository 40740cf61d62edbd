"""The graph of a Llama model for ONNX Runtime, written node by node.

Inputs   input_ids int64 (1, T); attention_mask int64 (1, P+T);
         past_key_values.{i}.key and .value float32 (1, KVH, C, HD)
Outputs  logits float32 (1, min(T, 8), V), or (1, T, V) with `all_logits`;
         present.{i}.key and .value float32 (1, KVH, C, HD)

T = new tokens, P = tokens in the cache, C = capacity of the cache, HD = head dimension, KVH = key
and value heads. Past and present are meant to be the same buffer; the length of the mask says how
much of it counts, so a shorter mask is a rewind.

Only the last positions are computed where nothing else is asked for: the last layer's own products
run on those rows too, not just the output projection. More than one, so that the engine can check
guessed tokens in one pass. A tied embedding is stored once: its rows are
gathered out of the very matrix that the output projection multiplies with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from training.export.onnx_weights import BLOCK_SIZE_KEY, GATE_UP, QKV
from training.export.onnx_writer import CONTRIB, GraphWriter
from training.export.quantise import BLOCK_SIZE, as_floats, stacked
from training.export.weights import EMBEDDING, FINAL_NORM, HEAD, Weights

if TYPE_CHECKING:
    from fimble.manifest import Architecture
    from training.export.quantise import Floats

LOGIT_ROWS = 8
"""Positions whose logits the graph gives: the last one, and those of guessed tokens before it."""
_OPSET = 21
_IR_VERSION = 10  # what every ONNX Runtime since 1.18 reads
_KEY_VALUE = ("key", "value")


class _Stream(NamedTuple):
    """What flows from layer to layer: a product, and the sum it is still to be added to."""

    hidden: str
    residual: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    """The model as it is written."""

    weights: Weights
    writer: GraphWriter
    all_logits: bool

    def norm(self, stream: _Stream, name: str) -> _Stream:
        """Add the sum of both parts of the stream, and its RMS norm."""
        weight = self.writer.constant(name, as_floats(self.weights.tensors[name]))
        epsilon = self.weights.architecture.rms_norm_eps
        normed, total = f"{name}.normed", f"{name}.sum"
        if not stream.residual:
            self.writer.node(
                "SimplifiedLayerNormalization",
                [stream.hidden, weight],
                outputs=(normed,),
                axis=-1,
                epsilon=epsilon,
            )
            return _Stream(normed, stream.hidden)
        self.writer.node(
            "SkipSimplifiedLayerNormalization",
            [stream.hidden, stream.residual, weight],
            outputs=(normed, "", "", total),
            domain=CONTRIB,
            epsilon=epsilon,
        )
        return _Stream(normed, total)

    def product(self, hidden: str, name: str, *, output: str = "") -> str:
        """Add the product with one matrix."""
        return self.writer.product(hidden, name, self.weights.tensors[name], output=output)

    def stacked_product(self, hidden: str, at: str, parts: tuple[str, ...], name: str) -> str:
        """Add one product with several matrices below one another."""
        matrices = [self.weights.tensors[f"{at}.{part}.weight"] for part in parts]
        return self.writer.product(hidden, f"{at}.{name}.weight", stacked(matrices))

    def attention(self, hidden: str, layer: int) -> str:
        """Add rotary embedding and attention over cache and new tokens."""
        architecture = self.weights.architecture
        qkv = self.stacked_product(hidden, f"model.layers.{layer}", QKV, "self_attn.qkv_proj")
        past = [f"past_key_values.{layer}.{kind}" for kind in _KEY_VALUE]
        present = [f"present.{layer}.{kind}" for kind in _KEY_VALUE]
        lengths = ["last_position", "total_length"]
        return self.writer.node(
            "GroupQueryAttention",
            [qkv, "", "", *past, *lengths, "rope.cos", "rope.sin"],
            outputs=(f"attended.{layer}", *present),
            domain=CONTRIB,
            num_heads=architecture.num_attention_heads,
            kv_num_heads=architecture.num_key_value_heads,
            do_rotary=1,
            rotary_interleaved=0,
        )

    def layer(self, layer: int, stream: _Stream) -> _Stream:
        """Add one decoder layer."""
        at = f"model.layers.{layer}"
        stream = self.norm(stream, f"{at}.input_layernorm.weight")
        stream = _Stream(self.attention(stream.hidden, layer), stream.residual)
        is_last = layer == self.weights.architecture.num_hidden_layers - 1
        if is_last and not self.all_logits:
            stream = _Stream(*(self._last_rows(part) for part in stream))
        attended = self.product(stream.hidden, f"{at}.self_attn.o_proj.weight")
        stream = self.norm(
            _Stream(attended, stream.residual), f"{at}.post_attention_layernorm.weight"
        )
        gated = self._gated(stream.hidden, at)
        return _Stream(self.product(gated, f"{at}.mlp.down_proj.weight"), stream.residual)

    def _gated(self, hidden: str, at: str) -> str:
        """Add SwiGLU: the gate times its sigmoid times the other half."""
        both = self.stacked_product(hidden, at, GATE_UP, "mlp.gate_up_proj")
        gate, up = f"{at}.gate", f"{at}.up"
        self.writer.node("Split", [both], outputs=(gate, up), axis=-1, num_outputs=2)
        swish = self.writer.node("Mul", [gate, self.writer.node("Sigmoid", [gate])])
        return self.writer.node("Mul", [swish, up])

    def _last_rows(self, hidden: str) -> str:
        bounds = [self.writer.indices(each) for each in (-LOGIT_ROWS, 2**62, 1)]
        return self.writer.node("Slice", [hidden, *bounds])

    def lengths(self) -> None:
        """Add what attention reads of the mask: its sum less one, and its length, as int32."""
        one = self.writer.indices(1)
        tokens = self.writer.node("ReduceSum", ["attention_mask", one], keepdims=0)
        last = self.writer.node("Sub", [tokens, one])
        self.writer.node("Cast", [last], outputs=("last_position",), to=TensorProto.INT32)
        shape = self.writer.node("Shape", ["attention_mask"])
        scalar = self.writer.constant("scalar_1", np.array(1, np.int64))
        length = self.writer.node("Gather", [shape, scalar])
        self.writer.node("Cast", [length], outputs=("total_length",), to=TensorProto.INT32)

    def rotary_tables(self) -> None:
        """Add the cosines and sines of every position of the context."""
        cosines, sines = rotary_tables(self.weights.architecture, self.weights.context_tokens)
        self.writer.constant("rope.cos", cosines)
        self.writer.constant("rope.sin", sines)


def build_graph(weights: Weights, *, all_logits: bool = False) -> onnx.ModelProto:
    """Return the graph that computes the model with its weights as they are, quantised or not.

    Args:
        weights: The model.
        all_logits: Return the logits of every position, which bits per byte need; by default only
            those of the last `LOGIT_ROWS`, which is what generation needs.
    """
    architecture = weights.architecture
    builder = _Builder(weights=weights, writer=GraphWriter(), all_logits=all_logits)
    builder.lengths()
    builder.rotary_tables()
    embedding = weights.tensors[EMBEDDING]
    stream = _Stream(builder.writer.rows(EMBEDDING, embedding, "input_ids"), "")
    for layer in range(architecture.num_hidden_layers):
        stream = builder.layer(layer, stream)
    stream = builder.norm(stream, FINAL_NORM)
    head = EMBEDDING if architecture.tie_word_embeddings else HEAD
    builder.product(stream.hidden, head, output="logits")
    return _model(builder.writer, architecture, logit_rows="new" if all_logits else "last")


def rotary_tables(architecture: Architecture, context_tokens: int) -> tuple[Floats, Floats]:
    """Return cosine and sine of every position's rotations, each (context, HD / 2).

    Source: Su et al. 2021, arXiv:2104.09864, section 3.2.2.
    """
    exponents = np.arange(0, architecture.head_dim, 2, dtype=np.float64) / architecture.head_dim
    frequencies = architecture.rope_theta**-exponents
    angles = np.outer(np.arange(context_tokens, dtype=np.float64), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _model(writer: GraphWriter, architecture: Architecture, *, logit_rows: str) -> onnx.ModelProto:
    cache = [1, architecture.num_key_value_heads, "capacity", architecture.head_dim]
    layers = [
        f"{layer}.{kind}" for layer in range(architecture.num_hidden_layers) for kind in _KEY_VALUE
    ]
    value = helper.make_tensor_value_info
    inputs = [
        value("input_ids", TensorProto.INT64, [1, "new"]),
        value("attention_mask", TensorProto.INT64, [1, "total"]),
        *(value(f"past_key_values.{each}", TensorProto.FLOAT, cache) for each in layers),
    ]
    logits = value("logits", TensorProto.FLOAT, [1, logit_rows, architecture.vocab_size])
    outputs = [logits, *(value(f"present.{each}", TensorProto.FLOAT, cache) for each in layers)]
    initializers = list(writer.initializers.values())
    graph = helper.make_graph(writer.nodes, "fimble", inputs, outputs, initializers)
    model = helper.make_model(
        graph,
        producer_name="fimble",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(CONTRIB, 1)],
    )
    helper.set_model_props(model, {BLOCK_SIZE_KEY: str(BLOCK_SIZE)})
    return model
