"""The page that compares vocabularies: values of its template."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from fimble.pages.page import render
from training.vocabulary.comparison import shown
from training.vocabulary.report import plots
from training.vocabulary.tokens import RARE_BELOW

if TYPE_CHECKING:
    from training.vocabulary.comparison import Comparison, Measured
    from training.vocabulary.tokens import Token

MAX_EXAMPLES = 40
"""Tokens of each kind that the page names."""


class Cell(NamedTuple):
    """A number of a table, against the first tokenizer's."""

    value: float
    gain: float
    """How much more than the first, as a share of it; above 0 is better."""
    is_best: bool


class Row(NamedTuple):
    """One language, or their mean."""

    name: str
    cells: tuple[Cell, ...]


class Examples(NamedTuple):
    """Tokens of one kind: how many, and some of them."""

    kind: str
    count: int
    tokens: tuple[str, ...]


def render_comparison(comparison: Comparison) -> str:
    """Return the page."""
    measured = comparison.measured
    values: dict[str, object] = {
        "comparison": comparison,
        "measured": measured,
        "first": measured[0],
        "bytes_per_token": _rows(comparison, "bytes_per_token", more_is_better=True),
        "tokens_per_line": _rows(comparison, "tokens_per_line", more_is_better=False),
        "tokens_per_indent": _rows(comparison, "tokens_per_indent", more_is_better=False),
        "cheap_indents": _rows(comparison, "cheap_indent_rate", more_is_better=True),
        "wins": [_wins(measured[0], each) for each in measured],
        "examples": [_examples(each) for each in measured],
        "probes": [each.probe for each in measured[0].round_trips],
        "rare_below": RARE_BELOW,
        # Markup: matplotlib's own serialisation; titles were escaped by ElementTree.
        "dots": Markup(plots.by_language(measured)),  # noqa: S704
        "sizes": Markup(plots.by_size(measured)),  # noqa: S704
        "use": Markup(plots.use(measured)),  # noqa: S704
    }
    return render("training.vocabulary.report", values)


def _rows(comparison: Comparison, name: str, *, more_is_better: bool) -> list[Row]:
    """Return a property of `Fit` by language, and its mean."""
    values = {
        language: [float(getattr(each.fits[place], name)) for each in comparison.measured]
        for place, language in enumerate(comparison.languages)
    }
    values["mean of the languages"] = [each.mean(name) for each in comparison.measured]
    return [
        Row(language, _cells(of, more_is_better=more_is_better)) for language, of in values.items()
    ]


def _cells(values: list[float], *, more_is_better: bool) -> tuple[Cell, ...]:
    best = max(values) if more_is_better else min(values)
    first = values[0] or 1.0
    sign = 1 if more_is_better else -1
    return tuple(Cell(value, sign * (value / first - 1), value == best) for value in values)


def _wins(first: Measured, other: Measured) -> int:
    """Return in how many languages the first has more bytes per token."""
    pairs = zip(first.fits, other.fits, strict=True)
    return sum(mine.bytes_per_token > theirs.bytes_per_token for mine, theirs in pairs)


def _examples(measured: Measured) -> list[Examples]:
    tokens = measured.tokens
    kinds = [("longest", tokens.longest), ("not in the held-out text", tokens.unused)]
    kinds += [(kind.value, found) for kind, found in tokens.glitches.items()]
    return [Examples(kind, len(found), _some(found)) for kind, found in kinds]


def _some(tokens: tuple[Token, ...]) -> tuple[str, ...]:
    """Return tokens from all over the vocabulary."""
    step = max(1, len(tokens) // MAX_EXAMPLES)
    return tuple(shown(token) for token in tokens[::step][:MAX_EXAMPLES])
