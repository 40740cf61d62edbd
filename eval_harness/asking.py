"""One question to an engine: cut until it fits, its stream closed once it is answered."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.problem import Extent, Kind
from eval_harness.prompts import beginning_of, finish_answer, is_finished, prompt_parts
from fimble.context import WindowBudget
from fimble.engine import FinishReason, Query, Token
from fimble.errors import PromptTooLongError, SentinelInTextError
from fimble.fim import FORMATS

if TYPE_CHECKING:
    from eval_harness.problem import Problem
    from fimble.clock import Clock
    from fimble.engine import Engine, EngineInfo
    from fimble.fim import Part

TOO_LONG = "prompt_too_long"
"""Stop reason of a question that the model's context does not hold, however it is cut."""
SENTINEL = "sentinel_in_text"
"""Stop reason of a question whose text spells a sentinel, to a server that takes only text."""
_SMALLEST_SHARE = 1 / 16


class Drawing(NamedTuple):
    """How one answer is drawn."""

    temperature: float
    seed: int | None
    max_new_tokens: int
    """0 takes what the problem asks for."""


class Said(NamedTuple):
    """What a model said, cut to where the answer ends."""

    text: str
    stop_reason: str
    latency_ms: float
    """To the last character that counts."""
    first_token_ms: float
    prompt_tokens: int
    """0 where the stream was closed before the engine said."""
    generated_tokens: int


def longest_answer_tokens(problem: Problem) -> int:
    """Return how many tokens an answer to a problem may have, unless the user says otherwise."""
    if problem.extent is Extent.LINE:
        return 64
    return 512 if problem.kind is Kind.COMPLETE else 256


def prompt_of(
    problem: Problem, info: EngineInfo, budget: WindowBudget, *, begun: str = ""
) -> tuple[Part, ...]:
    """Return a problem's prompt in the order that a model's family prefers, see `prompt_parts`."""
    order = FORMATS[info.fim_format or "fimble"].orders[0]
    return prompt_parts(problem, order=order, budget=budget, begun=begun)


async def ask(
    problem: Problem, engine: Engine, info: EngineInfo, clock: Clock, drawing: Drawing
) -> Said:
    """Return a model's answer to a problem.

    Args:
        problem: The problem.
        engine: Where it is asked.
        info: What the engine says about itself.
        clock: Measures the latency.
        drawing: How the answer is drawn.

    Raises:
        EngineError: The engine failed.
    """
    share = 1.0
    begun = beginning_of(problem) if info.takes_beginning else ""
    while True:
        budget = WindowBudget().scaled(share)
        query = Query(
            parts=prompt_of(problem, info, budget, begun=begun),
            beginning=begun,
            max_new_tokens=drawing.max_new_tokens or longest_answer_tokens(problem),
            temperature=drawing.temperature,
            seed=drawing.seed,
        )
        try:
            return await _stream(problem, engine, clock, query)
        except PromptTooLongError:
            # Text that is dear in tokens, such as tables of numbers: ask with less of it.
            share /= 2
            if share < _SMALLEST_SHARE:
                return Said("", TOO_LONG, 0.0, 0.0, 0, 0)
        except SentinelInTextError:
            return Said("", SENTINEL, 0.0, 0.0, 0, 0)


async def _stream(problem: Problem, engine: Engine, clock: Clock, query: Query) -> Said:
    started_ms = clock.monotonic_ms()
    first_token_ms, num_tokens, prompt_tokens = 0.0, 0, 0
    text, ended = "", FinishReason.STOP_SEQUENCE
    async with contextlib.aclosing(engine.stream(query)) as stream:
        async for item in stream:
            if not isinstance(item, Token):
                ended, prompt_tokens = item.reason, item.prompt_tokens
                num_tokens = item.generated_tokens or num_tokens
                continue
            num_tokens += 1
            first_token_ms = first_token_ms or clock.monotonic_ms() - started_ms
            text += item.text
            if is_finished(problem, text):
                break
        latency_ms = clock.monotonic_ms() - started_ms
    answer = finish_answer(problem, text, ended)
    return Said(
        text=answer.text,
        stop_reason=answer.reason,
        latency_ms=round(latency_ms, 1),
        first_token_ms=round(first_token_ms or latency_ms, 1),
        prompt_tokens=prompt_tokens,
        generated_tokens=num_tokens,
    )
