"""Values with their intervals beside names, as a plot of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fimble.pages.plot import BYTES, FILES, MUTED, as_svg, canvas, share, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

_INCHES_PER_ROW = 0.26


class Row(NamedTuple):
    """A value with its interval beside a name."""

    label: str
    value: float
    low: float
    high: float


def whiskers(
    rows: Sequence[Row],
    *,
    title: str,
    description: str,
    is_difference: bool,
    shown: Callable[[float], str] = share,
) -> str:
    """Return values as points with their intervals as lines, one below the other.

    Args:
        rows: From top to bottom.
        title: For who cannot see the plot.
        description: The same.
        is_difference: Draw a line at none, and points in the colour of their sign.
        shown: How the axis writes a value.
    """
    height = 0.55 + _INCHES_PER_ROW * len(rows)
    longest = max(len(row.label) for row in rows)
    left = min(0.5, 0.03 + 0.0125 * longest)
    with canvas((5.6, height), bottom=0.36 / height, left=left) as (figure, axes):
        places = list(range(len(rows), 0, -1))
        for row, place in zip(rows, places, strict=True):
            color = BYTES if is_difference and row.value < 0 else FILES
            axes.plot(
                [row.low, row.high], [place, place], color=color, lw=1.6, solid_capstyle="butt"
            )
            point(axes, row.value, place, color)
        if is_difference:
            axes.axvline(0, color=MUTED, lw=0.8)
        else:
            axes.set_xlim(left=0)
        axes.set_ylim(0.4, len(rows) + 0.6)
        axes.set_yticks(places, [row.label for row in rows])
        axes.grid(visible=False, axis="y")
        show(axes.xaxis, shown)
        return as_svg(figure, title=title, description=description)


def point(axes: Axes, x: float, y: float, color: str) -> None:
    """Draw a point: a line of no length with round ends, since markers are not kept."""
    axes.plot([x, x], [y, y], color=color, lw=6, solid_capstyle="round")
