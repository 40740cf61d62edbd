"""Plots as SVG elements that take the page's colours and fonts, so that dark pages and paper work.

Why matplotlib: it is well kept, draws on the server, and gives equal bytes for equal numbers. Vega
would put 800 kB of JavaScript with `eval` into a page that shall work without either. What it draws
is freed of styles and identifiers here: colours become the page's variables, and the page needs no
`unsafe-inline` in its security policy. Bars beside numbers are no plots but cells of their tables.
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from training.corpus.report.facts import ClusterSize, Length

_SVG = "{http://www.w3.org/2000/svg}"
# Drawn with these, shown as the variables of the style sheet.
_INK, _MUTED, _GRID, _FILES, _BYTES = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--line)",
    _FILES: "var(--files)",
    _BYTES: "var(--bytes)",
}
_SETTINGS = {
    "svg.fonttype": "none",  # letters stay letters: readable, searchable, in the page's font
    "svg.hashsalt": "fimble",
    "font.size": 10,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}
_SMALL_INCHES = (4.2, 2.0)
_LARGE_INCHES = (5.6, 3.4)


class Point(NamedTuple):
    """A place in a plot, in the units of its axes."""

    x: float
    y: float


@contextmanager
def _figure(inches: tuple[float, float], *, bottom: float) -> Iterator[tuple[Figure, Axes]]:
    """Give an empty figure whose looks depend on nothing outside of this module."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=inches, frameon=False)
        axes = figure.add_axes((0.13, bottom, 0.85, 0.95 - bottom))
        axes.patch.set_visible(False)
        yield figure, axes


def _svg(figure: Figure, *, title: str, description: str) -> str:
    """Return the figure as an element for a page, with a title and a description to read out."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 - matplotlib wrote it a moment ago
    _plain(root)
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib = {"viewBox": f"0 0 {width} {height}", "role": "img"}
    for name, text in (("desc", description), ("title", title)):
        element = ET.Element(name)
        element.text = text
        root.insert(0, element)
    return ET.tostring(root, encoding="unicode")


_DROPPED_TAGS = {f"{_SVG}metadata", f"{_SVG}defs", f"{_SVG}style"}
_KEPT_PROPERTIES = {"fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "text-anchor",
                    "fill-opacity", "stroke-linecap", "stroke-linejoin"}  # fmt: skip


def _plain(element: ET.Element) -> None:
    """Make styles attributes, colours variables, and drop identifiers and definitions.

    In HTML, an SVG element needs no namespace.
    """
    element.tag = element.tag.removeprefix(_SVG)
    for child in list(element):
        if child.tag in _DROPPED_TAGS:
            element.remove(child)
        else:
            _plain(child)
    element.attrib.pop("id", None)
    element.attrib.pop("clip-path", None)
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name in _KEPT_PROPERTIES:
            element.set(name, _VARIABLES.get(value, value))
        elif name in {"font", "font-size"} and (size := re.search(r"([\d.]+)px", value)):
            element.set("font-size", size[1])


_KILO, _MEGA, _GIGA = 1e3, 1e6, 1e9


def amount(value: float) -> str:
    """Return a number as an axis shows it: 1, 10, 1k, 10M."""
    for size, letter in ((_GIGA, "G"), (_MEGA, "M"), (_KILO, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def amount_of_bytes(value: float) -> str:
    """Return bytes as an axis shows them: 10 B, 1 kB, 1 MB."""
    text = amount(value)
    return f"{text[:-1]} {text[-1]}B" if text[-1].isalpha() else f"{text} B"


def _percent(value: float) -> str:
    return f"{round(100 * value, 4):g}%"


def _show(axis: Axis, shown: Callable[[float], str]) -> None:
    """Label an axis with what a function makes of its numbers."""
    from matplotlib.ticker import FuncFormatter

    def label(value: float, position: int | None) -> str:
        del position  # all labels of an axis look alike
        return shown(value)

    axis.set_major_formatter(FuncFormatter(label))


def _log(axis: Axis, shown: Callable[[float], str]) -> None:
    """Give a logarithmic axis a label at each power of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(base=10, numticks=12))
    axis.set_minor_locator(NullLocator())
    _show(axis, shown)


def _log_x(axes: Axes, low: float, high: float, shown: Callable[[float], str]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    _log(axes.xaxis, shown)


def _log_y(axes: Axes, low: float, high: float, shown: Callable[[float], str]) -> None:
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    _log(axes.yaxis, shown)


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
    with _figure(_SMALL_INCHES, bottom=0.13) as (figure, axes):
        _log_x(axes, 16, max(longest, 1000) * 1.2, amount_of_bytes)
        axes.set_ylim(0, top)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        _show(axes.yaxis, _percent)
        axes.grid(visible=False, axis="x")
        axes.stairs([row[1] for row in wide], lows, fill=True, color=_FILES, alpha=0.45, lw=0)
        axes.stairs([row[2] for row in wide], lows, color=_BYTES, lw=1.6)
        return _svg(figure, title=f"Sizes of {language} files", description=description)


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
    with _figure(_SMALL_INCHES, bottom=0.13) as (figure, axes):
        _log_x(axes, 1, max(longest, 1000) * 1.2, amount)
        _log_y(axes, 1e-4, 1.3, _percent)
        for rows, color, width in ((pooled, _MUTED, 1.0), (bins, _FILES, 2.0)):
            points = [point for point in tail(rows) if point.y >= 1e-4]
            axes.plot([p.x for p in points], [p.y for p in points], color=color, lw=width)
        return _svg(figure, title=f"Lines of {language} files", description=description)


def ranks(sizes: Sequence[int], *, description: str) -> str:
    """Return the sizes of projects by their rank, on two log axes.

    Args:
        sizes: Kept bytes of every project, descending.
        description: What a person who cannot see the plot is told.
    """
    sizes = [size for size in sizes if size > 0] or [1]
    with _figure(_LARGE_INCHES, bottom=0.16) as (figure, axes):
        _log_x(axes, 0.9, max(len(sizes), 10) * 1.3, amount)
        _log_y(axes, max(min(sizes) / 1.5, 1), max(sizes) * 2, amount_of_bytes)
        axes.plot(range(1, len(sizes) + 1), sizes, color=_FILES, lw=1.2, marker="", zorder=2)
        axes.set_xlabel("rank of the project")
        return _svg(figure, title="Kept bytes of projects by rank", description=description)


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
    with _figure(_LARGE_INCHES, bottom=0.16) as (figure, axes):
        _log_x(axes, 1.8, max([10.0, *(p.x * 1.3 for p in points)]), amount)
        _log_y(axes, 0.8, max([10.0, *(p.y * 1.5 for p in points)]), amount)
        axes.plot([p.x for p in points], [p.y for p in points], color=_FILES, lw=1.6)
        axes.set_xlabel("files in the cluster, at least")
        return _svg(figure, title="Sizes of near-duplicate clusters", description=description)
