"""Numbers of the report as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fimble.pages.plot import amount, share
from telemetry.experiments.metrics import METRICS
from telemetry.metrics.definition import definitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.metrics.question import Value


def shortened(name: object, most_chars: int = 28) -> str:
    """Return the name of a group as an axis has room for it."""
    text = str(name or "unknown")
    return text if len(text) <= most_chars else f"{text[: most_chars - 1]}…"


def metric_text(name: str) -> Callable[[float], str]:
    """Return how an axis writes the values of a metric, of experiments or of its own definition."""
    found, metric = definitions().get(name), METRICS.get(name)
    is_share = found.unit == "share" if found else metric is None or metric.is_share
    return share if is_share else amount


def value_text(found: Value, unit: str) -> str:
    """Return the value of a metric as a table shows it."""
    if found.value is None:
        return ""
    return f"{100 * found.value:.1f}%" if unit == "share" else f"{found.value:,.0f}"


def reach_text(found: Value, unit: str) -> str:
    """Return the interval of a value as a table shows it."""
    if found.low is None or found.high is None:
        return ""
    if unit == "share":
        return f"{100 * found.low:.1f}–{100 * found.high:.1f}"
    return f"{found.low:,.0f}–{found.high:,.0f}"


def ms_text(value: float | None) -> str:
    """Return milliseconds as a table shows them."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def change_text(value: float, metric: str) -> str:
    """Return a difference of a metric in an experiment as a table shows it."""
    return f"{100 * value:+.2f}" if METRICS[metric].is_share else f"{value:+.4g}"


def level_text(value: float, metric: str) -> str:
    """Return the value of a metric in an arm as a table shows it."""
    return f"{100 * value:.2f}" if METRICS[metric].is_share else f"{value:.4g}"


FILTERS: dict[str, Callable[..., str]] = {
    "value": value_text,
    "reach": reach_text,
    "ms": ms_text,
    "change": change_text,
    "level": level_text,
    "short": shortened,
}
"""For the template."""
