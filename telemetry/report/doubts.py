"""What to look at before believing a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fimble.pages.page import percent
from telemetry.metrics.definition import definitions
from telemetry.metrics.question import MIN_USERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from telemetry.doctor import Findings
    from telemetry.report.gather import Quality, Totals

FEW_USERS = 10
"""With fewer, intervals are rough."""
MAX_LOSS_RATE, MAX_UNRESOLVED_RATE, MAX_UNENDED_RATE = 0.01, 0.05, 0.2
MIN_TOLD_RATE = 0.9


def doubts(totals: Totals, quality: Sequence[Quality], findings: Findings) -> list[str]:
    """Return what is to be doubted, a sentence each."""
    if not totals.num_requests:
        return ["nothing was recorded in these days; `fimble telemetry doctor` says what there is"]
    return [*_of_users(totals), *_of_sessions(quality), *_of_lines(findings)]


def _of_users(totals: Totals) -> Iterator[str]:
    if totals.num_users == 0:
        yield (
            "nobody's sessions can be told from another's (level metrics): intervals take sessions "
            "for independent, and are too short where one user has many"
        )
    elif totals.num_users == 1:
        yield "these are the data of one user: intervals hold between sessions, not between users"
    elif totals.num_users < FEW_USERS:
        yield (
            f"{totals.num_users} users are few: intervals are rough, and groups of fewer than "
            f"{MIN_USERS} are withheld"
        )


def _of_sessions(quality: Sequence[Quality]) -> Iterator[str]:
    num_expected = sum(each.num_expected for each in quality)
    num_lost = num_expected - sum(each.num_events for each in quality)
    if num_lost > MAX_LOSS_RATE * num_expected:
        rate = percent(num_lost / num_expected)
        yield f"{num_lost:,} of {num_expected:,} events are missing ({rate})"
    num_completions = sum(each.num_completions for each in quality)
    num_unresolved = sum(each.num_unresolved for each in quality)
    if num_unresolved > MAX_UNRESOLVED_RATE * num_completions:
        rate = percent(num_unresolved / num_completions)
        yield f"{rate} of the completions have no known end; {_misleads('unresolved_rate')}"
    num_sessions = sum(each.num_sessions for each in quality)
    num_open = sum(each.num_not_ended for each in quality)
    if num_open > MAX_UNENDED_RATE * num_sessions:
        yield f"{num_open:,} of {num_sessions:,} sessions were killed, or are open"
    num_jumps = sum(each.num_clock_jumps for each in quality)
    if num_jumps:
        yield (
            f"the clock was set, or the machine slept, during {num_jumps:,} sessions: events may "
            "count on another day, durations are not touched"
        )
    for each in quality:
        if each.num_taken_told < MIN_TOLD_RATE * each.num_taken:
            rate = percent(1 - each.num_taken_told / each.num_taken)
            yield f"{each.editor or 'unknown'}: {rate} of the accepts are inferred from edits"


def _of_lines(findings: Findings) -> Iterator[str]:
    if findings.num_damaged or findings.num_unknown:
        yield (
            f"{findings.num_damaged:,} damaged lines and {findings.num_unknown:,} events of "
            "another release were kept aside"
        )


def _misleads(metric: str) -> str:
    return definitions()[metric].misleads
