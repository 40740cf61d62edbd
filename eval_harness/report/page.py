"""A page about runs: scores, how they differ, what failed, and what made them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from eval_harness.report import plots
from eval_harness.report.comparison import Comparison, compare, pairs_of
from eval_harness.report.names import short_names
from eval_harness.report.programs import differences, failures
from eval_harness.statistics.scores import problem_score, scores
from fimble.files import write_whole
from fimble.pages.intervals import Row, whiskers
from fimble.pages.page import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from eval_harness.report.programs import Difference, Failure
    from eval_harness.results import Result, Run
    from eval_harness.statistics.intervals import Estimate
    from eval_harness.statistics.scores import Score

MAIN_METRICS = ("pass@1", "exact_match")
"""What a suite is known by: the first that it has."""
SHOWN_METRICS = {
    "pass@1": "pass@1",
    "pass@5": "pass@5",
    "pass@10": "pass@10",
    "pass@100": "pass@100",
    "exact_match": "exact",
    "edit_similarity": "edit similarity",
    "stop_accuracy": "stops right",
    "ended_rate": "ends itself",
    "parse_rate": "parses",
    "bits_per_byte": "bits/byte",
}
MAX_MARKS = 200
"""Problems of the training data's sources that the page names; it counts the others."""
SPEEDS = {
    "latency_p50_ms": "p50 ms",
    "latency_p90_ms": "p90 ms",
    "latency_p99_ms": "p99 ms",
    "tokens_per_s": "tokens/s",
}


class ScoreRow(NamedTuple):
    """One run on one suite and language."""

    run: str
    score: Score
    cells: dict[str, Estimate]

    @property
    def num_problems(self) -> int:
        """Problems behind the metric that has most of them."""
        return max((each.num_problems for each in self.cells.values()), default=0)


class SuiteView(NamedTuple):
    """One suite in all runs."""

    name: str
    metrics: list[str]
    """Those that some run has, of `SHOWN_METRICS`."""
    rows: list[ScoreRow]
    plot: Markup
    over_runs: list[tuple[str, Markup]]
    """A small plot a language, where there are several runs."""


class ComparisonView(NamedTuple):
    """A run against the one before it."""

    first: str
    second: str
    rows: list[Comparison]
    plot: Markup
    differences: list[Difference]
    num_differences: int


class Mark(NamedTuple):
    """A problem that stood in the sources of the training data."""

    suite: str
    key: str
    why: str
    score: str
    """What became of it: a share of passed or exact answers in percent, or empty."""


class RunView(NamedTuple):
    """One run."""

    name: str
    run: Run
    failures: list[Failure]
    num_answers: int
    marks: list[Mark]
    num_marks: int


def write_page(path: Path, runs: Mapping[str, Run]) -> None:
    """Write the page; equal runs give equal bytes.

    Args:
        path: Where to.
        runs: By the name that the page gives them, in order.
    """
    page = render("eval_harness.report", view(runs), {"score": score_text, "reach": reach_text})
    write_whole(path, page.encode())


def view(runs: Mapping[str, Run]) -> dict[str, object]:
    """Return the values of the template."""
    runs = dict(zip(short_names(list(runs)), runs.values(), strict=True))
    found = {name: scores(run) for name, run in runs.items()}
    names = list(dict.fromkeys(score.suite for of in found.values() for score in of))
    named = list(runs.items())
    latencies = [_latencies(run) for run in runs.values()]
    return {
        "runs": [_run_view(name, run) for name, run in named],
        "suites": [_suite_view(name, found) for name in names],
        "comparisons": [_comparison_view(*before, *after) for before, after in pairwise(named)],
        "warnings": _warnings(found),
        "labels": SHOWN_METRICS | SPEEDS,
        "speeds": list(SPEEDS),
        "latency_plot": _latency_plot(latencies) if any(latencies) else None,
    }


def _run_view(name: str, run: Run) -> RunView:
    marked = [result for result in run.results if result.asked.contaminated]
    return RunView(
        name=name,
        run=run,
        failures=failures(run),
        num_answers=sum(len(result.replies) for result in run.results),
        marks=[_mark(result) for result in marked[:MAX_MARKS]],
        num_marks=len(marked),
    )


def _mark(result: Result) -> Mark:
    scored = problem_score(result)
    shown = "" if scored is None else f"{100 * scored:.0f}"
    return Mark(result.asked.suite, result.problem.key, result.asked.contaminated, shown)


def _warnings(found: Mapping[str, Sequence[Score]]) -> list[tuple[str, str]]:
    return [
        (f"{name}, {score.suite} {score.language}", text)
        for name, of in found.items()
        for score in of
        for text in score.warnings
    ]


