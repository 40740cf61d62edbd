"""What a run says about a model: metrics with intervals, states, and what a reader must know."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.problem import Kind
from eval_harness.statistics.intervals import Estimate, mean, rate, ratio
from eval_harness.statistics.pass_at_k import pass_at_k
from eval_harness.statistics.quantiles import quantile
from eval_harness.verdict import NOT_JUDGED, State
from fimble.stops import StopReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eval_harness.results import Reply, Result, Run

KS = (1, 5, 10, 20, 50, 100)
ALL = "all"
"""Name of all languages of a suite together, where it has several."""
_LATENCIES = {"latency_p50_ms": 0.5, "latency_p90_ms": 0.9, "latency_p99_ms": 0.99}


class Score(NamedTuple):
    """One suite in one language."""

    suite: str
    language: str
    metrics: dict[str, Estimate]
    """Without problems that are known to be bad."""
    states: dict[str, int]
    """Verdicts on the answers behind the metrics."""
    variants: dict[str, dict[str, Estimate]]
    """The same with those problems and without contaminated ones, where that differs; and by what
    is missing (`Problem.variant`), where a suite asks in several ways."""
    warnings: tuple[str, ...]


def scores(run: Run) -> list[Score]:
    """Return the scores of each suite and language in order, and of all languages together."""
    by_suite: dict[str, dict[str, list[Result]]] = {}
    for result in run.results:
        languages = by_suite.setdefault(result.asked.suite, {})
        languages.setdefault(result.problem.language, []).append(result)
    found: list[Score] = []
    for suite, languages in by_suite.items():
        found += [
            score(suite, language, languages[language], run.num_samples)
            for language in sorted(languages)
        ]
        if len(languages) > 1:
            together = [result for results in languages.values() for result in results]
            # What is to be warned of stands with the languages.
            found.append(score(suite, ALL, together, run.num_samples)._replace(warnings=()))
    return found


def score(suite: str, language: str, results: Sequence[Result], num_samples: int) -> Score:
    """Return the score of some problems.

    Args:
        suite: Its name.
        language: Its name, or `ALL`.
        results: The problems with their replies, known-bad ones among them.
        num_samples: Answers that each problem is to get.
    """
    good = [result for result in results if not result.asked.known_bad]
    clean = [result for result in good if not result.asked.contaminated]
    variants: dict[str, dict[str, Estimate]] = {}
    if len(good) < len(results):
        variants["with_known_bad"] = metrics(results)
    if len(clean) < len(good):
        variants["without_contaminated"] = metrics(clean)
    holes = sorted({result.problem.variant for result in good})
    if len(holes) > 1:
        variants |= {
            name: metrics([result for result in good if result.problem.variant == name])
            for name in holes
        }
    states = Counter(_state(reply) for result in good for reply in result.replies)
    return Score(
        suite=suite,
        language=language,
        metrics=metrics(good),
        states={state: states[state] for state in State if states[state]},
        variants=variants,
        warnings=tuple(_warnings(results, good, clean, num_samples)),
    )


def metrics(results: Iterable[Result]) -> dict[str, Estimate]:
    """Return the metrics of some problems; one that nothing is known of is not there."""
    answered = [result for result in results if result.replies]
    if not answered:
        return {}
    found = {**_passes(answered), **_comparisons(answered), **_bits(answered), **_speeds(answered)}
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def problem_score(result: Result) -> float | None:
    """Return the one number of a problem that runs are compared by, 0 to 1.

    The share of its answers that pass, or that are exact where there are no tests; None where
    neither is known.
    """
    if result.problem.tests:
        return _share(reply.is_passed for reply in result.replies)
    return _share(reply.is_exact for reply in result.replies)


def _passes(results: Sequence[Result]) -> dict[str, Estimate | None]:
    judged = [
        (result.problem.group, passes)
        for result in results
        if (passes := [p for reply in result.replies if (p := reply.is_passed) is not None])
    ]
    found: dict[str, Estimate | None] = {}
    for k in KS:
        enough = [(group, passes) for group, passes in judged if len(passes) >= k]
        if enough:
            values = [pass_at_k(len(passes), sum(passes), k) for _, passes in enough]
            num_trials = sum(len(passes) for _, passes in enough)
            found[f"pass@{k}"] = rate(values, [g for g, _ in enough], num_trials=num_trials)
    return found


def _comparisons(results: Sequence[Result]) -> dict[str, Estimate | None]:
    # A body of a function has many right texts; only what fills a hole is compared with one.
    holes = [r for r in results if r.problem.kind is Kind.INFILL or not r.problem.tests]
    return {
        "exact_match": _rate(holes, lambda reply: reply.is_exact),
        "edit_similarity": _similarity(holes),
        "stop_accuracy": _rate(holes, lambda reply: reply.stops_right),
        "parse_rate": _rate(results, lambda reply: reply.parses),
        "ended_rate": _rate(results, lambda r: r.answer.stop_reason != StopReason.LENGTH),
        "answered_rate": _rate(results, lambda reply: bool(reply.answer.text)),
    }


def _bits(results: Sequence[Result]) -> dict[str, Estimate | None]:
    rows = [
        (-logprob / math.log(2), len(canonical.encode(errors="replace")), result.problem.group)
        for result in results
        if (logprob := result.replies[0].answer.canonical_logprob) is not None
        and (canonical := result.problem.canonical)
    ]
    if not rows:
        return {}
    bits, sizes, groups = zip(*rows, strict=True)
    return {"bits_per_byte": ratio(bits, sizes, groups)}


def _speeds(results: Sequence[Result]) -> dict[str, Estimate | None]:
    rows = [
        (reply.answer, result.problem.group)
        for result in results
        for reply in result.replies
        if reply.answer.latency_ms > 0
    ]
    if not rows:
        return {}
    latencies = [answer.latency_ms for answer, _ in rows]
    found: dict[str, Estimate | None] = {
        name: quantile(latencies, share) for name, share in _LATENCIES.items()
    }
    tokens = [float(answer.generated_tokens) for answer, _ in rows]
    seconds = [latency / 1000 for latency in latencies]
    found["tokens_per_s"] = ratio(tokens, seconds, [group for _, group in rows])
    return found


def _rate(results: Sequence[Result], of: Callable[[Reply], float | None]) -> Estimate | None:
    """Return the rate of what is known of each reply, over problems."""
    values: list[float] = []
    groups: list[str] = []
    num_trials = 0
    for result in results:
        known = [value for reply in result.replies if (value := of(reply)) is not None]
        if known:
            values.append(statistics.fmean(known))
            groups.append(result.problem.group)
            num_trials += len(known)
    return rate(values, groups, num_trials=num_trials) if values else None


def _similarity(results: Sequence[Result]) -> Estimate | None:
    """Return the mean similarity; its values are no counts, so that Student's interval fits."""
    rows = [
        (statistics.fmean(known), result.problem.group)
        for result in results
        if (known := [s for reply in result.replies if (s := reply.edit_similarity) is not None])
    ]
    if not rows:
        return None
    values, groups = zip(*rows, strict=True)
    found = mean(values, groups)
    return found._replace(low=max(0.0, found.low), high=min(1.0, found.high))


