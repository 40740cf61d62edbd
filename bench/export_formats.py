"""Print what each quantisation of the embedded engine costs: size and speed.

    python bench/export_formats.py MODEL [--rounds N] [--threads 1 2]

MODEL is a model folder or a Hugging Face folder. Every figure is the median and the best of all
rounds; the quantisations take turns, so that a busy machine disturbs all alike. CPU time equals
wall time on one thread of a quiet machine; on a busy one it is the figure to trust.

prefill    tokens a second over a prompt of 512 tokens, in the engine's chunks
decode     one token at position 900
KEYSTROKE  900 tokens are cached, 3 new ones come, 16 tokens are generated greedily
cold       a prompt of 903 tokens and 16 tokens, nothing cached
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lsp_server.engines.embedded import PREFILL_CHUNK_TOKENS
from lsp_server.engines.graph import Cancellation, Graph, KeyValueSequence
from training.export.engine_model import write_engine_model
from training.export.quantise import Quantisation
from training.export.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from fimble.manifest import Manifest

CACHED_TOKENS = 900
NEW_TOKENS = 3
GENERATED_TOKENS = 16
PREFILL_TOKENS = 512
HEADER = "| weights | threads | MB | prefill tok/s | decode ms | KEYSTROKE ms | cold ms | clock |"


class Took(NamedTuple):
    """How long something took, in milliseconds."""

    cpu_ms: float
    wall_ms: float


class Case:
    """One quantisation on some threads, and what was measured of it."""

    def __init__(self, folder: Path, manifest: Manifest, *, num_threads: int) -> None:
        os.sched_setaffinity(0, range(num_threads))
        self.manifest = manifest
        self.num_threads = num_threads
        self.num_bytes = (folder / "model.onnx").stat().st_size
        graph = Graph(
            folder / "model.onnx",
            architecture=manifest.architecture,
            context_tokens=manifest.context_tokens,
            num_threads=num_threads,
        )
        self.sequence = graph.sequence()
        self.prompt = _random_ids(manifest.architecture.vocab_size)
        self.times: dict[str, list[Took]] = {}

    def measure(self) -> None:
        """Take every measure once."""
        os.sched_setaffinity(0, range(self.num_threads))
        self._take("prefill", lambda: _prefill(self.sequence, self.prompt[:PREFILL_TOKENS], 0))
        self._take("cold", lambda: _complete(self.sequence, self.prompt, 0))
        for _ in range(4):
            self._take("keystroke", lambda: _complete(self.sequence, self.prompt, CACHED_TOKENS))
            self._take("decode", lambda: _decode(self.sequence, GENERATED_TOKENS))

    def rows(self) -> list[str]:
        """Return the rows of the table, one for each clock."""
        return [self._row(clock) for clock in Took._fields]

    def _take(self, name: str, action: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        action()
        took = Took((time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3)
        self.times.setdefault(name, []).append(took)

    def _row(self, clock: str) -> str:
        def figures(name: str) -> list[float]:
            times = [getattr(took, clock) for took in self.times[name]]
            return [statistics.median(times), min(times)]

        prefill = "/".join(f"{PREFILL_TOKENS / ms * 1e3:.0f}" for ms in figures("prefill"))
        decode = "/".join(f"{ms / GENERATED_TOKENS:.1f}" for ms in figures("decode"))
        keystroke = "/".join(f"{ms:.0f}" for ms in figures("keystroke"))
        cold = "/".join(f"{ms:.0f}" for ms in figures("cold"))
        return (
            f"| {self.manifest.quantisation} | {self.num_threads} | {self.num_bytes / 1e6:.1f} "
            f"| {prefill} | {decode} | {keystroke} | {cold} | {clock.removesuffix('_ms')} |"
        )


def main() -> None:
    """Export, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    weights = load_weights(arguments.model)
    print(f"{HEADER}\n|{'---|' * HEADER.count(' | ')}---|")
    with tempfile.TemporaryDirectory() as parent:
        folders = {each: Path(parent) / each for each in Quantisation}
        manifests = {
            each: write_engine_model(weights, folder, quantisation=each)
            for each, folder in folders.items()
        }
        for num_threads in arguments.threads:
            cases = [
                Case(folders[each], manifests[each], num_threads=num_threads)
                for each in Quantisation
            ]
            for _ in range(arguments.rounds):
                for case in cases:
                    case.measure()
            for case in cases:
                print("\n".join(case.rows()), flush=True)


def _random_ids(vocab_size: int) -> list[int]:
    generator = np.random.default_rng(0)
    return generator.integers(64, vocab_size, CACHED_TOKENS + NEW_TOKENS).tolist()


def _complete(sequence: KeyValueSequence, prompt: list[int], past_tokens: int) -> None:
    _prefill(sequence, prompt, past_tokens)
    _decode(sequence, GENERATED_TOKENS - 1)


def _prefill(sequence: KeyValueSequence, prompt: list[int], past_tokens: int) -> None:
    for start in range(past_tokens, len(prompt), PREFILL_CHUNK_TOKENS):
        chunk = prompt[start : start + PREFILL_CHUNK_TOKENS]
        sequence.run(chunk, past_tokens=start, cancellation=Cancellation())


def _decode(sequence: KeyValueSequence, num_tokens: int) -> None:
    """Generate greedily after what the sequence holds."""
    token = sequence.ids[-1]
    for _ in range(num_tokens):
        [scores] = sequence.run([token], past_tokens=len(sequence.ids), cancellation=Cancellation())
        token = int(np.argmax(scores))


if __name__ == "__main__":
    main()
