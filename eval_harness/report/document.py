"""Runs as one JSON document, for machines."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from eval_harness.report.comparison import compare
from eval_harness.statistics.scores import scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eval_harness.report.comparison import Comparison
    from eval_harness.results import Run
    from eval_harness.statistics.intervals import Estimate
    from eval_harness.statistics.scores import Score


def run_document(run: Run) -> dict[str, dict[str, object]]:
    """Return the scores of a run by suite and language."""
    found: dict[str, dict[str, object]] = {}
    for score in scores(run):
        found.setdefault(score.suite, {})[score.language] = score_document(score)
    return found


def report_document(runs: Mapping[str, Run]) -> dict[str, object]:
    """Return the scores of several runs by folder, and how each differs from the one before.

    Args:
        runs: By the folder as the user names it, in order.
    """
    named = list(runs.items())
    return {
        "runs": {folder: run_document(run) for folder, run in named},
        "comparisons": [
            _comparison_document(first, second, each)
            for (first, one), (second, other) in pairwise(named)
            for each in compare(one, other)
        ],
    }


def score_document(score: Score) -> dict[str, object]:
    """Return one suite in one language."""
    document: dict[str, object] = {
        "metrics": _metrics(score.metrics),
        "states": score.states,
    }
    if score.variants:
        document["variants"] = {name: _metrics(of) for name, of in score.variants.items()}
    if score.warnings:
        document["warnings"] = list(score.warnings)
    return document


def _metrics(found: Mapping[str, Estimate]) -> dict[str, object]:
    return {name: _numbers(each._asdict()) for name, each in found.items()}


def _comparison_document(first: str, second: str, found: Comparison) -> dict[str, object]:
    return {
        "first": first,
        "second": second,
        "suite": found.suite,
        "language": found.language,
        "metric": found.metric,
        **_numbers(found.difference._asdict()),
    }


def _numbers(table: Mapping[str, float]) -> dict[str, float | None]:
    """Return numbers as JSON has them: it knows no infinity."""
    return {name: value if math.isfinite(value) else None for name, value in table.items()}


def tables(runs: Mapping[str, Run]) -> str:
    """Return runs as text, for a terminal."""
    named: Sequence[tuple[str, Run]] = list(runs.items())
    blocks = [_run_table(folder, run) for folder, run in named]
    for (first, one), (second, other) in pairwise(named):
        if rows := compare(one, other):
            blocks.append(_comparison_table(first, second, rows))
    return "\n\n".join(blocks)


_SHOWN = ("pass@1", "pass@10", "pass@100", "exact_match", "edit_similarity", "stop_accuracy",
          "parse_rate", "bits_per_byte", "latency_p50_ms", "tokens_per_s")  # fmt: skip


def _run_table(folder: str, run: Run) -> str:
    found = scores(run)
    shown = [name for name in _SHOWN if any(name in score.metrics for score in found)]
    heads = ["suite", "language", "problems", *(name.replace("_", " ") for name in shown)]
    rows = [
        [
            score.suite,
            score.language,
            str(max((each.num_problems for each in score.metrics.values()), default=0)),
            *(shown_estimate(name, score.metrics.get(name)) for name in shown),
        ]
        for score in found
    ]
    model = run.manifest["inputs"]["model"]
    title = f"{folder}: {model['name']} ({model['kind']}), {run.num_samples} a problem"
    notes = [f"! {s.suite} {s.language}: {text}" for s in found for text in s.warnings]
    return "\n".join([title, *_columns([heads, *rows]), *notes])


def _comparison_table(first: str, second: str, rows: Sequence[Comparison]) -> str:
    heads = ["suite", "language", "metric", "difference", "p", "better", "worse", "visible"]
    cells = [
        [
            row.suite,
            row.language,
            row.metric,
            f"{100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]",
            f"{d.p_value:.3f}",
            f"{d.num_better}",
            f"{d.num_worse}",
            f"{100 * d.visible:.1f}",
        ]
        for row in rows
        for d in (row.difference,)
    ]
    note = "points; `visible` is the smallest difference that shows in 4 of 5 such comparisons"
    return "\n".join([f"{second} minus {first}", *_columns([heads, *cells]), note])


def shown_estimate(name: str, found: Estimate | None) -> str:
    """Return a value with its interval as a person reads it; empty where there is none."""
    if found is None:
        return ""
    if name.endswith(("_ms", "_per_s")):
        return f"{found.value:,.0f}"
    if name == "bits_per_byte":
        return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
