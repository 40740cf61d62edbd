"""Answers as a person reads them: what is around the hole, the answer, and what came of it."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.verdict import State
from fimble.pages.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval_harness.report.comparison import Pair
    from eval_harness.results import Reply, Result, Run

MAX_DIFFERENCES = 60
"""Problems on which two runs differ that the page shows; it counts the others."""
MAX_FAILURES = 15
"""Kinds of failure that the page shows."""
MAX_SAMPLES = 3
"""Answers of each kind."""
_LINES_BEFORE, _LINES_OF_ANSWER, _LINES_BEHIND = 14, 30, 6
_MAX_LINE_CHARS = 160
_MAX_DETAIL_LINES = 8
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")


class Shown(NamedTuple):
    """One answer in its place."""

    before: str
    answer: str
    behind: str
    state: str
    """Verdict, or whether it is exact where there are no tests."""
    stop_reason: str
    detail: str


class Difference(NamedTuple):
    """A problem that two runs did not answer equally well."""

    suite: str
    key: str
    is_better: bool
    """Whether the second run is the better one."""
    contaminated: str
    """Where training data hold the problem; empty where they do not."""
    canonical: str
    first: Shown
    second: Shown


class Failure(NamedTuple):
    """Answers that failed in the same way."""

    suite: str
    language: str
    state: str
    says: str
    """What their messages have in common."""
    count: int
    samples: tuple[tuple[str, Shown], ...]
    """Problem and answer."""


def differences(pairs: Sequence[Pair]) -> list[Difference]:
    """Return problems that two runs differ on, those that got worse first; not too many."""
    worse = [pair for pair in pairs if pair.second_score < pair.first_score]
    better = [pair for pair in pairs if pair.second_score > pair.first_score]
    chosen = worse[: max(MAX_DIFFERENCES // 2, MAX_DIFFERENCES - len(better))]
    chosen += better[: MAX_DIFFERENCES - len(chosen)]
    return [
        Difference(
            suite=pair.first.asked.suite,
            key=pair.first.problem.key,
            is_better=pair.second_score > pair.first_score,
            contaminated=pair.second.asked.contaminated or pair.first.asked.contaminated,
            canonical=_cut(pair.first.problem.canonical or "", _LINES_OF_ANSWER),
            first=shown(pair.first, _telling(pair.first)),
            second=shown(pair.second, _telling(pair.second)),
        )
        for pair in chosen
    ]


def failures(run: Run) -> list[Failure]:
    """Return what failed, grouped by what it said, the most frequent first."""
    groups: dict[tuple[str, str, str, str], list[tuple[Result, Reply]]] = defaultdict(list)
    for result in run.results:
        for reply in result.replies:
            judged = reply.judged
            if judged is not None and judged.state is not State.PASSED:
                says = says_of(judged.detail)
                groups[judged.suite, judged.language, judged.state, says].append((result, reply))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        Failure(
            *key,
            count=len(members),
            samples=tuple((r.problem.key, shown(r, reply)) for r, reply in members[:MAX_SAMPLES]),
        )
        for key, members in ordered[:MAX_FAILURES]
    ]


def says_of(detail: str) -> str:
    """Return what a message says, without what differs from program to program."""
    lines = [line.strip() for line in detail.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|exception|panic", line, re.IGNORECASE)]
    line = (telling or lines or [""])[-1]
    return visible(_NUMBER.sub("N", _QUOTED.sub("'…'", line))[:120])


def shown(result: Result, reply: Reply) -> Shown:
    """Return an answer with some lines around it."""
    problem = result.problem
    state = "exact" if reply.is_exact else "not exact"
    if reply.judged is not None:
        state = reply.judged.state.replace("_", " ")
    elif problem.tests:
        state = "not judged"
    return Shown(
        before=_cut(problem.prompt, -_LINES_BEFORE),
        answer=_cut(reply.answer.text, _LINES_OF_ANSWER),
        behind=_cut(problem.suffix, _LINES_BEHIND),
        state=state,
        stop_reason=reply.answer.stop_reason.replace("_", " "),
        detail=_cut(reply.judged.detail.strip() if reply.judged else "", -_MAX_DETAIL_LINES),
    )


def _telling(result: Result) -> Reply:
    """Return the first reply that did not pass; of problems whose replies all did, the first."""

    def is_good(reply: Reply) -> bool:
        return bool(reply.is_passed if result.problem.tests else reply.is_exact)

    return next((reply for reply in result.replies if not is_good(reply)), result.replies[0])


def _cut(text: str, num_lines: int) -> str:
    """Return the first lines of a text, or the last ones where the number is below 0."""
    lines = text.split("\n")
    if len(lines) > abs(num_lines):
        is_end = num_lines < 0
        more = f"… {len(lines) - abs(num_lines):,} more lines"
        lines = [more, *lines[num_lines:]] if is_end else [*lines[:num_lines], more]
    return "\n".join(
        visible(line if len(line) <= _MAX_LINE_CHARS else f"{line[:_MAX_LINE_CHARS]}…")
        for line in lines
    )
