"""The dictionary of metrics in the docs, made of their definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.metrics.definition import OF_TYPING, definitions
from telemetry.metrics.histogram import MAX_ERROR_RATE
from telemetry.metrics.question import DIMENSIONS, LEVEL, MIN_USERS, NOT_OF_TYPING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from telemetry.metrics.definition import Definition


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


_INTRODUCTION = f"""\
# Metrics

<!-- Made by `fimble telemetry metrics --markdown > docs/metrics.md`; a test compares. -->

Each metric has one definition: a file in `telemetry/metrics/definitions/`. What its words count of
a request is told in `telemetry/queries/requests.sql` and `facts.sql`. How to ask:
[telemetry](telemetry.md).

- Asked by any of: {_named(DIMENSIONS)}.
  Metrics of time at the keyboard know no {_named(NOT_OF_TYPING)}.
- A ratio of several groups is the ratio of the sums, never the mean of the ratios.
- Intervals hold {LEVEL:.0%} and take users for what is independent, not completions: delta method
  over users, Student's t. In the data of a single user, sessions take their place.
- Groups of fewer than {MIN_USERS} users are withheld where there are several users.
- Percentiles come from histograms that add up, and are off by {MAX_ERROR_RATE:.0%} at most.
"""
_BETTER = {"higher": "more is better", "lower": "less is better", "neither": "neither is better"}


def means(found: Definition) -> str:
    """Return what a metric is, in a line."""
    return " / ".join(found.means)


def dictionary() -> str:
    """Return `docs/metrics.md`."""
    found = definitions().values()
    return "\n".join(
        [
            _INTRODUCTION,
            "| metric | is | better |",
            "|---|---|---|",
            *(
                f"| [`{each.name}`](#{each.name}) | {means(each)} | {each.better} |"
                for each in found
            ),
            "",
            *(line for each in found for line in _entry(each)),
        ]
    )


def _entry(found: Definition) -> list[str]:
    counts = (
        f"`{found.numerator}` / `{found.denominator}`" if found.is_ratio else f"`{found.value}`"
    )
    typed = ", of periods of typing" if found.denominator in OF_TYPING else ""
    return [
        f"## {found.name}",
        "",
        f"**{found.title}**: {means(found)}. Unit: {found.unit}; {_BETTER[found.better]}.",
        "",
        f"- **Columns:** {counts}{typed}",
        f"- **Good for:** {found.good_for}",
        f"- **Misleads:** {found.misleads}",
        f"- **Source:** {found.source}",
        "",
    ]
