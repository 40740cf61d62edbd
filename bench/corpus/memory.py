"""Peak memory of a build while its input grows: all stages on, from 100 MB to 1 GB.

    python -m bench.corpus.memory [--input DIR] [--megabytes 100,300,1000] [--jobs N]

Memory is the proportional set size, sampled five times a second: of all processes together, and the
largest of each role. The parent holds the queries' database and the components of near duplicates,
workers hold batches, parsers one file. `FIMBLE_BENCHMARKS` switches decontamination on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.corpus.inputs import prepare
from bench.corpus.measure import ROOT, Run, measured_build

ROLES = {"parent": "parent", "child": "worker", "grandchild": "parser"}


def run_size(arguments: argparse.Namespace, megabytes: int) -> Run:
    """Return the build of one size, and print its row."""
    folder = arguments.work / f"input-{megabytes}"
    source = prepare(arguments.input, folder, megabytes * 1_000_000)
    out = arguments.work / "memory"
    module = "bench.corpus.ours_build"
    flags = ["--full", "--jobs", str(arguments.jobs)]
    command = [sys.executable, "-m", module, str(source.folder), str(out), *flags]
    run = measured_build(command, out)
    usage = run.usage
    roles = " ".join(f"{usage.role_bytes.get(role, 0) / 1e6:>8.0f}" for role in ROLES)
    print(
        f"{source.size_bytes / 1e6:>8.1f} {run.num_files['read']:>8} {run.num_files['kept']:>8} "
        f"{usage.cpu_s:>8.1f} {usage.wall_s:>8.1f} {usage.peak_bytes / 1e6:>8.0f} {roles}",
        flush=True,
    )
    return run


def main() -> None:
    """Print one row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--input", type=Path, help="folder of source code or of Parquet files")
    parser.add_argument("--megabytes", default="100,300,1000")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "build/bench-corpus")
    arguments = parser.parse_args()
    arguments.work = arguments.work.resolve()
    names = ("MB in", "files", "kept", "CPU s", "wall s", "peak MB", *ROLES.values())
    print(" ".join(f"{name:>8}" for name in names), flush=True)
    sizes = [int(size) for size in arguments.megabytes.split(",")]
    peaks = [run_size(arguments, size).usage.peak_bytes for size in sizes]
    print(f"peak at {sizes[-1]} MB is {peaks[-1] / peaks[0]:.2f} times that at {sizes[0]} MB")


if __name__ == "__main__":
    main()
