"""The report as a person reads it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.load.figures import Figures, Times
    from bench.load.search import Carried


def table(rows: Sequence[Figures]) -> str:
    """Return a table in Markdown, a column for each number of users."""
    lines = [
        "| users | " + " | ".join(str(row.users) for row in rows) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for name, cell in _ROWS:
        lines.append(f"| {name} | " + " | ".join(cell(row) for row in rows) + " |")
    if not all(row.is_sound for row in rows):
        lines.append("\n(!) The generator was late itself: these columns overstate the times.")
    return "\n".join(lines) + "\n"


def capacities_text(found: Mapping[str, Carried]) -> str:
    """Return how many users were carried, a line for each limit."""
    lines = []
    for name, (users, too_many) in found.items():
        bound = "all that were tried" if too_many is None else f"{too_many} are too many"
        lines.append(f"{name}: {users} users ({bound})")
    return "\n".join(lines)


def _times(times: Times) -> str:
    return " / ".join(_ms(each) for each in (times.p50_ms, times.p95_ms, times.p99_ms))


def _ms(value: float | None) -> str:
    if value is None:
        return "?"
    return "never" if math.isinf(value) else f"{value:.0f}"


def _tokens(row: Figures) -> str:
    return f"{row.tokens / row.seconds:.0f}, {row.wasted_tokens / max(1, row.tokens):.0%}"


def _prompts(row: Figures) -> str:
    return (
        f"{row.prompt_tokens_mean:.0f}, {row.cached_share:.1%}" if row.prompt_tokens_mean else "-"
    )


def _queue(row: Figures) -> str:
    if row.queue_mean is None or row.running_mean is None:
        return "-"
    return f"{row.queue_mean:.1f}, {row.running_mean:.1f}"


_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("keys a second", lambda row: f"{row.keys / row.seconds:.1f}"),
    ("answers, p50 / p95 / p99 ms", lambda row: _times(row.answers)),
    ("made by the engine", lambda row: _times(row.made)),
    ("first token of a generation", lambda row: _times(row.first_token)),
    ("whole suggestion", lambda row: _times(row.whole)),
    ("answers with text, from memory", lambda row: f"{row.with_text}, {row.from_memory}"),
    ("typed on before the answer", lambda row: f"{row.typed_on}"),
    ("generations, abandoned", lambda row: f"{row.generations}, {row.abandoned}"),
    ("errors", lambda row: f"{sum(row.errors.values())}"),
    ("tokens a second, wasted", _tokens),
    ("prompt tokens, from the cache", _prompts),
    ("waiting, running (mean)", _queue),
    ("cores of the server", lambda row: f"{row.engine_cores:.2f}" if row.engine_cores else "-"),
    ("cores of the generator", lambda row: f"{row.generator_cores:.2f}"),
    ("late keys, p99 ms", lambda row: f"{row.late_p99_ms:.0f}{'' if row.is_sound else ' (!)'}"),
)
