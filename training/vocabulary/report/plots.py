"""The plots of the page that compares vocabularies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fimble.pages.plot import (
    BYTES,
    FILES,
    LARGE_INCHES,
    MUTED,
    amount,
    as_svg,
    canvas,
    log_x,
    log_y,
    show,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from training.vocabulary.comparison import Measured

_INCHES_BY_LANGUAGE = 0.24
_COLOURS = (FILES, BYTES)
"""Of the first and the second tokenizer; all others are muted."""


def by_language(measured: Sequence[Measured]) -> str:
    """Return the bytes per token of each tokenizer in each language, the first's best on top.

    Args:
        measured: In the order of the command; the first and the second stand out.
    """
    order = sorted(measured[0].fits, key=lambda fit: fit.bytes_per_token)
    height = 1.0 + _INCHES_BY_LANGUAGE * len(order)
    with canvas((7.5, height), bottom=0.55 / height, left=0.13) as (figure, axes):
        for rank in reversed(range(len(measured))):
            of = {fit.language: fit.bytes_per_token for fit in measured[rank].fits}
            colour = _COLOURS[rank] if rank < len(_COLOURS) else MUTED
            for row, fit in enumerate(order):
                if rank < len(_COLOURS):
                    _dot(axes, of[fit.language], row, colour)
                else:
                    ends = [row - 0.28, row + 0.28]
                    axes.plot([of[fit.language]] * 2, ends, color=colour, lw=1.2)
        axes.set_yticks(range(len(order)), [fit.language for fit in order])
        axes.set_ylim(-0.7, len(order) - 0.3)
        axes.set_xlabel("bytes per token")
        description = ", ".join(
            f"{fit.language} {fit.bytes_per_token:.2f}" for fit in reversed(order)
        )
        return as_svg(
            figure,
            title="Bytes per token by language",
            description=f"{measured[0].name}: {description}. The table below has all numbers.",
        )


def _dot(axes: Axes, x: float, y: float, colour: str) -> None:
    """Draw a dot as a line without a length: markers are references, which the page has not."""
    axes.plot([x, x], [y, y], color=colour, lw=7, solid_capstyle="round")


def by_size(measured: Sequence[Measured]) -> str:
    """Return what each tokenizer reaches with its number of tokens."""
    from matplotlib.ticker import NullLocator

    sizes = [each.size for each in measured]
    with canvas((7.5, 3.4), bottom=0.16, left=0.08) as (figure, axes):
        log_x(axes, min(sizes) / 1.4, max(sizes) * 2.2, amount)
        ticks = [2**power * 1024 for power in range(9) if min(sizes) <= 2**power * 1500]
        axes.set_xticks([tick for tick in ticks if tick <= max(sizes) * 1.1])
        axes.xaxis.set_minor_locator(NullLocator())
        show(axes.xaxis, lambda value: f"{value / 1024:g}k")
        for rank, each in enumerate(measured):
            colour = _COLOURS[rank] if rank < len(_COLOURS) else MUTED
            _dot(axes, each.size, each.bytes_per_token, colour)
            axes.annotate(
                each.name,
                (each.size, each.bytes_per_token),
                xytext=(7, -3),
                textcoords="offset points",
                fontsize=9,
            )
        axes.margins(y=0.12)
        axes.set_xlabel("tokens of the vocabulary (1k = 1,024)")
        told = ", ".join(f"{e.name} {e.bytes_per_token:.2f} with {e.size:,}" for e in measured)
        return as_svg(
            figure, title="Bytes per token by size", description=f"Means of the languages: {told}."
        )


def use(measured: Sequence[Measured]) -> str:
    """Return how often tokens come in the held-out text, by their rank, on two log axes."""
    with canvas(LARGE_INCHES, bottom=0.16) as (figure, axes):
        longest = max(each.size for each in measured)
        most = max(int(each.counts.max(initial=1)) for each in measured)
        log_x(axes, 1, longest * 1.3, amount)
        log_y(axes, 0.8, most * 2, amount)
        for rank in reversed(range(len(measured))):
            counts = np.sort(measured[rank].counts[measured[rank].counts > 0])[::-1]
            # A point for each step of a hundredth of an octave draws the same curve.
            places = np.unique(np.geomspace(1, max(1, len(counts)), 300).astype(int)) - 1
            colour = _COLOURS[rank] if rank < len(_COLOURS) else MUTED
            width = 1.8 if rank < len(_COLOURS) else 0.8
            axes.plot(places + 1, counts[places], color=colour, lw=width)
        axes.set_xlabel("rank of the token")
        return as_svg(
            figure,
            title="How often tokens come",
            description=", ".join(
                f"{each.name}: {int((each.counts > 0).sum()):,} of {each.size:,} tokens come"
                for each in measured
            ),
        )
