"""The plots of the page about a corpus."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from fimble.pages.plot import (
    BYTES,
    FILES,
    LARGE_INCHES,
    MUTED,
    SMALL_INCHES,
    amount,
    amount_of_bytes,
    as_svg,
    canvas,
    log_x,
    log_y,
    share,
    show,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.corpus.report.facts import ClusterSize, Length


class Point(NamedTuple):
    """A place in a plot, in the units of its axes."""

    x: float
    y: float


def half_octaves(bins: Sequence[Length]) -> list[tuple[float, float, float]]:
    """Return (low edge, share of files, share of bytes) of wider bins, which a small plot can show.

    Args:
        bins: Of one language and measure, ascending.
    """
    files = sum(row.files for row in bins) or 1
    num_bytes = sum(row.bytes for row in bins) or 1
    edges = [2 ** (step / 2) for step in range(8, 2 * 31)]
    found: list[tuple[float, float, float]] = []
    for low, high in pairwise(edges):
        inside = [row for row in bins if round(low) <= row.low < round(high)]
        of_files, of_bytes = sum(r.files for r in inside), sum(r.bytes for r in inside)
        found.append((low, of_files / files, of_bytes / num_bytes))
    return found


def histogram(
    bins: Sequence[Length], *, language: str, top: float, longest: int, description: str
) -> str:
    """Return how the files of a language, and their bytes, spread over sizes.

    Args:
        bins: Of one language, measure `bytes`, ascending.
        language: Its name.
        top: Upper end of the axis of shares, 0 to 1; the same for all languages.
        longest: Largest file of the corpus in bytes, which ends the axis of sizes.
        description: What a person who cannot see the plot is told.
    """
    from matplotlib.ticker import MaxNLocator

    wide = [row for row in half_octaves(bins) if row[0] <= longest]
    lows = [low for low, _, _ in wide] + [wide[-1][0] * 2**0.5] if wide else [16, 32]
    with canvas(SMALL_INCHES, bottom=0.13) as (figure, axes):
        log_x(axes, 16, max(longest, 1000) * 1.2, amount_of_bytes)
        axes.set_ylim(0, top)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        show(axes.yaxis, share)
        axes.grid(visible=False, axis="x")
        axes.stairs([row[1] for row in wide], lows, fill=True, color=FILES, alpha=0.45, lw=0)
        axes.stairs([row[2] for row in wide], lows, color=BYTES, lw=1.6)
        return as_svg(figure, title=f"Sizes of {language} files", description=description)


def tail(bins: Sequence[Length]) -> list[Point]:
    """Return which share of the files has at least x lines, for every edge of the bins."""
    files = sum(row.files for row in bins)
    points: list[Point] = []
    longer = files
    for row in bins:
        points.append(Point(max(row.low, 1), longer / files))
        longer -= row.files
    return points


def tails(
    bins: Sequence[Length],
    pooled: Sequence[Length],
    *,
    language: str,
    longest: int,
    description: str,
) -> str:
    """Return which share of the files of a language is longer than so many lines, on two log axes.

    Args:
        bins: Of one language, measure `lines`, ascending.
        pooled: The same of all languages together, for comparison.
        language: Its name.
        longest: Most lines of any file of the corpus, which ends the axis.
        description: What a person who cannot see the plot is told.
    """
    with canvas(SMALL_INCHES, bottom=0.13) as (figure, axes):
        log_x(axes, 1, max(longest, 1000) * 1.2, amount)
        log_y(axes, 1e-4, 1.3, share)
        for rows, color, width in ((pooled, MUTED, 1.0), (bins, FILES, 2.0)):
            points = [point for point in tail(rows) if point.y >= 1e-4]
            axes.plot([p.x for p in points], [p.y for p in points], color=color, lw=width)
        return as_svg(figure, title=f"Lines of {language} files", description=description)


def ranks(sizes: Sequence[int], *, description: str) -> str:
    """Return the sizes of projects by their rank, on two log axes.

    Args:
        sizes: Kept bytes of every project, descending.
        description: What a person who cannot see the plot is told.
    """
    sizes = [size for size in sizes if size > 0] or [1]
    with canvas(LARGE_INCHES, bottom=0.16) as (figure, axes):
        log_x(axes, 0.9, max(len(sizes), 10) * 1.3, amount)
        log_y(axes, max(min(sizes) / 1.5, 1), max(sizes) * 2, amount_of_bytes)
        axes.plot(range(1, len(sizes) + 1), sizes, color=FILES, lw=1.2, marker="", zorder=2)
        axes.set_xlabel("rank of the project")
        return as_svg(figure, title="Kept bytes of projects by rank", description=description)


def cluster_sizes(sizes: Sequence[ClusterSize], *, description: str) -> str:
    """Return how many clusters of near duplicates have at least so many files, on two log axes.

    Args:
        sizes: Clusters by size, ascending.
        description: What a person who cannot see the plot is told.
    """
    by_size: dict[int, int] = {}
    for row in sizes:
        by_size[row.cluster_files] = by_size.get(row.cluster_files, 0) + row.clusters
    remaining = sum(by_size.values())
    points: list[Point] = []
    for files, clusters in sorted(by_size.items()):
        points.append(Point(files, remaining))
        remaining -= clusters
    with canvas(LARGE_INCHES, bottom=0.16) as (figure, axes):
        log_x(axes, 1.8, max([10.0, *(p.x * 1.3 for p in points)]), amount)
        log_y(axes, 0.8, max([10.0, *(p.y * 1.5 for p in points)]), amount)
        axes.plot([p.x for p in points], [p.y for p in points], color=FILES, lw=1.6)
        axes.set_xlabel("files in the cluster, at least")
        return as_svg(figure, title="Sizes of near-duplicate clusters", description=description)
