"""Our pipeline against datatrove: the same input, the same rules on files, one run after another.

    python -m bench.corpus.throughput [--input DIR] [--megabytes N] [--repeats N] [--jobs N]
                                      [--peer-words ours,spacy]

Both read the same Parquet shards, apply our rules (licence, lines, origin, syntax), remove equal
texts and near duplicates (words in 5-grams, 32 bands of 8 MinHashes) and write Parquet. Processor
time is that of all processes from start to end, so imports and start-up count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow.parquet as pq

from bench.corpus.inputs import Input, prepare
from bench.corpus.measure import ROOT, Run, measured_build

if TYPE_CHECKING:
    from collections.abc import Sequence

PEER_WORDS = {
    "ours": "datatrove, our words",
    "spacy": "datatrove, its own words",
}


class Side(NamedTuple):
    """One of the pipelines that are compared."""

    name: str
    command: tuple[str, ...]
    """Program and arguments, without input and output."""
    out: Path


def sides(arguments: argparse.Namespace) -> list[Side]:
    """Return the pipelines that the command line asks for, ours first."""
    jobs = ("--jobs", str(arguments.jobs))
    ours = (sys.executable, "-m", "bench.corpus.ours_build", *jobs)
    result = [Side("fimble", ours, arguments.work / "ours")]
    for words in arguments.peer_words.split(","):
        peer = (str(arguments.peer_python), "-m", "bench.corpus.datatrove_build", *jobs)
        command = (*peer, "--words", words)
        result.append(Side(PEER_WORDS[words], command, arguments.work / f"datatrove-{words}"))
    return result


def run_side(side: Side, source: Input) -> Run:
    """Return one run of a pipeline over the input."""
    program, *rest = side.command
    # The input and output stand before the options, behind `-m MODULE`.
    command = [program, *rest[:2], str(source.folder), str(side.out), *rest[2:]]
    return measured_build(command, side.out)


def kept_paths(out: Path) -> set[str]:
    """Return the paths of the files that a pipeline kept."""
    tables = [pq.read_table(path, columns=["path"]) for path in (out / "files").glob("*.parquet")]
    return {path for table in tables for path in table["path"].to_pylist()}


def median_of(runs: Sequence[Run], field: str) -> float:
    """Return the median of one field of the usage."""
    return statistics.median(getattr(run.usage, field) for run in runs)


def print_cost(name: str, runs: Sequence[Run], source: Input) -> None:
    """Print the row of one pipeline."""
    cpu_s, wall_s = median_of(runs, "cpu_s"), median_of(runs, "wall_s")
    megabytes = source.size_bytes / 1e6
    peak = median_of(runs, "peak_bytes") / 1e6
    print(f"{name:<26} {cpu_s:>8.1f} {megabytes / cpu_s:>14.2f} {wall_s:>8.1f} {peak:>9.0f}")


def main() -> None:
    """Print what each pipeline took, and how far they agree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--input", type=Path, help="folder of source code or of Parquet files")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--peer-words", default="ours,spacy")
    parser.add_argument("--work", type=Path, default=ROOT / "build/bench-corpus")
    parser.add_argument(
        "--peer-python", type=Path, default=ROOT / "build/peers/datatrove/bin/python"
    )
    arguments = parser.parse_args()
    arguments.work = arguments.work.resolve()
    size_bytes = arguments.megabytes * 1_000_000
    folder = arguments.work / f"input-{arguments.megabytes}"
    source = prepare(arguments.input, folder, size_bytes)
    print(f"{source.num_files} files, {source.size_bytes / 1e6:.1f} MB, {arguments.jobs} processes")
    print(f"{'':<26} {'CPU s':>8} {'MB/s per core':>14} {'wall s':>8} {'peak MB':>9}")
    found: list[tuple[Side, Run]] = []
    for side in sides(arguments):
        runs = [run_side(side, source) for _ in range(arguments.repeats)]
        print_cost(side.name, runs, source)
        found.append((side, runs[-1]))
    steps = list(found[0][1].num_files)
    print(f"\n{'files':<26} " + " ".join(f"{step:>12}" for step in steps))
    for side, run in found:
        print(f"{side.name:<26} " + " ".join(f"{run.num_files[step]:>12}" for step in steps))
    ours = kept_paths(found[0][0].out)
    for side, _ in found[1:]:
        theirs = kept_paths(side.out)
        print(
            f"kept by fimble and {side.name}: {len(ours & theirs)}, "
            f"by fimble alone: {len(ours - theirs)}, by the other alone: {len(theirs - ours)}"
        )


if __name__ == "__main__":
    main()
