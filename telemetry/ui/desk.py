"""What the notebooks share: questions to the store, which they only read, and how answers look."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from fimble.clock import SystemClock
from fimble.pages.page import resource
from fimble.paths import spool_dir, warehouse_dir
from telemetry.doctor import examine
from telemetry.metrics.definition import definitions
from telemetry.metrics.histogram import PERCENTILES
from telemetry.operations.views import SHOWN_DAYS, Days, asking, serving
from telemetry.reader import reading
from telemetry.report.command import registrations
from telemetry.report.gather import Asker, Span
from telemetry.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    import duckdb

    from telemetry.doctor import Findings
    from telemetry.experiments.analysis import Analysis
    from telemetry.metrics.question import Spread, Value
    from telemetry.operations.views import BackendTotals, Serving
    from telemetry.report.gather import Horizon, Quality

T = TypeVar("T")
Cell = str | int | float | None
EVER = "all days"
PERIODS = {EVER: None, "last 7 days": 7, "last 28 days": 28, "last 90 days": 90}
"""What a notebook offers, and how many days that is."""
LATELY = f"last {SHOWN_DAYS} days"
SERVED_PERIODS = {"today": 1, LATELY: SHOWN_DAYS, "last 28 days": 28}
"""The same for what backends said."""


def on_views(ask: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    """Return what a function makes of the views; nothing can be changed there."""
    with reading(spool_dir(), Warehouse(warehouse_dir())) as connection:
        return ask(connection)


def asked(ask: Callable[[Asker], T], period: str = EVER) -> T:
    """Return the answer to questions about a period that ends with the last day recorded."""

    def of_views(connection: duckdb.DuckDBPyConnection) -> T:
        last = Asker(connection, Span()).totals().last_day
        return ask(Asker(connection, Span(since=_first_day(last, PERIODS[period]))))

    return on_views(of_views)


def _first_day(last: date | None, num_days: int | None) -> date | None:
    return last - timedelta(days=num_days - 1) if last and num_days else None


def served(period: str = LATELY) -> Serving:
    """Return what backends said in a period that ends today."""
    days = Days.until(None, SERVED_PERIODS[period])
    with asking(Warehouse(warehouse_dir()), days) as connection:
        return serving(connection)


def doctors_findings() -> Findings:
    """Return what `fimble telemetry doctor` says."""
    return examine(spool_dir(), Warehouse(warehouse_dir()))


def experiments() -> dict[str, str]:
    """Return the file of every registered experiment by its name."""
    return {path.stem: str(path) for path in registrations(None)}


def analysis(file: str) -> Analysis:
    """Return what the data say of an experiment until now.

    Raises:
        InputError: The registration is wrong.
    """
    from pathlib import Path

    from telemetry.experiments.analysis import analyse
    from telemetry.experiments.command import read_checked

    experiment = read_checked(Path(file))
    now_ms = SystemClock().wall_ms()
    return on_views(lambda connection: analyse(connection, experiment, now_ms=now_ms))


def ratio_table(rows: Sequence[Value], by: Sequence[str], metric: str) -> list[dict[str, Cell]]:
    """Return the rows of a ratio as a table; what is withheld says so."""
    scale, unit = _scale(metric)
    return [
        {
            **_keys(row.group, by),
            "users": row.num_users,
            unit: "withheld" if row.is_withheld else _rounded(row.value, scale),
            "low": _rounded(row.low, scale),
            "high": _rounded(row.high, scale),
            "of": row.denominator,
        }
        for row in rows
    ]


def spread_table(rows: Sequence[Spread], by: Sequence[str]) -> list[dict[str, Cell]]:
    """Return the rows of percentiles as a table, in milliseconds."""
    return [
        {
            **_keys(row.group, by),
            "users": row.num_users,
            "answers": "withheld" if row.is_withheld else row.num_values,
            **{
                f"p{100 * share:g}": _rounded(value, 1.0)
                for share, value in zip(PERCENTILES, row.percentiles, strict=True)
            },
        }
        for row in rows
    ]


def retention_table(rows: Sequence[Horizon]) -> list[dict[str, Cell]]:
    """Return what is left of accepted texts as a table; shares in percent."""
    return [
        {
            "after": row.label,
            "characters kept": _rounded(row.kept.value, 100.0),
            "low": _rounded(row.kept.low, 100.0),
            "high": _rounded(row.kept.high, 100.0),
            "texts kept": _rounded(row.num_kept / row.num_texts, 100.0),
            "texts looked at": row.num_texts,
            "not known": row.num_unknown,
        }
        for row in rows
    ]


def backends_table(rows: Sequence[BackendTotals]) -> list[dict[str, Cell]]:
    """Return what backends said as a table; shares in percent."""
    return [
        {
            "backend": row.backend,
            "minutes": row.num_minutes,
            "up": _rounded(row.up_share, 100.0),
            "requests/s": _rounded(row.requests_per_s, 1.0),
            "failed": _rounded(row.error_share, 100.0),
            "ms per request": _rounded(row.latency_ms, 1.0),
            "waiting ms": _rounded(row.waiting_ms, 1.0),
            "longest queue": row.queue_max,
            "tokens/s": _rounded(row.generated_tokens_per_s, 1.0),
            "GPU in use": _rounded(row.gpu_use_share, 100.0),
            "GPU MiB": _rounded(row.gpu_memory_mib, 1.0),
        }
        for row in rows
    ]


def quality_table(rows: Sequence[Quality]) -> list[dict[str, Cell]]:
    """Return what is missing, by editor and version, as a table."""
    return [
        {
            "editor": row.editor or "unknown",
            "server": row.server_version or "unknown",
            "sessions": row.num_sessions,
            "not ended": row.num_not_ended,
            "events": row.num_events,
            "lost": row.num_expected - row.num_events,
            "clock jumps": row.num_clock_jumps,
            "no known end": row.num_unresolved,
            "accepts": row.num_taken,
            "told by the editor": row.num_taken_told,
        }
        for row in rows
    ]


def _keys(group: Sequence[object], by: Sequence[str]) -> dict[str, Cell]:
    return {
        name: "unknown" if value is None else str(value)
        for name, value in zip(by, group, strict=True)
    }


def _scale(metric: str) -> tuple[float, str]:
    unit = definitions()[metric].unit
    return (100.0, "percent") if unit == "share" else (1.0, unit)


def _rounded(value: float | None, scale: float) -> float | None:
    return None if value is None else round(scale * value, 2)


def drawn(plot: str) -> str:
    """Return a plot for a notebook, in the colours of our pages, light or dark."""
    light, dark = re.findall(r":root \{([^}]*)\}", resource("style.css"))[:2]
    style = f".fimble {{{light}}} .dark .fimble {{{dark}}} .fimble svg {{max-width: 46rem}}"
    return f'<style>{style}</style><div class="fimble">{plot}</div>'
