"""Who replays a trace: an editor with our server, and one that asks as llama.vim does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bench.replay.sample import Key
from fimble.context import WindowBudget
from fimble.engine import Finish, Query
from fimble.fim import FimOrder, infill_prompt
from fimble.languages import by_path
from fimble.stops import Site, StopReason, cut, finish

if TYPE_CHECKING:
    from bench.replay.traces import Step, Trace
    from fimble.engine import Engine
    from tests.stand_ins.lsp_client import LspClient

BUDGET = WindowBudget()
MAX_NEW_TOKENS = 64
RIGHT_CHARS = 3
"""Ghost text that is right for so long saves a look."""
RETRY_S = 0.1
"""llama.vim looks again after so long while its request is under way."""
LOOK_BACK_CHARS = 128
"""So many characters before the cursor llama.vim looks for an earlier answer."""


class Seen(NamedTuple):
    """Ghost text that came for an edit."""

    text: str
    after_ms: float
    is_known: bool
    """Whether it was the rest of an earlier answer."""


class Player(Protocol):
    """One editor."""

    def open(self, trace: Trace) -> None:
        """Open the file of a trace, as it was before."""
        ...

    async def apply(self, step: Step, left_s: float) -> Seen | None:
        """Make an edit; return what ghost text came for it.

        Args:
            step: The edit.
            left_s: Until the next one; what comes later does not count.
        """
        ...


async def replay(player: Player, trace: Trace) -> list[Key]:
    """Make the edits of a trace at their times, and return what was seen."""
    player.open(trace)
    keys: list[Key] = []
    await asyncio.sleep(trace.steps[0].pause_ms / 1000)
    ended = -1
    for number, step in enumerate(trace.steps):
        following = trace.steps[number + 1] if number + 1 < len(trace.steps) else None
        left_s = following.pause_ms / 1000 if following else 1.0
        started_s = time.perf_counter()
        seen = await player.apply(step, left_s)
        keys.append(
            Key(
                ghost_ms=seen.after_ms if seen else None,
                is_known=seen is not None and seen.is_known,
                is_right=_is_right(seen, written_from(trace.steps, number + 1)),
                is_line_start=step.typed[:1] == "\n" or step.line != ended,
            )
        )
        ended = step.line + step.typed.count("\n")
        await asyncio.sleep(max(0.0, left_s - (time.perf_counter() - started_s)))
    return keys


def written_from(steps: list[Step], number: int) -> str:
    """Return what is written in one go from a step on, at the place where the one before ended."""
    text = ""
    place = steps[number - 1].cursor
    for step in steps[number:]:
        if step.deleted or (step.line, step.column) != place:
            break
        text += step.typed
        place = step.cursor
    return text


def _is_right(seen: Seen | None, written: str) -> bool:
    """Return whether there was ghost text worth a look."""
    start = written[:RIGHT_CHARS]
    return seen is not None and len(start) == RIGHT_CHARS and seen.text.startswith(start)


class OurEditor:
    """An editor with `fimble lsp`, which asks at every edit as soon as it is made."""

    def __init__(self, client: LspClient) -> None:
        self._client = client
        self._uri = ""

    def open(self, trace: Trace) -> None:
        """Open the file of a trace, as it was before."""
        if self._uri:
            self._client.notify("textDocument/didClose", {"textDocument": {"uri": self._uri}})
        language = by_path(trace.path)
        assert language is not None
        self._uri = f"file:///project/{trace.path}"
        self._client.open(trace.before, uri=self._uri, language=language.lsp_ids[0])

    async def apply(self, step: Step, left_s: float) -> Seen | None:
        """Send the edit and a request; wait for its answer until the next edit."""
        started_s = time.perf_counter()
        self._client.change(((step.line, step.column), step.end, step.typed), uri=self._uri)
        answer = self._client.ask(step.cursor, uri=self._uri)
        answer.add_done_callback(_retrieved)
        await asyncio.wait({answer}, timeout=left_s)
        if not answer.done():
            return None
        result = answer.result()
        after_ms = (time.perf_counter() - started_s) * 1000
        if not isinstance(result, dict) or not result["items"]:
            return None
        explained = await self._client.explain(self._uri)
        item, cursor = result["items"][0], step.cursor
        text = str(item["insertText"])[cursor[1] - item["range"]["start"]["character"] :]
        return Seen(text, after_ms, is_known=explained.get("cache") in {"typed", "cache"})


class LlamaStyle:
    """An editor that asks our engine as llama.vim asks llama.cpp's server.

    Whole lines before and below the cursor's are prefix and suffix, in this order, and the start of
    the cursor's line follows the middle mark; the window slides with every line. One request at a
    time, looked at again every 100 ms; no pause; answers are found again up to 128 characters back.
    Its prefetch after an answer is left out: nobody accepts here. An answer ends where ours would.

    Source: github.com/ggml-org/llama.vim, autoload/llama.vim (`llama#fim`, `llama#fim_inline`).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lines: list[str] = []
        self._path = ""
        self._answers: dict[tuple[str, str, str], str] = {}
        self._running: asyncio.Task[None] | None = None

    def open(self, trace: Trace) -> None:
        """Open the file of a trace, as it was before."""
        self._lines = trace.before.split("\n")
        self._path = trace.path

    async def apply(self, step: Step, left_s: float) -> Seen | None:
        """Make the edit; ask unless the answer is known; wait for it until the next edit."""
        started_s = time.perf_counter()
        self._edit(step)
        place = step.cursor
        is_known = self._known(place) is not None
        while True:
            known = self._known(place)
            took_s = time.perf_counter() - started_s
            if known is not None:
                return Seen(known, took_s * 1000, is_known) if known.strip() else None
            if took_s >= left_s:
                return None
            if self._running is None or self._running.done():
                self._running = asyncio.create_task(self._ask(place))
                self._running.add_done_callback(_retrieved)
                await asyncio.wait({self._running}, timeout=left_s - took_s)
            else:
                await asyncio.sleep(min(RETRY_S, left_s - took_s))

    async def close(self) -> None:
        """End what runs."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    def _edit(self, step: Step) -> None:
        end = step.end
        head = self._lines[step.line][: step.column]
        tail = self._lines[end[0]][end[1] :]
        self._lines[step.line : end[0] + 1] = f"{head}{step.typed}{tail}".split("\n")

    def _known(self, place: tuple[int, int]) -> str | None:
        """Return the answer for a place, or the rest of one from before on its line."""
        above, head, rest = self._around(place)
        for back in range(min(LOOK_BACK_CHARS, len(head)) + 1):
            start, typed = head[: len(head) - back], head[len(head) - back :]
            found = self._answers.get((above, start, rest))
            if found is not None and found.startswith(typed):
                return found[back:]
        return None

    def _around(self, place: tuple[int, int]) -> tuple[str, str, str]:
        """Return the lines above in the window, the line's start, and what is behind."""
        line, column = place
        above = _last_lines(self._lines[:line], BUDGET.prefix_bytes)
        rest = [self._lines[line][column:], *self._lines[line + 1 :]]
        return above, self._lines[line][:column], _first_lines(rest, BUDGET.suffix_bytes)

    async def _ask(self, place: tuple[int, int]) -> None:
        around = self._around(place)
        above, head, rest = around
        prompt = infill_prompt(prefix=above, suffix=rest, order=FimOrder.PSM, path=self._path)
        query = Query(parts=(*prompt, head) if head else prompt, max_new_tokens=MAX_NEW_TOKENS)
        site = Site.at(above + head, rest, by_path(self._path))
        text = ""
        async with contextlib.aclosing(self._engine.stream(query)) as items:
            async for item in items:
                if isinstance(item, Finish):
                    text = finish(text, site, StopReason.END_TOKEN).text
                    break
                text += item.text
                so_far = cut(text, site)
                if so_far.reason is not None:
                    text = so_far.text
                    break
        self._answers[around] = text


def _last_lines(lines: list[str], limit_bytes: int) -> str:
    """Return the last whole lines that fit, with their line ends."""
    first, size = len(lines), 0
    while first and size + len(lines[first - 1].encode()) + 1 <= limit_bytes:
        first -= 1
        size += len(lines[first].encode()) + 1
    return "".join(f"{line}\n" for line in lines[first:])


def _first_lines(lines: list[str], limit_bytes: int) -> str:
    """Return the first lines that fit, the first of them in any case."""
    count, size = 1, len(lines[0].encode())
    while count < len(lines) and size + len(lines[count].encode()) + 1 <= limit_bytes:
        size += len(lines[count].encode()) + 1
        count += 1
    return "\n".join(lines[:count])


def _retrieved(answer: asyncio.Future[object] | asyncio.Task[None]) -> None:
    """Look at the error of an answer that nobody waits for."""
    if not answer.cancelled():
        answer.exception()