def main_metric(of: Sequence[Score]) -> str | None:
    """Return what some scores are compared by, or None where they have nothing of that kind."""
    return next((m for m in MAIN_METRICS if any(m in score.metrics for score in of)), None)


def _suite_view(suite: str, found: Mapping[str, Sequence[Score]]) -> SuiteView:
    of_runs = {
        name: scores_of
        for name, of in found.items()
        if (scores_of := [score for score in of if score.suite == suite])
    }
    every = [score for of in of_runs.values() for score in of]
    languages = list(dict.fromkeys(score.language for score in every))
    rows = [
        ScoreRow(name, score, score.metrics)
        for language in languages
        for name, of in of_runs.items()
        for score in of
        if score.language == language
    ]
    main = main_metric(every)
    return SuiteView(
        name=suite,
        metrics=[m for m in SHOWN_METRICS if any(m in score.metrics for score in every)],
        rows=rows,
        plot=_score_plot(suite, main, rows) if main else Markup(),
        over_runs=_over_runs(main, languages, of_runs) if main and len(of_runs) > 1 else [],
    )


def _score_plot(suite: str, metric: str, rows: Sequence[ScoreRow]) -> Markup:
    has_runs = len({row.run for row in rows}) > 1
    drawn = [
        Row(f"{row.score.language}, {row.run}" if has_runs else row.score.language, *each[:3])
        for row in rows
        if (each := row.score.metrics.get(metric)) is not None
    ]
    return Markup(  # noqa: S704 - our own plot
        whiskers(
            drawn,
            title=f"{SHOWN_METRICS[metric]} on {suite}",
            description="; ".join(f"{row.label}: {_shares(row)}" for row in drawn),
            is_difference=False,
        )
    )


def _over_runs(
    metric: str, languages: Sequence[str], of_runs: Mapping[str, Sequence[Score]]
) -> list[tuple[str, Markup]]:
    def estimate(of: Sequence[Score], language: str) -> Estimate | None:
        return next((s.metrics.get(metric) for s in of if s.language == language), None)

    series = {each: [estimate(of, each) for of in of_runs.values()] for each in languages}
    top = max((e.high for of in series.values() for e in of if e is not None), default=1.0)
    return [
        (
            language,
            Markup(  # noqa: S704 - our own plot
                plots.over_runs(
                    estimates,
                    top=min(1.0, top * 1.1) or 1.0,
                    title=f"{SHOWN_METRICS[metric]} in {language} over runs",
                    description="The numbers stand in the table of scores.",
                )
            ),
        )
        for language, estimates in series.items()
        if any(estimates)
    ]


def _comparison_view(first: str, one: Run, second: str, other: Run) -> ComparisonView:
    rows = compare(one, other)
    pairs = pairs_of(one, other)
    drawn = [Row(f"{r.suite} {r.language}", *r.difference[:3]) for r in rows]
    plot = Markup()
    if drawn:
        plot = Markup(  # noqa: S704 - our own plot
            whiskers(
                drawn,
                title=f"{second} minus {first}",
                description="; ".join(f"{row.label}: {_shares(row)}" for row in drawn),
                is_difference=True,
            )
        )
    num_differences = sum(pair.first_score != pair.second_score for pair in pairs)
    return ComparisonView(first, second, rows, plot, differences(pairs), num_differences)


def _latencies(run: Run) -> list[float]:
    return [
        reply.answer.latency_ms
        for result in run.results
        for reply in result.replies
        if reply.answer.latency_ms > 0
    ]


def _latency_plot(latencies: Sequence[Sequence[float]]) -> Markup:
    description = "Quantiles stand in the tables of scores."
    drawn = [each for each in latencies if each]
    return Markup(plots.latencies(drawn, description=description))  # noqa: S704 - our own plot


def _shares(row: Row) -> str:
    return f"{100 * row.value:.1f}% ({100 * row.low:.1f} to {100 * row.high:.1f})"


def score_text(found: Estimate, metric: str) -> str:
    """Return a value as a table shows it."""
    if metric in SPEEDS:
        return f"{found.value:,.0f}"
    return f"{found.value:.3f}" if metric == "bits_per_byte" else f"{100 * found.value:.1f}"


def reach_text(found: Estimate, metric: str) -> str:
    """Return the interval of a value as a table shows it."""
    if metric in SPEEDS:
        return f"{found.low:,.0f}–{found.high:,.0f}"
    if metric == "bits_per_byte":
        return f"{found.low:.3f}–{found.high:.3f}"
    return f"{100 * found.low:.1f}–{100 * found.high:.1f}"
