"""Runs as a DuckDB database, for questions that the report does not answer."""

from __future__ import annotations

import json
import math
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from eval_harness.report.names import short_names
from eval_harness.statistics.scores import scores
from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from eval_harness.results import Reply, Result, Run
    from eval_harness.statistics.intervals import Estimate

TABLES = "tables.sql"
MAIN = "main"

Row = tuple[Any, ...]


def write_database(path: Path, runs: Mapping[str, Run]) -> None:
    """Write a database of some runs in the place of any older one.

    Args:
        path: The file.
        runs: By folder, in order.

    Raises:
        InputError: duckdb is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise InputError(
            "--duckdb needs the package duckdb; install the extra: pip install 'fimble[analyst]'"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    names = short_names(list(runs))
    with duckdb.connect(str(aside)) as connection:
        connection.execute(files("eval_harness.report").joinpath(TABLES).read_text("utf-8"))
        for name, run in zip(names, runs.values(), strict=True):
            for table, rows in _tables(name, run).items():
                marks = ", ".join("?" * len(rows[0])) if rows else ""
                if rows:
                    # The names of tables are ours.
                    connection.executemany(f"insert into {table} values ({marks})", rows)  # noqa: S608
    aside.replace(path)


def _tables(name: str, run: Run) -> dict[str, list[Row]]:
    return {
        "runs": [_run_row(name, run)],
        "problems": [_problem_row(name, result) for result in run.results],
        "samples": [_sample_row(name, reply) for result in run.results for reply in result.replies],
        "scores": list(_score_rows(name, run)),
    }


def _run_row(name: str, run: Run) -> Row:
    inputs = run.manifest["inputs"]
    model, sampling = inputs["model"], inputs["sampling"]
    return (
        name,
        model["name"],
        model["kind"],
        model["digest"],
        sampling["temperature"],
        sampling["seed"],
        run.num_samples,
        inputs["prompts"],
        run.manifest.get("judging", {}).get("sandbox"),
        json.dumps(run.manifest),
    )


def _problem_row(name: str, result: Result) -> Row:
    asked, problem = result.asked, result.problem
    return (
        name,
        asked.suite,
        problem.language,
        problem.problem_id,
        problem.group,
        problem.kind.value,
        problem.extent.value,
        problem.variant,
        asked.known_bad,
        asked.contaminated,
        _clean(problem.prompt),
        _clean(problem.suffix),
        None if problem.canonical is None else _clean(problem.canonical),
        bool(problem.tests),
    )


def _sample_row(name: str, reply: Reply) -> Row:
    answer, judged = reply.answer, reply.judged
    verdict: Row = (None, None, None, None, None, None)
    if judged is not None:
        verdict = (
            judged.state.value,
            reply.is_passed,
            _clean(judged.detail),
            judged.cpu_ms,
            judged.is_cached,
            judged.num_tries,
        )
    return (
        name,
        *answer.sample,
        _clean(answer.text),
        *answer[5:],
        reply.is_exact,
        reply.edit_similarity,
        reply.stops_right,
        reply.parses,
        *verdict,
    )


def _score_rows(name: str, run: Run) -> Iterator[Row]:
    for score in scores(run):
        variants: dict[str, dict[str, Estimate]] = {MAIN: score.metrics, **score.variants}
        for variant, metrics in variants.items():
            for metric, found in metrics.items():
                low, high = (end if math.isfinite(end) else None for end in found[1:3])
                where = (name, score.suite, score.language, variant, metric)
                yield (*where, found.value, low, high, found.num_problems, found.num_clusters)


def _clean(text: str) -> str:
    """Return a text that UTF-8 can hold: half of a character becomes a question mark."""
    return text.encode(errors="replace").decode()
