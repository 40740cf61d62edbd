"""The definitions of metrics: a SQL file each, whose header says what it means.

The body of a file gives a row for each thing that is counted, with its columns and either
`numerator` and `denominator`, whose sums are divided, or a `value`, whose percentiles are told.
Everything that shows a metric reads it from here: command line, report, notebooks, the published
views, experiments and the dictionary in `docs/metrics.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final

from fimble.errors import InputError

_FIELD = re.compile(r"([a-z ]+): (.+)")
_RATIO = re.compile(r"^    (\w+) as numerator,\n    (\w+) as denominator$", re.MULTILINE)
_VALUE = re.compile(r"^    (\w+) as value$", re.MULTILINE)
_TEXTS = ("unit", "better", "grain", "params", "good for", "misleads", "source")
HOURS: Final = "active_hours"
OF_TYPING: Final = frozenset({HOURS, "completed_chars", "entered_chars"})
"""Counts of periods of typing, which know fewer columns than requests."""


class Better(StrEnum):
    """Which way a metric should go."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One metric."""

    name: str
    title: str
    unit: str
    """`share` (0 to 1), `ms`, or what the ratio counts."""
    better: Better
    numerator: str
    """Column of the view `facts`; empty where percentiles are told."""
    denominator: str
    value: str
    """Column of the view `completions` whose percentiles are told; empty for ratios."""
    means: tuple[str, ...]
    """What numerator and denominator, or the value, are."""
    good_for: str
    misleads: str
    source: str
    sql: str
    """The body of the file."""

    @property
    def is_ratio(self) -> bool:
        """Return whether it is a ratio of sums; otherwise percentiles of values are told."""
        return not self.value

    @property
    def is_of_typing(self) -> bool:
        """Return whether periods of typing are counted."""
        return self.denominator in OF_TYPING


@cache
def definitions() -> dict[str, Definition]:
    """Return every metric by its name, in alphabetical order."""
    folder = files("telemetry.metrics").joinpath("definitions")
    texts = {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }
    return {name: parse(name, text) for name, text in sorted(texts.items())}


def definition(name: str) -> Definition:
    """Return one metric.

    Raises:
        InputError: There is none of that name.
    """
    found = definitions().get(name)
    if found is None:
        raise InputError(f"there is no metric {name!r}; there are: {', '.join(definitions())}")
    return found


def parse(name: str, text: str) -> Definition:
    """Return what a file defines.

    Raises:
        ValueError: A field of the header is missing, or the body gives nothing to be added up.
    """
    title, fields = header(text)
    body = text[len("".join(_comments(text))) :]
    ratio, value = _RATIO.search(body), _VALUE.search(body)
    wanted = [*_TEXTS, *(("numerator", "denominator") if ratio else ("value",))]
    missing = [each for each in wanted if each not in fields]
    if missing or (ratio is None) == (value is None):
        raise ValueError(f"{name}.sql lacks {missing or 'numerator and denominator, or value'}")
    return Definition(
        name=name,
        title=title,
        unit=fields["unit"],
        better=Better(fields["better"]),
        numerator=ratio[1] if ratio else "",
        denominator=ratio[2] if ratio else "",
        value=value[1] if value else "",
        means=tuple(fields[each] for each in wanted[len(_TEXTS) :]),
        good_for=fields["good for"],
        misleads=fields["misleads"],
        source=fields["source"],
        sql=body,
    )


def header(text: str) -> tuple[str, dict[str, str]]:
    """Return title and fields of the header of a query file; a field may go on, indented."""
    title, *lines = (line.removeprefix("--").strip("\n") for line in _comments(text) or [""])
    fields: dict[str, str] = {}
    last = ""
    for line in lines:
        found = _FIELD.fullmatch(line.removeprefix(" "))
        if found:
            last = found[1]
            fields[last] = found[2]
        elif last and line.startswith("   "):
            fields[last] += f" {line.strip()}"
    return title.strip(), fields


def _comments(text: str) -> list[str]:
    """Return the comment lines that a query file starts with."""
    lines = text.splitlines(keepends=True)
    count = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return lines[:count]


def table_of_metrics() -> str:
    """Return the query of the view `metrics`: all ratios of requests, day by day.

    Its `num_…` columns are sums, so that several rows can be added up before they are divided.
    """
    ratios = [each for each in definitions().values() if each.is_ratio and not each.is_of_typing]
    counts = sorted({name for each in ratios for name in (each.numerator, each.denominator)})
    sums = [f"sum({name})::bigint as {_sum_name(name)}" for name in counts]
    rates = [
        f"sum({each.numerator}) / nullif(sum({each.denominator}), 0) as {each.name}"
        for each in ratios
    ]
    keys = "day, editor, language, trigger, model, server_version, team"
    return (
        f"select {keys}, {', '.join([*sums, *rates])} from daily_facts "  # noqa: S608 - our own names
        f"where requests > 0 group by {keys}"
    )


def _sum_name(count: str) -> str:
    return count if count.endswith("_chars") else f"num_{count}"