def _share(values: Iterable[bool | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _state(reply: Reply) -> State | None:
    return reply.judged.state if reply.judged else None


def _warnings(
    results: Sequence[Result], good: Sequence[Result], clean: Sequence[Result], num_samples: int
) -> Iterable[str]:
    """Yield what would mislead who reads the numbers alone."""
    wanted = num_samples * len(results)
    given = sum(len(result.replies) for result in results)
    if given < wanted:
        yield f"{wanted - given:,} of {wanted:,} answers are not there yet"
    waiting = sum(
        1 for r in results if r.problem.tests for reply in r.replies if reply.judged is None
    )
    if waiting:
        yield f"{waiting:,} answers are not judged yet"
    yield from _unjudged(good)
    if num_bad := len(results) - len(good):
        yield f"{num_bad:,} problems that their own solution does not pass are left out"
    if num_known := len(good) - len(clean):
        yield f"{num_known:,} problems stood in the training data's sources"
    if num_unchecked := sum(result.asked.is_unchecked for result in good):
        yield f"{num_unchecked:,} problems were not looked for in the training data's sources"


def _unjudged(results: Sequence[Result]) -> Iterable[str]:
    counts: Mapping[State | None, int] = Counter(
        _state(reply) for result in results for reply in result.replies
    )
    for state in sorted(NOT_JUDGED):
        if counts[state]:
            words = state.replace("_", " ")
            yield f"{counts[state]:,} answers could not be judged ({words}); they do not count"
