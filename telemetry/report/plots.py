"""The plots of the report and the notebooks."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from fimble.pages.intervals import Row, point, whiskers
from fimble.pages.plot import (
    BYTES,
    FILES,
    LARGE_INCHES,
    MUTED,
    amount,
    as_svg,
    canvas,
    log_x,
    share,
    show,
)
from telemetry.metrics.histogram import told_ms
from telemetry.report.texts import metric_text, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from telemetry.metrics.question import Value
    from telemetry.operations.views import BackendHour
    from telemetry.report.gather import Horizon

MAX_GROUPS = 12
"""More lines one below the other are no plot."""
TREND_INCHES = (4.2, 2.3)
_HOURS_SHOWN = 3.0
"""Up to so many days an axis tells the hour."""


OF_BACKENDS: dict[str, tuple[str, Callable[[float], str]]] = {
    "Requests per second": ("requests_per_s", amount),
    "Tokens per second": ("generated_tokens_per_s", amount),
    "Milliseconds per request": ("latency_ms", amount),
    "95% of new answers in editors, ms": ("editor_p95_ms", amount),
    "Longest queue": ("queue_max", amount),
    "Requests that failed": ("error_share", share),
    "GPU in use": ("gpu_use_share", share),
}
"""What is drawn of backends: the field of `BackendHour`, and how an axis writes it."""


def of_values(values: Sequence[Value], metric: str, *, title: str) -> str:
    """Return a metric of groups with its intervals; empty where none has one.

    Args:
        values: One a group; the first `MAX_GROUPS` with an interval are drawn.
        metric: Its name.
        title: For who cannot see the plot.
    """
    rows = [
        Row(shortened(each.group[0]), each.value, each.low, each.high)
        for each in values
        if each.value is not None and each.low is not None and each.high is not None
    ][:MAX_GROUPS]
    if not rows:
        return ""
    shown = metric_text(metric)
    told = "; ".join(f"{row.label}: {shown(round(row.value, 3))}" for row in rows)
    return whiskers(rows, title=title, description=told, is_difference=False, shown=shown)


def of_days(values: Sequence[Value], metric: str, *, title: str) -> str:
    """Return a metric day by day; empty where nothing was counted.

    Args:
        values: One a day, ascending.
        metric: Its name.
        title: For who cannot see the plot.
    """
    known = [(each.group[0], each) for each in values if each.value is not None]
    days = [day for day, _ in known if isinstance(day, date)]
    drawn = [(each.value or 0.0, each.low, each.high) for _, each in known]
    return trend(days, drawn, title=title, shown=metric_text(metric)) if days else ""


def trend(
    days: Sequence[date],
    values: Sequence[tuple[float, float | None, float | None]],
    *,
    title: str,
    shown: Callable[[float], str] = share,
) -> str:
    """Return a value day by day, with its interval as a band.

    Args:
        days: Ascending; one or more. Hours of days will do, too.
        values: Value, lower and upper end of the interval; None where there is none.
        title: For who cannot see the plot.
        shown: How the axis writes a value.
    """
    is_hourly = isinstance(days[0], datetime)
    from matplotlib.dates import AutoDateLocator, date2num, num2date
    from matplotlib.ticker import MaxNLocator

    with canvas(TREND_INCHES, bottom=0.17) as (figure, axes):
        at = [float(date2num(day)) for day in days]
        lows = [value if low is None else low for value, low, _ in values]
        highs = [value if high is None else high for value, _, high in values]
        # A patch, since collections are drawn by references, which a page does not keep.
        axes.fill([*at, *reversed(at)], [*lows, *reversed(highs)], color=FILES, alpha=0.22, lw=0)
        axes.plot(at, [value for value, _, _ in values], color=FILES, lw=1.6)
        if len(at) == 1:
            axes.plot([at[0], at[0]], [lows[0], highs[0]], color=FILES, lw=1.6)
            around = 1 / 24 if is_hourly else 1
            axes.set_xlim(at[0] - around, at[0] + around)
        else:
            beside = (at[-1] - at[0]) * 0.07  # so that the first label of x is not under that of y
            axes.set_xlim(at[0] - beside, at[-1] + beside)
        point(axes, at[-1], values[-1][0], FILES)
        axes.set_ylim(0, max([*highs, 1e-9]) * 1.12)
        locator = AutoDateLocator(minticks=2, maxticks=6)
        wanted = locator.tick_values(num2date(at[0]), num2date(at[-1])) if len(at) > 1 else at
        axes.set_xticks([tick for tick in wanted if at[0] <= tick <= at[-1]] or at[-1:])
        form = "%H:%M" if is_hourly and at[-1] - at[0] < _HOURS_SHOWN else "%d %b"
        show(axes.xaxis, lambda day: num2date(day).strftime(form).lstrip("0" * (form == "%d %b")))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid(visible=False, axis="x")
        show(axes.yaxis, shown)
        last = f"{shown(round(values[-1][0], 3))} on {days[-1].isoformat()}"
        unit = "hours" if is_hourly else "days"
        return as_svg(figure, title=title, description=f"{len(days)} {unit}; {last}")


def of_hours(hours: Sequence[BackendHour], title: str) -> str:
    """Return what backends said hour by hour; empty where none said it.

    Args:
        hours: In order.
        title: A key of `OF_BACKENDS`.
    """
    name, shown = OF_BACKENDS[title]
    known = [(each.hour, getattr(each, name)) for each in hours]
    told = [(hour, value) for hour, value in known if value is not None]
    if not told:
        return ""
    values = [(float(value), None, None) for _, value in told]
    return trend([hour for hour, _ in told], values, title=f"{title}, hour by hour", shown=shown)


def latencies(histograms: Mapping[str, Mapping[int, int]], *, title: str) -> str:
    """Return which share of the answers took no longer than so many milliseconds.

    Args:
        histograms: Counts by bucket; the first one is drawn strongest. One or more, none empty.
        title: For who cannot see the plot.
    """
    colors = (FILES, BYTES, MUTED)
    low = min(told_ms(min(counts)) for counts in histograms.values())
    high = max(told_ms(max(counts)) for counts in histograms.values())
    with canvas(LARGE_INCHES, bottom=0.16) as (figure, axes):
        log_x(axes, low / 1.3, high * 1.3, amount)
        axes.set_ylim(0, 1.03)
        show(axes.yaxis, share)
        for place, (name, counts) in enumerate(histograms.items()):
            color = colors[min(place, len(colors) - 1)]
            of_all, so_far = sum(counts.values()), 0
            xs, ys = [told_ms(min(counts))], [0.0]
            for bucket, count in sorted(counts.items()):
                so_far += count
                xs.append(told_ms(bucket))
                ys.append(so_far / of_all)
            axes.step(
                [*xs, high * 1.3],
                [*ys, 1.0],
                where="post",
                color=color,
                lw=1.8 if place == 0 else 1.3,
            )
            if place == 0:
                axes.axhline(0.95, color=MUTED, lw=0.6)
            del name  # the key beside the plot names it
        axes.set_xlabel("milliseconds to the answer")
        return as_svg(figure, title=title, description="The tables beside it hold the percentiles.")


def retention(horizons: Sequence[Horizon], *, title: str) -> str:
    """Return which share of the accepted characters stands at each horizon.

    Args:
        horizons: In order; one or more.
        title: For who cannot see the plot.
    """
    with canvas(LARGE_INCHES, bottom=0.12) as (figure, axes):
        known = [(place, each.kept) for place, each in enumerate(horizons)]
        drawn = [(place, kept.value or 0.0) for place, kept in known]
        axes.plot([x for x, _ in drawn], [y for _, y in drawn], color=FILES, lw=1.2)
        for place, kept in known:
            if kept.low is not None and kept.high is not None:
                axes.plot([place, place], [kept.low, kept.high], color=FILES, lw=1.6)
            point(axes, place, kept.value or 0.0, FILES)
        axes.set_xlim(-0.4, len(horizons) - 0.6)
        axes.set_ylim(0, 1.03)
        axes.set_xticks(range(len(horizons)), [each.label for each in horizons])
        axes.grid(visible=False, axis="x")
        show(axes.yaxis, share)
        told = "; ".join(
            f"{each.label}: {share(round(each.kept.value or 0, 3))}" for each in horizons
        )
        return as_svg(figure, title=title, description=told)
