"""The exported model as a function: token ids in, logits of the last one out.

Keys and values stay in buffers that the graph reads and writes in place: how many of them are valid
is the length of the attention mask, so going back to an earlier place costs nothing and is exact.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self, cast

# The wheels after 1.28 send usage data unless this is set before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort

from fimble.errors import ModelFolderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fimble.manifest import Architecture
    from lsp_server.engines.sampling import Scores

LOG_FATAL_ONLY = 4
MAX_ROWS = 8
"""As `training.export.onnx_graph` writes them; graphs of before give one."""
MAX_REMEMBERED = 64
"""Places whose scores a sequence remembers: as many as a completion has."""


class CancelledGenerationError(Exception):
    """The generation was cancelled from outside; its sequence can be used again."""


class Cancellation:
    """Stops one generation from any thread, also in the middle of a forward pass."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.options.log_severity_level = LOG_FATAL_ONLY
        self.is_cancelled = False

    def cancel(self) -> None:
        """Stop the forward pass under way and forbid further ones."""
        self.is_cancelled = True
        self.options.terminate = True


class Graph:
    """A model that is loaded.

    Args:
        path: `model.onnx` of a model folder.
        architecture: What the manifest says about it.
        context_tokens: Longest sequence.
        num_threads: Threads of a forward pass.

    Raises:
        ModelFolderError: The file is no model, or not one of this architecture.
    """

    def __init__(
        self, path: Path, *, architecture: Architecture, context_tokens: int, num_threads: int
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = LOG_FATAL_ONLY
        # An idle engine must not burn a core while it waits for the next key.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelFolderError(f"{path} does not load: {_first_line(error)}") from error
        self._architecture = architecture
        self._context_tokens = context_tokens
        _check_interface(self._session, architecture, path)

    @property
    def sequence_bytes(self) -> int:
        """Memory of one sequence that fills the context."""
        shape = self._architecture
        per_token = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim * 4
        return per_token * self._context_tokens

    def sequence(self) -> KeyValueSequence:
        """Return an empty sequence."""
        return KeyValueSequence(self._session, self._architecture, self._context_tokens)


class KeyValueSequence:
    """Keys and values of a run of tokens.

    The buffers hold the whole context, but the system provides memory only as tokens come.
    """

    def __init__(
        self, session: ort.InferenceSession, architecture: Architecture, context_tokens: int
    ) -> None:
        self.ids: list[int] = []
        self._remembered: dict[int, Scores] = {}
        """Scores of what comes after so many tokens, by their number; the latest places."""
        self._session = session
        self._vocab_size = architecture.vocab_size
        self._context_tokens = context_tokens
        self._mask = np.ones((1, context_tokens), np.int64)
        self._binding = session.io_binding()
        heads, width = architecture.num_key_value_heads, architecture.head_dim
        self._buffers = {
            name: np.zeros((1, heads, context_tokens, width), np.float32)
            for name in _cache_names(architecture.num_hidden_layers)
        }
        for name, buffer in self._buffers.items():
            value = ort.OrtValue.ortvalue_from_numpy(buffer)
            self._binding.bind_ortvalue_input(f"past_key_values.{name}", value)
            self._binding.bind_ortvalue_output(f"present.{name}", value)
        rows = next(each.shape[1] for each in session.get_outputs() if each.name == "logits")
        self.max_rows = 1 if rows == 1 else MAX_ROWS
        """So many of the last new tokens get scores of their own."""

    def run(
        self,
        new_ids: Sequence[int],
        *,
        past_tokens: int,
        cancellation: Cancellation,
        num_scores: int = 1,
    ) -> list[Scores]:
        """Append tokens after the first `past_tokens`.

        What stood beyond `past_tokens` is forgotten, also when the run fails.

        Args:
            new_ids: The tokens.
            past_tokens: So many stay.
            cancellation: Ends the run.
            num_scores: Wanted: the scores of what comes after each of the last so many new tokens,
                up to `max_rows`.

        Raises:
            CancelledGenerationError: Somebody cancelled.
        """
        assert 1 <= num_scores <= min(self.max_rows, len(new_ids))
        logits = self._run(new_ids, past_tokens, cancellation)
        scores = [
            cast("Scores", row.copy()) for row in logits[-num_scores:]
        ]  # that memory is ORT's
        for place, row in enumerate(scores, start=len(self.ids) - num_scores + 1):
            self._remembered[place] = row
        while len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[min(self._remembered)]
        return scores

    def scores_after(self, ids: Sequence[int]) -> Scores | None:
        """Return the scores of what comes after `ids`, if they were computed and are remembered."""
        scores = self._remembered.get(len(ids))
        return scores if scores is not None and self.ids[: len(ids)] == list(ids) else None

    def _run(self, new_ids: Sequence[int], past_tokens: int, cancellation: Cancellation) -> Scores:
        """Return the scores behind the last new tokens, in memory of the next run's."""
        # The quantised graph takes ids outside of the vocabulary without a word.
        assert 0 <= min(new_ids) <= max(new_ids) < self._vocab_size
        assert 0 <= past_tokens <= len(self.ids)
        total = past_tokens + len(new_ids)
        assert total <= self._context_tokens
        self._forget_behind(past_tokens)
        ids = np.array([new_ids], np.int64)  # bound, not copied: it must outlive the run
        self._binding.bind_cpu_input("input_ids", ids)
        self._binding.bind_cpu_input("attention_mask", self._mask[:, :total])
        # Last, so that it is the last of the outputs; again, since the number of rows changes.
        self._binding.bind_output("logits", "cpu")
        try:
            self._session.run_with_iobinding(self._binding, cancellation.options)
        except Exception:
            if cancellation.is_cancelled:
                raise CancelledGenerationError from None
            raise
        self.ids += new_ids
        return cast("Scores", self._binding.get_outputs()[-1].numpy()[0])

    def _forget_behind(self, length_tokens: int) -> None:
        del self.ids[length_tokens:]
        for place in [each for each in self._remembered if each > length_tokens]:
            del self._remembered[place]

    def copy_from(self, other: Self, length_tokens: int) -> None:
        """Become the first `length_tokens` of `other`."""
        assert length_tokens <= len(other.ids)
        for name, buffer in self._buffers.items():
            buffer[:, :, :length_tokens] = other._buffers[name][:, :, :length_tokens]
        self.ids = other.ids[:length_tokens]
        self._remembered = {n: row for n, row in other._remembered.items() if n <= length_tokens}


def _cache_names(num_layers: int) -> list[str]:
    return [f"{layer}.{kind}" for layer in range(num_layers) for kind in ("key", "value")]


def _check_interface(session: ort.InferenceSession, shape: Architecture, path: Path) -> None:
    """Compare what the graph takes and gives with what `KeyValueSequence` binds."""
    caches = _cache_names(shape.num_hidden_layers)
    inputs = {"input_ids", "attention_mask", *(f"past_key_values.{name}" for name in caches)}
    outputs = {"logits", *(f"present.{name}" for name in caches)}
    found_inputs = {each.name: each.shape for each in session.get_inputs()}
    found_outputs = {each.name: each.shape for each in session.get_outputs()}
    if set(found_inputs) != inputs or set(found_outputs) != outputs:
        odd = sorted((set(found_inputs) ^ inputs) | (set(found_outputs) ^ outputs))
        raise ModelFolderError(
            f"{path} does not fit its manifest: inputs and outputs differ at {', '.join(odd[:4])}"
        )
    wanted = {1: shape.num_key_value_heads, 3: shape.head_dim}
    for name in caches:
        found = found_inputs[f"past_key_values.{name}"]
        if any(isinstance(found[axis], int) and found[axis] != n for axis, n in wanted.items()):
            raise ModelFolderError(
                f"{path} does not fit its manifest: past_key_values.{name} has the shape {found}; "
                f"{shape.num_key_value_heads} heads of {shape.head_dim} are expected"
            )
    vocab_size = found_outputs["logits"][-1]
    if isinstance(vocab_size, int) and vocab_size != shape.vocab_size:
        raise ModelFolderError(
            f"{path} gives {vocab_size} logits; its manifest says {shape.vocab_size}"
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
