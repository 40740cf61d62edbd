"""Print what quantisation costs in quality: bits per byte of held-out text, exact and quantised.

    python bench/quantisation_loss.py MODEL FILE...

MODEL is a checkpoint (a Hugging Face folder), FILE holds text it was not trained on. Each file is
cut into windows of the model's context; the first token of a window is not counted.

Bits per byte: sum of -log2 p(token | tokens before it in the window) over the bytes of the tokens.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from fimble.fim import FIMBLE, SPECIAL_TOKENS
from training.export.engine_model import quantised_weights
from training.export.onnx_graph import build_graph
from training.export.quantise import Quantisation
from training.export.weights import Weights, load_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Window(NamedTuple):
    """A piece of a file: the end token, then its text."""

    ids: list[int]
    num_bytes: int


def main() -> None:
    """Measure each quantisation on the same windows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    weights = load_weights(arguments.model)
    windows = [
        window
        for path in arguments.files
        for window in _windows(path.read_text(encoding="utf-8"), weights)
    ]
    num_bytes = sum(window.num_bytes for window in windows)
    print(f"{len(windows)} windows, {num_bytes} bytes")
    exact = 0.0
    for quantisation in Quantisation:
        session = _session(weights, quantisation)
        per_byte = sum(_bits(session, weights, window) for window in windows) / num_bytes
        exact = exact or per_byte
        print(f"{quantisation:<14} {per_byte:.4f} bits/byte  {per_byte / exact - 1:+.2%}")


def _windows(text: str, weights: Weights) -> Iterator[Window]:
    tokenizer = Tokenizer.from_file(str(weights.tokenizer))
    tokenizer.encode_special_tokens = True
    encoding = tokenizer.encode(text)
    size = weights.context_tokens - 1
    for start in range(0, len(encoding.ids), size):
        ids = encoding.ids[start : start + size]
        first, last = encoding.offsets[start], encoding.offsets[start + len(ids) - 1]
        num_bytes = len(text[first[0] : last[1]].encode())
        yield Window([SPECIAL_TOKENS.index(FIMBLE.end), *ids], num_bytes)


def _session(weights: Weights, quantisation: Quantisation) -> ort.InferenceSession:
    graph = build_graph(quantised_weights(weights, quantisation), all_logits=True)
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _bits(session: ort.InferenceSession, weights: Weights, window: Window) -> float:
    """Return the bits that the model needs for a window."""
    architecture = weights.architecture
    shape = (1, architecture.num_key_value_heads, len(window.ids), architecture.head_dim)
    caches = [each.name for each in session.get_inputs()[2:]]
    feeds: dict[str, NDArray[np.generic]] = {
        "input_ids": np.array([window.ids], np.int64),
        "attention_mask": np.ones((1, len(window.ids)), np.int64),
        **{name: np.zeros(shape, np.float32) for name in caches},
    }
    logits = cast("NDArray[np.float32]", session.run(["logits"], feeds)[0])[0, :-1]
    logits -= logits.max(axis=-1, keepdims=True)
    chosen = logits[np.arange(len(window.ids) - 1), window.ids[1:]]
    nats = np.log(np.exp(logits).sum(axis=-1)) - chosen
    return float(nats.sum(dtype=np.float64) / np.log(2))


if __name__ == "__main__":
    main()
