"""What does code of other files cost when rows are drawn, and what do rows look like then?

    python -m bench.training.snippet_rows build/corpus build/vocabulary/tokenizer.json

Some projects of a corpus are drawn once at each rate, by one process. Printed is processor time, as
a rate and as what 1 GB takes on 16 cores; rows per megabyte of the corpus, which code of
other files adds to; how full rows are; and how much memory the process has held at most.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from training.examples.documents import Documents, corpus_files, write_documents
from training.examples.shards import EpochPlan, build_share, epoch_summary
from training.recipe import ExampleConfig, ModelShape, PretrainRecipe

RATES = (0.0, 0.25, 0.3, 1.0)
_CORES = 16
_COLUMNS = ["project", "path", "language", "split", "text"]


class Cost(NamedTuple):
    """What one epoch took."""

    cpu_s: float
    rows: int
    tokens: int
    with_snippets: int
    examples: int
    peak_bytes: int


def main() -> None:
    """Print the cost of each rate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--megabytes", type=int, default=12, help="text to draw")
    parser.add_argument("--fim-rate", type=float, default=0.85)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_subset(arguments.corpus, folder, arguments.megabytes * 1_000_000)
        write_documents(folder, "train", folder / "train.arrow")
        text_bytes = Documents(folder / "train.arrow").text_bytes
        print(f"{text_bytes / 1e6:.1f} MB of {len(Documents(folder / 'train.arrow'))} documents")
        for rate in RATES:
            config = ExampleConfig(fim_rate=arguments.fim_rate, snippet_rate=rate)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                cost = pool.apply(draw, (folder, arguments.tokenizer, config))
            print(line_of(rate, cost, text_bytes), flush=True)


def line_of(rate: float, cost: Cost, text_bytes: int) -> str:
    """Return what is printed of one rate."""
    minutes = cost.cpu_s / text_bytes * 1e9 / _CORES / 60
    fill = cost.tokens / (cost.rows * ModelShape().context_tokens)
    return (
        f"rate {rate:4.2f}: {cost.rows / cost.cpu_s:6.0f} rows/s  "
        f"{minutes:5.2f} min for 1 GB on {_CORES} cores  "
        f"{cost.rows / text_bytes * 1e6:5.1f} rows/MB  {fill:.1%} full  "
        f"{cost.with_snippets / cost.examples:.1%} of examples with snippets  "
        f"{cost.peak_bytes / 1e6:.0f} MB at most"
    )


def write_subset(corpus: Path, folder: Path, num_bytes: int) -> None:
    """Write whole projects of a corpus, spread over it, up to some size."""
    (folder / "files").mkdir()
    files = corpus_files(corpus)
    step = 37  # has no factor in common with any usual number of files
    taken = 0
    for number in range(len(files)):
        path = files[number * step % len(files)]
        table = pq.read_table(path, columns=_COLUMNS)
        size = sum(len(text.as_py()) for text in table.column("text"))
        if size > num_bytes // 3:
            continue  # one project must not be most of what is measured
        pq.write_table(table.cast(_schema()), folder / "files" / f"part-{number:05}.parquet")
        taken += size
        if taken >= num_bytes:
            return


def _schema() -> pa.Schema:
    return pa.schema([(name, pa.large_string()) for name in _COLUMNS])


def draw(folder: Path, tokenizer: Path, config: ExampleConfig) -> Cost:
    """Draw one epoch in this process."""
    recipe = PretrainRecipe(name="bench", corpus=folder, tokenizer=tokenizer, examples=config)
    with tempfile.TemporaryDirectory() as name:
        started_s = time.process_time()
        build_share(EpochPlan(recipe, folder / "train.arrow", Path(name), 0), 0, 1)
        cpu_s = time.process_time() - started_s
        summary = epoch_summary(Path(name))
    kinds = set(summary) - {"rows", "tokens", "padding_tokens", "with_snippets"}
    return Cost(
        cpu_s=cpu_s,
        rows=summary["rows"],
        tokens=summary["tokens"],
        with_snippets=summary["with_snippets"],
        examples=sum(summary[kind] for kind in kinds),
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


if __name__ == "__main__":
    main()
