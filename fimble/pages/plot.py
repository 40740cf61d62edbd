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
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


_SVG = "{http://www.w3.org/2000/svg}"
# Drawn with these, shown as the variables of the style sheet.
INK, MUTED, GRID, FILES, BYTES = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    FILES: "var(--files)",
    BYTES: "var(--bytes)",
}
_SETTINGS = {
    "svg.fonttype": "none",  # letters stay letters: readable, searchable, in the page's font
    "svg.hashsalt": "fimble",
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}
SMALL_INCHES = (4.2, 2.0)
LARGE_INCHES = (5.6, 3.4)


@contextmanager
def canvas(
    inches: tuple[float, float], *, bottom: float, left: float = 0.13
) -> Iterator[tuple[Figure, Axes]]:
    """Give an empty figure whose looks depend on nothing outside of this module.

    Args:
        inches: Width and height.
        bottom: Room for what stands below the axes, as a share of the height.
        left: Room for what stands beside them, as a share of the width.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=inches, frameon=False)
        axes = figure.add_axes((left, bottom, 0.98 - left, 0.95 - bottom))
        axes.patch.set_visible(False)
        yield figure, axes


def as_svg(figure: Figure, *, title: str, description: str) -> str:
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


def share(value: float) -> str:
    """Return a share, 0 to 1, as an axis shows it."""
    return f"{round(100 * value, 4):g}%"


def show(axis: Axis, shown: Callable[[float], str]) -> None:
    """Label an axis with what a function makes of its numbers."""
    from matplotlib.ticker import FuncFormatter

    def label(value: float, position: int | None) -> str:
        del position  # all labels of an axis look alike
        return shown(value)

    axis.set_major_formatter(FuncFormatter(label))


def log(axis: Axis, shown: Callable[[float], str]) -> None:
    """Give a logarithmic axis a label at each power of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(base=10, numticks=12))
    axis.set_minor_locator(NullLocator())
    show(axis, shown)


def log_x(axes: Axes, low: float, high: float, shown: Callable[[float], str]) -> None:
    """Make the x axis logarithmic, from `low` to `high`, with labels at powers of ten."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    log(axes.xaxis, shown)


def log_y(axes: Axes, low: float, high: float, shown: Callable[[float], str]) -> None:
    """Make the y axis logarithmic, from `low` to `high`, with labels at powers of ten."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    log(axes.yaxis, shown)
