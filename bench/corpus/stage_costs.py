"""What each stage of the pipeline costs, on the same batches of real files.

    python -m bench.corpus.stage_costs [--input DIR] [--megabytes N] [--repeats N]

Every stage runs in this process, parser children and database threads included; a rate is the bytes
of text that reach a stage by processor seconds, so it is that of one core. Medians of the repeats.
Decontamination needs benchmark files: `FIMBLE_BENCHMARKS` names their folder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import psutil
import pyarrow.parquet as pq

from bench.corpus.inputs import Input, prepare
from bench.corpus.measure import ROOT
from bench.corpus.ours_build import recipe_of
from training.corpus import relations
from training.corpus.benchmarks import read_benchmarks
from training.corpus.engine import LocalEngine
from training.corpus.minhash import NGRAM_WORDS, signatures
from training.corpus.parse import Parser
from training.corpus.pipeline import Annotation
from training.corpus.read import Reading, read_source
from training.corpus.recipe import Recipe, read_recipe
from training.corpus.shingles import shingles
from training.corpus.stages import Step, sign, steps
from training.corpus.tables import live, write_table
from training.corpus.write import Writing, write_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from training.corpus.recipe import Rules

Task = TypeVar("Task")
Result = TypeVar("Result")
PARSE_BYTES = 4_000_000
"""Most text of one language that is parsed to measure it."""


class Cost(NamedTuple):
    """What one stage took in one run over the input."""

    cpu_s: float
    size_bytes: int
    """Text that reached it."""


def cpu_s() -> float:
    """Return the processor time of this process, its threads and all its children so far."""
    me = psutil.Process()
    ended = me.cpu_times()
    total = time.process_time() + ended.children_user + ended.children_system
    for child in me.children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


class Costs:
    """Processor time and bytes by stage, added up."""

    def __init__(self) -> None:
        self._cpu_s: dict[str, float] = defaultdict(float)
        self._bytes: dict[str, int] = defaultdict(int)

    def timed(self, stage: str, size_bytes: int, work: Callable[[], Result]) -> Result:
        """Return what `work` returns; note what it takes."""
        before = cpu_s()
        result = work()
        self._cpu_s[stage] += cpu_s() - before
        self._bytes[stage] += size_bytes
        return result

    def by_stage(self) -> dict[str, Cost]:
        """Return the sums, in the order in which the stages came up."""
        return {stage: Cost(self._cpu_s[stage], self._bytes[stage]) for stage in self._cpu_s}


class TimedEngine:
    """Runs stages in this process and queries in the embedded engine, and notes what each takes."""

    def __init__(self, costs: Costs, size_bytes: int, engine: LocalEngine) -> None:
        self._costs, self._size_bytes, self._engine = costs, size_bytes, engine

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], *, title: str
    ) -> list[Result]:
        """See `Engine.map`."""
        return self._costs.timed(title, self._size_bytes, lambda: [function(t) for t in tasks])

    def sql(self, query: str, relations: Mapping[str, Sequence[Path]], out: Path) -> list[Path]:
        """See `Engine.sql`."""
        stage = f"query {out.name}"
        return self._costs.timed(
            stage, self._size_bytes, lambda: self._engine.sql(query, relations, out)
        )


def run_stages(source: Input, rules: Rules, recipe: Recipe, out: Path) -> dict[str, Cost]:
    """Return what each stage takes for one run over the input."""
    costs = Costs()
    annotations: list[Annotation] = []
    for entry, shard in zip(recipe.sources, source.shards, strict=True):
        size_bytes = source.size_bytes // len(source.shards)
        folder = out / shard.stem
        folder.mkdir(parents=True)
        rows = folder / "read.parquet"
        reading = Reading(
            source=entry,
            splits=recipe.splits,
            exclude=(),
            limits=recipe.limits,
            archives=(shard,),
        )
        costs.timed(
            "read", size_bytes, lambda reading=reading, rows=rows: read_source(reading, rows)
        )
        for group in range(pq.read_metadata(rows).num_row_groups):
            annotation = Annotation(
                key=entry.key,
                rows=rows,
                row_group=group,
                annotated=folder / f"annotated-{group:04}.parquet",
                bands=folder / f"bands-{group:04}.parquet",
            )
            annotate(annotation, steps(rules), costs)
            annotations.append(annotation)
    across_files(recipe, annotations, out, costs)
    return costs.by_stage()


def annotate(task: Annotation, todo: Sequence[Step], costs: Costs) -> None:
    """Run the stages of one file over one row group."""
    with pq.ParquetFile(task.rows) as file:
        table = costs.timed("load", 0, lambda: file.read_row_group(task.row_group))
    for step in todo:
        column = "content" if step.name == "decode" else "text"
        size_bytes = live_bytes(table, column)
        table = costs.timed(step.name, size_bytes, lambda step=step, t=table: step.run(t))
    size_bytes = live_bytes(table, "text")
    texts = [text.encode() for text in live(table, "text", str) if text is not None]
    costs.timed("  of it shingles", size_bytes, lambda: shingles(texts, NGRAM_WORDS))
    costs.timed("  of it signatures and bands", size_bytes, lambda: signatures(texts))
    signed, bands = costs.timed("sign", size_bytes, lambda: sign(table))

    def save() -> None:
        write_table(bands, task.bands)
        write_table(signed, task.annotated)

    costs.timed("save", size_bytes, save)


def live_bytes(table: pa.Table, column: str) -> int:
    """Return the bytes of a column in rows that are not dropped."""
    if column == "content":
        return sum(len(content or b"") for content in live(table, column, bytes))
    return sum(len((text or "").encode()) for text in live(table, column, str))


def across_files(
    recipe: Recipe, annotations: Sequence[Annotation], out: Path, costs: Costs
) -> None:
    """Run the queries, and write the kept files."""
    size_bytes = sum(
        sum(pq.read_table(each.annotated, columns=["size_bytes"])["size_bytes"].to_pylist())
        for each in annotations
    )
    with LocalEngine(jobs=1, spill_dir=out) as local:
        engine = TimedEngine(costs, size_bytes, local)
        found = relations.decide(recipe, annotations, out / "relations", engine)
        writings = [
            Writing(
                key=key,
                annotated=tuple(each.annotated for each in annotations if each.key == key),
                decisions=tuple(found.decisions),
                files=out / f"files-{number}.parquet",
                dropped=out / f"dropped-{number}.parquet",
            )
            for number, key in enumerate(sorted({each.key for each in annotations}))
        ]
        engine.map(write_source, writings, title="write")


def run_parser(source: Input, limit_s: float) -> dict[str, Cost]:
    """Return what the syntax stage takes by language, on the first files of each."""
    texts: dict[str, list[str]] = defaultdict(list)
    sizes: dict[str, int] = defaultdict(int)
    for shard in source.shards:
        table = pq.read_table(shard, columns=["language", "text"])
        for language, text in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if sizes[language] < PARSE_BYTES:
                texts[language].append(text)
                sizes[language] += len(text.encode())
    costs = Costs()
    parser = Parser(limit_s)
    for language in sorted(texts):
        parser.verdict(language, "")  # loads the grammar
        of_language = texts[language]
        costs.timed(
            f"syntax of {language}",
            sizes[language],
            lambda language=language, of_language=of_language: [
                parser.verdict(language, text) for text in of_language
            ],
        )
    parser.close()
    return costs.by_stage()


def benchmark_files() -> tuple[Path, ...]:
    """Return the benchmark files of this machine; none without `FIMBLE_BENCHMARKS`."""
    folder = os.environ.get("FIMBLE_BENCHMARKS")
    if folder is None:
        return ()
    return tuple(sorted(path for path in Path(folder).rglob("*.jsonl*") if read_benchmarks([path])))


def medians(runs: Sequence[dict[str, Cost]]) -> dict[str, Cost]:
    """Return the median cost of each stage."""
    return {
        stage: Cost(statistics.median(run[stage].cpu_s for run in runs), cost.size_bytes)
        for stage, cost in runs[0].items()
    }


def print_table(costs: Mapping[str, Cost]) -> None:
    """Print seconds and rates."""
    print(f"{'stage':<30} {'MB in':>8} {'CPU s':>8} {'MB/s per core':>14}")
    for stage, cost in costs.items():
        rate = f"{cost.size_bytes / cost.cpu_s / 1e6:.1f}" if cost.cpu_s and cost.size_bytes else ""
        print(f"{stage:<30} {cost.size_bytes / 1e6:>8.1f} {cost.cpu_s:>8.2f} {rate:>14}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--input", type=Path)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", type=Path, default=ROOT / "build/bench-corpus")
    arguments = parser.parse_args()
    size_bytes = arguments.megabytes * 1_000_000
    source = prepare(arguments.input, arguments.work / f"input-{arguments.megabytes}", size_bytes)
    text = recipe_of(source.shards, off=("caps",))
    recipe_path = source.folder / "stages.toml"
    recipe_path.write_text(text, "utf-8")
    recipe = read_recipe(recipe_path)
    rules = recipe.rules(benchmark_files())
    if not rules.benchmarks:
        print("without decontamination: FIMBLE_BENCHMARKS names no folder")
    runs: list[dict[str, Cost]] = []
    parses: list[dict[str, Cost]] = []
    # The first run makes scanners and grammars, and is not counted.
    for number in range(arguments.repeats + 1):
        with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
            run = run_stages(source, rules, recipe, Path(folder))
        if number:
            runs.append(run)
            parses.append(run_parser(source, recipe.limits.parse_s))
    print_table(medians(runs))
    print_table(medians(parses))


if __name__ == "__main__":
    main()
