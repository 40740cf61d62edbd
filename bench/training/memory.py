"""Does the memory for drawing examples grow with the corpus?

    python -m bench.training.memory 16 64 256

For each size, in megabytes of text: a corpus is made from the sources given with `--from`, and a
process of its own copies its documents, draws and packs an epoch, and reads rows of it. Printed is
the most memory that this process held of its own at any time; pages of mapped files, which the
system takes back when it needs them, do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.examples.background import build_epoch
from training.examples.documents import write_documents
from training.examples.shards import EpochPlan, EpochRows
from training.recipe import ExampleConfig, PretrainRecipe

if TYPE_CHECKING:
    from collections.abc import Iterator

_SAMPLE_S = 0.002
_FILE_ROWS = 500
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("project", "path", "language", "split", "text")]
)


def main() -> None:
    """Print the memory of each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("megabytes", type=int, nargs="+")
    parser.add_argument("--tokenizer", type=Path, default=Path("build/vocab-16k/tokenizer.json"))
    parser.add_argument("--from", dest="sources", type=Path, default=Path("training"))
    parser.add_argument("--shard-bytes", type=int, default=ExampleConfig().shard_bytes)
    arguments = parser.parse_args()
    for size in arguments.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            corpus = write_corpus(Path(folder), arguments.sources, size * 1_000_000)
            peak = peak_bytes(corpus, arguments.tokenizer, arguments.shard_bytes)
        print(f"{size:6} MB of text: {peak / 1e6:7.1f} MB of memory")


def write_corpus(folder: Path, sources: Path, num_bytes: int) -> Path:
    """Write a corpus of the Python files below `sources`, again and again, none twice the same."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(sources.rglob("*.py"))]
    (folder / "files").mkdir(parents=True)
    for part, rows in enumerate(_parts(texts, num_bytes)):
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        pq.write_table(table, folder / "files" / f"{part:05}.parquet")
    return folder


def _parts(texts: list[str], num_bytes: int) -> Iterator[list[dict[str, str]]]:
    number = written = 0
    while written < num_bytes:
        rows: list[dict[str, str]] = []
        while len(rows) < _FILE_ROWS and written < num_bytes:
            text = f"# {number}\n{texts[number % len(texts)]}"
            row = {"project": "p", "path": f"{number}.py", "language": "python", "split": "train"}
            rows.append({**row, "text": text})
            number, written = number + 1, written + len(text)
        yield rows


def peak_bytes(corpus: Path, tokenizer: Path, shard_bytes: int) -> int:
    """Return the most memory that a process needs to draw an epoch of a corpus and to read it.

    What it held before, the interpreter and libraries, is taken off.
    """
    arguments = [str(corpus), str(tokenizer), str(shard_bytes)]
    command = [sys.executable, "-m", "bench.training.memory_child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["peak_bytes"])


class Gauge:
    """Watches the memory of its own process from a thread."""

    def __init__(self) -> None:
        self._before = self.peak_bytes = own_bytes()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return how much more there was at the most than at the start."""
        self._is_over.set()
        self._thread.join()
        return self.peak_bytes - self._before

    def _watch(self) -> None:
        while not self._is_over.wait(_SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, own_bytes())


def own_bytes() -> int:
    """Return the resident memory of this process that is not mapped from files."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def draw_and_read(corpus: Path, tokenizer: Path, shard_bytes: int) -> int:
    """Draw an epoch, read 2,000 rows of it, and return the memory that it took."""
    recipe = PretrainRecipe(
        name="memory",
        corpus=corpus,
        tokenizer=tokenizer,
        jobs=1,
        examples=ExampleConfig(shard_bytes=shard_bytes),
    )
    documents = corpus / "rows" / "train.arrow"
    gauge = Gauge()
    write_documents(corpus, "train", documents)
    plan = EpochPlan(recipe, documents, corpus / "rows" / "epoch-0000", 0)
    build_epoch(plan)
    rows = EpochRows(plan.folder, seed=0, epoch=0)
    for start in range(0, min(len(rows), 2000), 16):
        assert rows.rows(start, start + 1).dtype == np.uint16
        assert rows.documents(start, start + 1)
    return gauge.stop()


if __name__ == "__main__":
    main()
