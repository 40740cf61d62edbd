"""How a problem becomes a model's prompt, and how its answer is cut: what the server does, too.

Prompts are built by `fimble.fim` and `fimble.context`, and never stripped: a model that has learnt
whole lines answers worse to a prompt without its last line end. Infilling answers are cut by
`fimble.stops`; left-to-right answers end with the function that the prompt leaves open.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.bodies import body_end, closed_body
from eval_harness.problem import Extent, Kind
from fimble.begun import begun_before
from fimble.context import WindowBudget, window
from fimble.engine import FinishReason
from fimble.fim import FimOrder, document_header, infill_prompt
from fimble.languages import by_name
from fimble.stops import Scope, Site, StopReason, cut, finish
from fimble.text import to_lf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval_harness.problem import Problem
    from fimble.fim import Part, Snippet

SMALLEST_OVERLAP_CHARS = 6
"""Lines that are shorter may be chance, such as closing brackets."""
_REPEATED_LINES = 3
_FULL_LINE = re.compile(r"^[^\n]*\S[^\n]*", re.MULTILINE)
_SCOPES = {Extent.LINE: Scope.LINE, Extent.SPAN: Scope.SPAN, Extent.BLOCK: Scope.BLOCK}


class Answer(NamedTuple):
    """An answer as it goes into the program."""

    text: str
    reason: StopReason
    """Why it ended there."""


def prompt_parts(
    problem: Problem,
    *,
    order: FimOrder = FimOrder.SPM,
    budget: WindowBudget | None = None,
    repository: str = "",
    snippets: Sequence[Snippet] = (),
    begun: str = "",
) -> tuple[Part, ...]:
    """Return the prompt of a problem.

    Args:
        problem: The problem; its `path` and `context` go into the prompt, where it has any.
        order: Order of prefix and suffix of an infilling problem; see `FimFormat.orders`.
        budget: How much of the file the prompt may hold; None is what the server takes. Other
            files get half of what goes before the cursor, on top.
        repository: Name of the project; empty leaves it out.
        snippets: Code of other files, the most important last; they follow the problem's own.
        begun: From `beginning_of`, for an engine that takes a beginning: the prompt ends before it,
            and a missing line is an empty one, as in an editor.
    """
    budget = budget or WindowBudget()
    suffix = _site(problem).suffix if begun else problem.suffix
    around = window(problem.prompt, suffix, budget)
    context = _within((*problem.context, *snippets), budget.prefix_bytes // 2)
    if problem.kind is Kind.COMPLETE:
        header = document_header(path=problem.path, repository=repository, snippets=context)
        return (*header, around.prefix)
    return infill_prompt(
        prefix=around.prefix.removesuffix(begun),
        suffix=around.suffix,
        order=order,
        path=problem.path,
        repository=repository,
        snippets=context,
    )


def beginning_of(problem: Problem) -> str:
    """Return what the answer to a hole begins with, for an engine that takes it: see `Query`."""
    return begun_before(problem.prompt) if problem.kind is Kind.INFILL else ""


def _within(snippets: Sequence[Snippet], limit_bytes: int) -> tuple[Snippet, ...]:
    """Return the last snippets, the most important ones, that fit together."""
    kept: list[Snippet] = []
    for snippet in reversed(snippets):
        limit_bytes -= len(f"{snippet.path}\n{snippet.text}".encode("utf-8", "surrogatepass"))
        if limit_bytes < 0:
            break
        kept.insert(0, snippet)
    return tuple(kept)


def is_finished(problem: Problem, text: str) -> bool:
    """Return whether a text that still comes in can be cut now: nothing behind would count."""
    text = to_lf(text)
    if _stop_text(problem, text) is not None:
        return True
    if problem.kind is Kind.INFILL:
        return _infilling_end(problem, text) is not None
    return _left_to_right_end(problem, text) is not None


def finish_answer(problem: Problem, text: str, reason: FinishReason) -> Answer:
    """Return what of a generated text goes into the program.

    Args:
        problem: What was asked.
        text: Everything generated; it may go on behind the answer's end.
        reason: Why the engine stopped; `STOP_SEQUENCE` also where we closed the stream.
    """
    text = to_lf(text)
    stop = _stop_text(problem, text)
    ended = StopReason.LENGTH if reason is FinishReason.LENGTH else StopReason.END_TOKEN
    if stop is not None:
        text, ended = text[:stop], StopReason.BLOCK
    if problem.kind is Kind.INFILL:
        return _finish_infilling(problem, text, ended)
    end = _left_to_right_end(problem, text if stop is not None else f"{text}\n")
    if end is not None:
        text, ended = text[:end], _end_reason(problem)
    elif problem.extent is Extent.BLOCK:
        text = closed_body(text, problem)
    return Answer(text.rstrip(), ended)


def _left_to_right_end(problem: Problem, text: str) -> int | None:
    match problem.extent:
        case Extent.BLOCK:
            return body_end(text, problem)
        case Extent.LINE:
            end = text.find("\n")
            return end if end >= 0 else None
        case Extent.SPAN:
            return None


def _end_reason(problem: Problem) -> StopReason:
    return StopReason.LINE if problem.extent is Extent.LINE else StopReason.BLOCK


def _stop_text(problem: Problem, text: str) -> int | None:
    """Return where the first of the problem's stop texts starts, or None."""
    found = [at for stop in problem.stops if (at := text.find(stop)) >= 0]
    return min(found, default=None)


