"""Our side: `fimble corpus build` on shards, with the stages that the peer has as well.

    python -m bench.corpus.ours_build INPUT OUT [--jobs N] [--full]

Redaction and decontamination, for which the peer has no counterpart, are off without `--full`;
caps are always off, so that all input goes through all stages. Prints the number of files after
each step as JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from training.corpus import command

_WITHOUT = ("redaction", "decontamination", "caps")


def recipe_of(shards: list[Path], *, off: tuple[str, ...] = _WITHOUT) -> str:
    """Return the recipe that builds a corpus from shards.

    Args:
        shards: Parquet files beside the recipe.
        off: Sections of the recipe that are switched off.
    """
    switches = "".join(f"{section} = {{ enabled = false }}\n" for section in off)
    rows = "".join(
        f'    {{ parquet = "{path.name}", licence = "NOASSERTION", project = "bench" }},\n'
        for path in shards
    )
    return f'name = "bench"\n{switches}sources = [\n{rows}]\n'


def build(shards: Path, out: Path, *, jobs: int, is_full: bool) -> dict[str, int]:
    """Build a corpus; return the number of files after each step."""
    off = ("caps",) if is_full else _WITHOUT
    recipe = shards / "recipe.toml"
    recipe.write_text(recipe_of(sorted(shards.glob("*.parquet")), off=off), "utf-8")
    command.build(recipe, out, jobs=jobs)
    dropped: Counter[str] = Counter()
    for path in (out / "dropped").glob("*.parquet"):
        dropped.update(pq.read_table(path, columns=["stage"])["stage"].to_pylist())
    files = (out / "files").glob("*.parquet")
    num_kept = sum(pq.read_metadata(path).num_rows for path in files)
    num_exact, num_near = dropped["exact_duplicates"], dropped["near_duplicates"]
    return {
        "read": num_kept + dropped.total(),
        "after_rules": num_kept + num_near + num_exact,
        "after_exact": num_kept + num_near,
        "kept": num_kept,
    }


def main() -> None:
    """Run the build that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    counts = build(arguments.input, arguments.out, jobs=arguments.jobs, is_full=arguments.full)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
