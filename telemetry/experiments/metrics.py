"""The metrics that an experiment can be decided by: ratios of what `experiment_days.sql` counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import ConfigError
from fimble.events import Unit
from telemetry.metrics.definition import Better, definition

if TYPE_CHECKING:
    from fimble.experiments import Experiment


class Metric(NamedTuple):
    """A ratio of two counts."""

    numerator: str
    denominator: str
    meaning: str
    is_higher_better: bool = True
    is_share: bool = True
    """Whether the numerator counts some of what the denominator counts."""


def _as_defined(name: str) -> Metric:
    """Return a metric as `telemetry.metrics` defines it."""
    found = definition(name)
    return Metric(
        found.numerator,
        found.denominator,
        " / ".join(found.means),
        is_higher_better=found.better is not Better.LOWER,
        is_share=found.unit == "share" and not found.numerator.endswith("_chars"),
    )


_DEFINED = (
    "taken_per_opportunity",
    "acceptance_rate_750",
    "acceptance_rate",
    "accepted_chars_rate",
    "kept_chars_per_active_hour",
    "served_rate",
    "rejected_rate",
    "undone_rate",
    "error_rate",
)
METRICS: dict[str, Metric] = {
    **{name: _as_defined(name) for name in _DEFINED},
    "accepted_chars_per_opportunity": Metric(
        "accepted_chars", "requests", "characters accepted / requests", is_share=False
    ),
    "kept_chars_per_opportunity": Metric(
        "kept_chars",
        "requests",
        "characters of completions that still stand after ten minutes / requests",
        is_share=False,
    ),
    "slow_rate": Metric("slow", "served", "slower than `slow_ms` / served", is_higher_better=False),
    "mean_total_ms": Metric(
        "total_ms",
        "served",
        "milliseconds from request to answer / served",
        is_higher_better=False,
        is_share=False,
    ),
}
"""Metrics with a definition of their own, and those that only an experiment needs."""
NEEDS_DAYS = frozenset({"active_hours"})
"""Counts that belong to a whole day of a user, not to a request."""


def check_metrics(experiment: Experiment, where: str) -> None:
    """Refuse metrics that do not exist, or that the unit cannot have.

    Raises:
        ConfigError: The main metric or a guardrail is such a one.
    """
    for name in (experiment.main_metric, *(each.metric for each in experiment.guardrails)):
        metric = METRICS.get(name)
        if metric is None:
            raise ConfigError(
                f"{where}: there is no metric {name!r}; allowed: {', '.join(METRICS)}"
            )
        if experiment.unit is Unit.REQUEST and metric.denominator in NEEDS_DAYS:
            raise ConfigError(
                f"{where}: {name} counts the hours of a day, which have no arm where each request "
                "has one; choose unit user or user_day, or another metric"
            )


def toward_better(name: str) -> int:
    """Return 1 where more of a metric is better, -1 where less is."""
    return 1 if METRICS[name].is_higher_better else -1
