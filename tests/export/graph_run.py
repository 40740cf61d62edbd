"""Run an exported graph as its contract says, with nothing else in between."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class GraphRun:
    """One sequence: the same buffers are past and present, the mask says what counts."""

    def __init__(self, path: Path, *, capacity_tokens: int = 256) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        self.buffers: dict[str, ort.OrtValue] = {}
        for each in self.session.get_inputs():
            if each.name.startswith("past_key_values."):
                _, heads, _, head_dim = each.shape
                zeros = np.zeros((1, heads, capacity_tokens, head_dim), np.float32)
                name = each.name.removeprefix("past_key_values.")
                self.buffers[name] = ort.OrtValue.ortvalue_from_numpy(zeros)
        for name, value in self.buffers.items():
            self.binding.bind_ortvalue_input(f"past_key_values.{name}", value)
            self.binding.bind_ortvalue_output(f"present.{name}", value)

    def logits(self, new_ids: list[int], *, past_tokens: int) -> NDArray[np.float32]:
        """Return the logits, (rows, vocabulary), after keeping the first `past_tokens`.

        One row, that of the last token, from a graph that does not give all.
        """
        mask = np.ones((1, past_tokens + len(new_ids)), np.int64)
        self.binding.bind_cpu_input("input_ids", np.array([new_ids], np.int64))
        self.binding.bind_cpu_input("attention_mask", mask)
        self.binding.bind_output("logits", "cpu")  # again: there may be fewer rows than before
        self.session.run_with_iobinding(self.binding)
        rows = self.binding.get_outputs()[-1].numpy()[0]
        gives_all = self.session.get_outputs()[0].shape[1] == "new"
        return rows if gives_all else rows[-1:]
