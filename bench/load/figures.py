"""The figures of a report, from what one number of users did."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench.load.meter import Ending
from bench.load.quantiles import Wait, keeps, quantile_ms
from lsp_server.decisions import Why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.load.meter import Generated
    from bench.load.rung import Rung
    from bench.load.typist import Ask

SHARES = (0.5, 0.95)
"""Of the answers: so many must come within a limit."""
LATEST_MS = 20.0
"""A generator whose edits are later than this at the 99th percentile measures itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Quantiles in milliseconds; None where nobody waited for long enough to tell."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one number of users got, and what it cost; `docs/load.md` explains each."""

    users: int
    seconds: float
    keys: int
    answers: Times
    """From a key to the answer to it, also where that was known already."""
    made: Times
    """The same, of answers that the engine made."""
    first_token: Times
    """Of generations, from their beginning."""
    whole: Times
    """Of generations, from their beginning to the last token that was needed."""
    with_text: int
    """Answers that showed something."""
    from_memory: int
    """Answers that no generation was needed for."""
    typed_on: int
    """Requests whose user pressed the next key first."""
    errors: dict[str, int]
    """Generations that failed, by kind of error."""
    generations: int
    abandoned: int
    """Generations that were cancelled because the user wrote something else."""
    tokens: int
    wasted_tokens: int
    """Those of generations that were abandoned or failed."""
    prompt_tokens_mean: float
    cached_share: float
    """Of the prompts' tokens, as far as the server says."""
    queue_mean: float | None
    queue_max: float | None
    running_mean: float | None
    engine_cores: float
    """Processor seconds of the server a second; 0 where it is not on this machine."""
    generator_cores: float
    late_p99_ms: float
    """How late the generator made its edits."""

    @property
    def is_sound(self) -> bool:
        """Whether the generator kept its times."""
        return self.late_p99_ms <= LATEST_MS

    def as_json(self) -> dict[str, object]:
        """Return everything, with rates."""
        rates = {
            "keys_per_s": self.keys / self.seconds,
            "tokens_per_s": self.tokens / self.seconds,
            "wasted_share": self.wasted_tokens / max(1, self.tokens),
            "engine_cpu_ms_per_key": 1000 * self.engine_cores * self.seconds / max(1, self.keys),
        }
        return {**asdict(self), **rates, "is_sound": self.is_sound}


def figures(rung: Rung) -> Figures:
    """Return the figures of a rung."""
    generations = rung.generations
    answered = [ask for ask in rung.asks if ask.is_decided]
    wasted = [each for each in generations if each.ending in {Ending.ABANDONED, Ending.FAILED}]
    said = [each for each in generations if each.prompt_tokens]
    prompt_tokens = sum(each.prompt_tokens for each in said)
    waiting = [waits for waits, _ in rung.looks]
    return Figures(
        users=rung.users,
        seconds=rung.seconds,
        keys=rung.num_keys,
        answers=_times(waits(rung.asks)),
        made=_times(waits(rung.asks, made_only=True)),
        first_token=_times(_firsts(generations)),
        whole=_times(_wholes(generations)),
        with_text=sum(ask.why is Why.SERVED for ask in answered),
        from_memory=sum(ask.from_memory for ask in answered),
        typed_on=sum(ask.why is Why.SUPERSEDED for ask in rung.asks),
        errors=dict(Counter(each.error for each in generations if each.ending is Ending.FAILED)),
        generations=len(generations),
        abandoned=sum(each.ending is Ending.ABANDONED for each in generations),
        tokens=sum(each.tokens for each in generations),
        wasted_tokens=sum(each.tokens for each in wasted),
        prompt_tokens_mean=prompt_tokens / max(1, len(said)),
        cached_share=sum(each.cached_tokens for each in said) / max(1, prompt_tokens),
        queue_mean=statistics.fmean(waiting) if waiting else None,
        queue_max=max(waiting, default=None),
        running_mean=statistics.fmean(runs for _, runs in rung.looks) if rung.looks else None,
        engine_cores=rung.work.engine_cpu_s / rung.seconds,
        generator_cores=rung.work.generator_cpu_s / rung.seconds,
        late_p99_ms=_plain_quantile(rung.late_ms, 0.99),
    )


def waits(asks: Iterable[Ask], *, made_only: bool = False) -> list[Wait]:
    """Return how long answers were waited for; deletions, which nobody is asked about, are not.

    Args:
        asks: Requests of users.
        made_only: Leave out what was known already.
    """
    found: list[Wait] = []
    for ask in asks:
        if made_only and ask.from_memory:
            continue
        if ask.is_decided or ask.why is Why.SUPERSEDED:
            found.append(Wait(ask.took_ms, ask.is_decided))
        elif ask.why is Why.FAILED:
            found.append(Wait(float("inf"), is_over=True))
    return found


def fits(share: float, limit_ms: float, *, made_only: bool) -> Callable[[Rung], bool]:
    """Return what says whether the users of a rung get a share of their answers in time."""
    return lambda rung: keeps(waits(rung.asks, made_only=made_only), share, limit_ms)


def _times(found: Sequence[Wait]) -> Times:
    return Times(
        p50_ms=quantile_ms(found, 0.5),
        p95_ms=quantile_ms(found, 0.95),
        p99_ms=quantile_ms(found, 0.99),
    )


def _firsts(generations: Iterable[Generated]) -> list[Wait]:
    return [
        Wait(each.took_ms, is_over=False)
        if each.first_token_ms is None
        else Wait(each.first_token_ms, is_over=True)
        for each in generations
        if each.ending is not Ending.FAILED
    ]


def _wholes(generations: Iterable[Generated]) -> list[Wait]:
    return [
        Wait(each.took_ms, each.ending is Ending.ANSWERED)
        for each in generations
        if each.ending is not Ending.FAILED
    ]


def _plain_quantile(values: Sequence[float], share: float) -> float:
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]
