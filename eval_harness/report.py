"""Answers as a table: exact match with its interval, edit similarity, latency."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval_harness.answers import Answer

_Z_95 = 1.959964


class Score(NamedTuple):
    """The answers in one language, or in all."""

    language: str
    num_cases: int
    exact_match: float
    low: float
    """Lower end of the 95% interval of `exact_match`."""
    high: float
    edit_similarity: float
    answered_rate: float
    """Share of cases with any text."""
    latency_p50_ms: float


def scores(answers: Sequence[Answer]) -> list[Score]:
    """Return the score of each language in order of their names, then of all together."""
    languages = sorted({answer.language for answer in answers})
    groups = [(name, [a for a in answers if a.language == name]) for name in languages]
    return [_score(name, group) for name, group in [*groups, ("all", list(answers))] if group]


def _score(language: str, answers: list[Answer]) -> Score:
    num_cases = len(answers)
    num_exact = sum(answer.exact for answer in answers)
    low, high = wilson(num_exact, num_cases)
    return Score(
        language,
        num_cases,
        num_exact / num_cases,
        low,
        high,
        statistics.fmean(answer.edit_similarity for answer in answers),
        sum(bool(answer.text) for answer in answers) / num_cases,
        statistics.median(answer.latency_ms for answer in answers),
    )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95% score interval of a rate.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    rate, z_squared = successes / trials, _Z_95**2
    centre = rate + z_squared / (2 * trials)
    spread = _Z_95 * math.sqrt(rate * (1 - rate) / trials + z_squared / (4 * trials**2))
    scale = 1 + z_squared / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def as_table(rows: Sequence[Score]) -> str:
    """Return the scores as text, one line a language."""
    lines = ["language    cases  exact match  [95% interval]  edit similarity  answered  p50 ms"]
    lines += [
        f"{row.language:<10}  {row.num_cases:5}  {row.exact_match:11.1%}  "
        f"[{row.low:5.1%}, {row.high:5.1%}]  {row.edit_similarity:15.3f}  "
        f"{row.answered_rate:8.1%}  {row.latency_p50_ms:6.0f}"
        for row in rows
    ]
    return "\n".join(lines)
