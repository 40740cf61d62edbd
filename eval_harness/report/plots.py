"""The plots of the page about runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fimble.pages.intervals import point
from fimble.pages.plot import (
    BYTES,
    FILES,
    LARGE_INCHES,
    MUTED,
    SMALL_INCHES,
    amount,
    as_svg,
    canvas,
    log_x,
    share,
    show,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval_harness.statistics.intervals import Estimate


def over_runs(
    estimates: Sequence[Estimate | None], *, top: float, title: str, description: str
) -> str:
    """Return a score over runs in their order, with intervals.

    Args:
        estimates: One a run; None where a run has none.
        top: Upper end of the axis, the same for neighbouring plots.
        title: For who cannot see the plot.
        description: The same.
    """
    from matplotlib.ticker import MaxNLocator

    with canvas(SMALL_INCHES, bottom=0.13) as (figure, axes):
        known = [(x, e) for x, e in enumerate(estimates, start=1) if e is not None]
        axes.plot([x for x, _ in known], [e.value for _, e in known], color=FILES, lw=1.2)
        for x, each in known:
            axes.plot([x, x], [each.low, each.high], color=FILES, lw=1.4)
            point(axes, x, each.value, FILES)
        axes.set_xlim(0.6, len(estimates) + 0.4)
        axes.set_ylim(0, top)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid(visible=False, axis="x")
        show(axes.yaxis, share)
        return as_svg(figure, title=title, description=description)


def latencies(runs: Sequence[Sequence[float]], *, description: str) -> str:
    """Return which share of the answers took no longer than so many milliseconds.

    Args:
        runs: Latencies of each run; the last one is drawn strongest.
        description: For who cannot see the plot.
    """
    known = [value for run in runs for value in run if value > 0] or [1.0]
    with canvas(LARGE_INCHES, bottom=0.16) as (figure, axes):
        log_x(axes, min(known) / 1.2, max(known) * 1.2, amount)
        axes.set_ylim(0, 1.02)
        show(axes.yaxis, share)
        for place, run in enumerate(runs):
            is_last = place == len(runs) - 1
            color = FILES if is_last else BYTES if place == len(runs) - 2 else MUTED
            ordered = sorted(run)
            heights = [(rank + 1) / len(ordered) for rank in range(len(ordered))]
            axes.step(ordered, heights, where="post", color=color, lw=1.8 if is_last else 1.1)
        axes.set_xlabel("milliseconds to the end of the answer")
        return as_svg(figure, title="Latency of answers", description=description)
