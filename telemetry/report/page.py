"""`fimble telemetry report`: one page, with nothing in it that it needs from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from fimble.errors import InputError
from fimble.pages.intervals import Row, whiskers
from fimble.pages.page import render
from telemetry.experiments.command import read_checked
from telemetry.metrics.definition import definitions
from telemetry.metrics.question import MIN_USERS
from telemetry.operations.views import SHOWN_DAYS, serving
from telemetry.report import plots
from telemetry.report.doubts import doubts
from telemetry.report.gather import ACCEPTANCE, COLUMNS, GROUPS, LATENCIES_BY, LATENCY, TREND, Asker
from telemetry.report.texts import FILTERS, metric_text, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import duckdb

    from telemetry.doctor import Findings
    from telemetry.experiments.analysis import Analysis
    from telemetry.experiments.verdict import Comparison
    from telemetry.metrics.question import Spread
    from telemetry.operations.views import Serving
    from telemetry.report.gather import Group, Span

ANSWERED = {
    "miss": "a new generation",
    "cache": "an earlier answer for the same text",
    "stream": "the generation that was running",
    "typed": "the rest of what was on screen",
}
"""Where answers come from, in words."""
LINE_COLORS = ("one", "of-bytes", "all", "all")
"""What the style calls the colours of `plots.latencies`."""


class GroupsView(NamedTuple):
    """A dimension of the section on acceptance."""

    name: str
    groups: list[Group]
    plot: Markup


class TrendView(NamedTuple):
    """A metric day by day."""

    title: str
    plot: Markup


class ExperimentView(NamedTuple):
    """A registered experiment, and what the data say of it."""

    analysis: Analysis
    hypothesis: str
    plot: Markup


def page(
    connection: duckdb.DuckDBPyConnection,
    *,
    span: Span,
    experiments: Sequence[Path],
    findings: Findings,
    now_ms: int,
) -> str:
    """Return the page.

    Args:
        connection: Where the views are, those of operations included.
        span: Which days count.
        experiments: Files of registrations.
        findings: What `fimble telemetry doctor` says.
        now_ms: Unix time; running experiments are looked at until then.
    """
    return render(
        "telemetry.report",
        view(connection, span=span, experiments=experiments, findings=findings, now_ms=now_ms),
        FILTERS,
    )


def view(
    connection: duckdb.DuckDBPyConnection,
    *,
    span: Span,
    experiments: Sequence[Path],
    findings: Findings,
    now_ms: int,
) -> dict[str, object]:
    """Return the values of the template; arguments as for `page`."""
    asker = Asker(connection, span)
    totals = asker.totals()
    groups = [_groups_view(asker, name) for name in GROUPS] if totals.num_requests else []
    found, problems = _experiments(connection, experiments, now_ms=now_ms)
    horizons, quality, backends = asker.retention(), asker.quality(), serving(connection)
    answers = asker.histograms()
    return {
        "span": span,
        "totals": totals,
        "tiles": asker.tiles(),
        "time": next(iter(asker.spread(LATENCY)), None),
        "definitions": definitions(),
        "columns": COLUMNS,
        "acceptance": ACCEPTANCE,
        "groups": [each for each in groups if _is_told(each)],
        "trends": _trends(asker),
        "endings": asker.endings(),
        "latency_plot": _latency_plot(answers),
        "latency_keys": list(zip(LINE_COLORS, map(ANSWERED.get, answers), strict=False)),
        "latencies": [(name, rows) for name in LATENCIES_BY if (rows := _spreads(asker, name))],
        "horizons": horizons,
        "retention_plot": _marked(plots.retention(horizons, title="Accepted text that stands"))
        if horizons
        else Markup(),
        "experiments": found,
        "serving": backends,
        "serving_days": SHOWN_DAYS,
        "backend_plots": _backend_plots(backends),
        "quality": quality,
        "findings": findings,
        "doubts": [*problems, *doubts(totals, quality, findings)],
        "min_users": MIN_USERS,
        "num_withheld": sum(each.is_withheld for of in groups for each in of.groups),
    }


def _marked(plot: str) -> Markup:
    return Markup(plot)  # noqa: S704 - our own plot


def _groups_view(asker: Asker, dimension: str) -> GroupsView:
    groups = asker.groups(dimension)
    title = f"{definitions()[ACCEPTANCE].title} by {dimension}"
    values = [each.values[ACCEPTANCE] for each in groups if ACCEPTANCE in each.values]
    return GroupsView(dimension, groups, _marked(plots.of_values(values, ACCEPTANCE, title=title)))


def _is_told(groups: GroupsView) -> bool:
    """Return whether a dimension has values at all."""
    return any(group.name for group in groups.groups)


def _trends(asker: Asker) -> list[TrendView]:
    found: list[TrendView] = []
    for name in TREND:
        title = definitions()[name].title
        plot = plots.of_days(asker.ratio(name, "day"), name, title=f"{title}, day by day")
        if plot:
            found.append(TrendView(title, _marked(plot)))
    return found


def _latency_plot(answers: dict[str, dict[int, int]]) -> Markup:
    title = "Time to the answer"
    return _marked(plots.latencies(answers, title=title)) if answers else Markup()


def _backend_plots(found: Serving) -> list[TrendView]:
    drawn = {title: plots.of_hours(found.hours, title) for title in plots.OF_BACKENDS}
    return [TrendView(title, _marked(plot)) for title, plot in drawn.items() if plot]


def _spreads(asker: Asker, dimension: str) -> list[Spread]:
    return [row for row in asker.spread(LATENCY, dimension) if row.group[0] or dimension == "cache"]


def _experiments(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], *, now_ms: int
) -> tuple[list[ExperimentView], list[str]]:
    """Return the experiments that have begun, and what is wrong with registrations."""
    from telemetry.experiments.analysis import analyse

    found: list[ExperimentView] = []
    problems: list[str] = []
    for file in files:
        try:
            experiment = read_checked(file)
        except InputError as error:
            problems.append(f"an experiment cannot be read: {error}")
            continue
        if experiment.start_ms > now_ms:
            continue
        analysis = analyse(connection, experiment, now_ms=now_ms)
        plot = _differences(analysis.main, experiment.main_metric)
        found.append(ExperimentView(analysis, experiment.hypothesis, plot))
    return found, problems


def _differences(found: Sequence[Comparison], metric: str) -> Markup:
    rows = [Row(shortened(each.arm), each.effect, each.low, each.high) for each in found]
    if not rows:
        return Markup()
    return _marked(
        whiskers(
            rows,
            title=f"{metric}: difference to the control",
            description="; ".join(f"{row.label} {row.value:+.4g}" for row in rows),
            is_difference=True,
            shown=metric_text(metric),
        )
    )
