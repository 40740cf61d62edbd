"""What a served model answers, cut as the language server cuts it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from rapidfuzz.distance import Levenshtein

from fimble.context import WindowBudget, window
from fimble.engine import FinishReason, Query, Token
from fimble.errors import PromptTooLongError
from fimble.fim import FORMATS, infill_prompt
from fimble.languages import by_name
from fimble.stops import Scope, Site, StopReason, cut, finish

if TYPE_CHECKING:
    from pathlib import Path

    from eval_harness.cases import Case
    from fimble.clock import Clock
    from fimble.engine import Engine

MAX_NEW_TOKENS = 64
_SMALLEST_SHARE = 1 / 16


class Answer(NamedTuple):
    """One line of `results.jsonl`."""

    case_id: str
    language: str
    truth: str
    text: str
    exact: bool
    edit_similarity: float
    """1 minus the Levenshtein distance over the longer length, 0..1."""
    stop_reason: str
    latency_ms: float


async def answer(case: Case, engine: Engine, clock: Clock) -> Answer:
    """Ask for the rest of the line and judge the answer.

    Raises:
        EngineError: The engine failed.
    """
    share = 1.0
    while True:
        try:
            return await _answer_within(case, engine, clock, WindowBudget().scaled(share))
        except PromptTooLongError:
            # Text that is dear in tokens, such as tables of numbers: ask with less of it.
            share /= 2
            if share < _SMALLEST_SHARE:
                raise


async def _answer_within(case: Case, engine: Engine, clock: Clock, budget: WindowBudget) -> Answer:
    around = window(case.prefix, case.suffix, budget)
    info = await engine.info()
    order = FORMATS[info.fim_format or "fimble"].orders[0]
    parts = infill_prompt(prefix=around.prefix, suffix=around.suffix, order=order, path=case.path)
    site = Site(
        prefix=around.prefix,
        suffix=around.suffix,
        language=by_name(case.language),
        scope=Scope.LINE,
    )
    started_ms = clock.monotonic_ms()
    text, ended = "", StopReason.END_TOKEN
    stream = engine.stream(Query(parts=parts, max_new_tokens=MAX_NEW_TOKENS))
    try:
        async for item in stream:
            if isinstance(item, Token):
                text += item.text
                if cut(text, site).reason:
                    break
            elif item.reason is FinishReason.LENGTH:
                ended = StopReason.LENGTH
    finally:
        await stream.aclose()
    latency_ms = clock.monotonic_ms() - started_ms
    final = finish(text, site, ended)
    return judged(case, final.text, str(final.reason), latency_ms)


def judged(case: Case, text: str, stop_reason: str, latency_ms: float) -> Answer:
    """Compare a text with the truth; white space at the end does not count."""
    truth, given = case.truth.rstrip(), text.rstrip()
    return Answer(
        case.case_id,
        case.language,
        truth,
        given,
        exact=given == truth,
        edit_similarity=Levenshtein.normalized_similarity(given, truth),
        stop_reason=stop_reason,
        latency_ms=round(latency_ms, 1),
    )


def read_answers(path: Path) -> list[Answer]:
    """Return the answers of a run; a last line that a kill cut short is left out."""
    answers = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            answers.append(Answer(**json.loads(line)))
        except ValueError:
            continue
    return answers