def _infilling_end(problem: Problem, text: str) -> Answer | None:
    """Return the cut answer, or None while more could belong to it."""
    if problem.extent is Extent.SPAN:
        return _span_end(problem, text)
    so_far = cut(text, _site(problem))
    return None if so_far.reason is None else Answer(so_far.text, so_far.reason)


def _span_end(problem: Problem, text: str) -> Answer | None:
    """Return a span cut where it repeats the suffix, or itself.

    Nothing else is cut: where a span ends, the model must say.
    """
    if (again := _suffix_again(text, problem)) is not None:
        return Answer(text[:again], StopReason.SUFFIX)
    nowhere = Site(prefix="", suffix="", language=None, scope=Scope.SPAN)
    loop = cut(text, nowhere)
    return None if loop.reason is None else Answer(loop.text, loop.reason)


def _finish_infilling(problem: Problem, text: str, ended: StopReason) -> Answer:
    if problem.extent is Extent.SPAN:
        return _span_end(problem, text) or Answer(text, ended)
    final = finish(text, _site(problem), ended)
    # The hole is a whole line: its line end is missing, too.
    line_end = "\n" if _is_whole_line(problem) and final.text.strip() else ""
    return Answer(final.text + line_end, final.reason or ended)


def _site(problem: Problem) -> Site:
    """Return the place of the hole; where whole lines are missing, an empty line of its own."""
    return Site(
        prefix=problem.prompt,
        suffix=f"\n{problem.suffix}" if _is_whole_line(problem) else problem.suffix,
        language=by_name(problem.language),
        scope=_SCOPES[problem.extent],
    )


def _is_whole_line(problem: Problem) -> bool:
    """Return whether one line is asked for together with its line end."""
    starts_line = not problem.prompt or problem.prompt.endswith("\n")
    return (
        problem.extent is Extent.LINE
        and starts_line
        and bool(problem.suffix)
        and not problem.suffix.startswith("\n")
    )


def _suffix_again(text: str, problem: Problem) -> int | None:
    """Return where an answer starts to repeat the three full lines behind it, or None.

    Less is often said twice on purpose: `encode(` before `encode(text))`, or `return false; }`.
    Where fewer lines are behind, it must repeat all of them.
    """
    suffix = problem.suffix
    ends = [match.end() for match in islice(_FULL_LINE.finditer(suffix), _REPEATED_LINES)]
    start = suffix[: ends[-1]] if ends else ""
    if len(ends) < 2 or len(start.strip()) < SMALLEST_OVERLAP_CHARS:
        return None
    if problem.prompt and not problem.prompt.endswith("\n"):
        at = text.find(start)
    else:
        at = f"\n{text}".find(f"\n{start}")
    return at if at >= 0 else None
