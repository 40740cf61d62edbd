"""One generation: the stream of an engine, cut as it comes, closed as soon as it is complete."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fimble.context import Window, window
from fimble.engine import Finish, FinishReason
from fimble.errors import PromptTooLongError
from fimble.fim import Snippet
from fimble.soundness import Soundness
from fimble.stops import Cut, Scope, StopReason, cut, finish
from fimble.text import to_lf
from lsp_server.backend import SMALLEST_FACTOR
from lsp_server.prompting import query_for as query_for_spot

if TYPE_CHECKING:
    from fimble.clock import Clock
    from fimble.context import WindowBudget
    from fimble.engine import Query, Token
    from lsp_server.backend import Backend
    from lsp_server.prompting import Spot
    from lsp_server.route import Route
    from lsp_server.trail import Trail

TEMPERATURE = 0.6
"""Of what is drawn: other than the likeliest, and seldom nonsense."""
_BRACKETS = ("()", "[]", "{}")
_REASONS = {
    FinishReason.LENGTH: StopReason.LENGTH,
    FinishReason.END_TOKEN: StopReason.END_TOKEN,
    FinishReason.STOP_SEQUENCE: StopReason.END_TOKEN,
}


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a generation cost; numbers that the engine never said are 0."""

    first_token_at_ms: float = 0.0
    done_at_ms: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    """Tokens that came before the text was complete."""
    logprobs: list[float]
    path: str = ""
    """Of the file, as the prompt names it; empty where it does not."""
    snippets: tuple[Snippet, ...] = ()
    """Code of other files in the prompt."""

    @property
    def num_snippets(self) -> int:
        """Pieces of code of other files in the prompt."""
        return len(self.snippets)

    @property
    def snippet_bytes(self) -> int:
        """Their size, with their paths."""
        return sum(each.size_bytes for each in self.snippets)

    @property
    def mean_logprob(self) -> float:
        """Mean natural logarithm of the tokens' probabilities; 0 without tokens."""
        known = [value for value in self.logprobs if math.isfinite(value)]
        return sum(known) / len(known) if known else 0.0


class Limits(NamedTuple):
    """How long prompts and answers may be."""

    budget: WindowBudget
    max_new_tokens: int


class Generation:
    """Text for one spot, while it comes and when it is complete."""

    def __init__(
        self, spot: Spot, trail: Trail, *, route: Route, clock: Clock, seed: int | None = None
    ) -> None:
        """Begin with nothing.

        Args:
            spot: What it is for.
            trail: What the user has written at the spot since the start.
            route: What is asked.
            clock: Times it.
            seed: Draws the tokens; None takes the likeliest.
        """
        self.spot = spot
        self.trail = trail
        """What the user has written at the spot since the start."""
        self.counts = Counts(logprobs=[])
        self.window = Window("", "")
        """The text around the cursor that the prompt holds."""
        self.backend = route.current
        """What is asked."""
        self._route = route
        self._clock = clock
        self._raw = ""
        self._seed = seed
        self._is_alone = False
        self._soundness: Soundness | None = None
        self._looking_ahead: asyncio.Handle | None = None

    @property
    def so_far(self) -> str:
        """Everything that was generated up to now, LF only and not cut."""
        return to_lf(self._raw)

    @property
    def agrees(self) -> bool:
        """Whether the user writes what is generated, as far as both go."""
        so_far, written = self.so_far, self.trail.text
        return so_far.startswith(written) or written.startswith(so_far)

    @property
    def whole_lines(self) -> str:
        """The lines that are complete already, as they may be shown; empty where none is."""
        end = self.so_far.rfind("\n")
        if end < 0 or self.spot.site.scope is Scope.LINE:
            return ""
        shown = self._sound(cut(self.so_far[: end + 1], self.spot.site)).text.rstrip()
        return shown if shown.startswith(self.trail.text) else ""

    async def run(
        self, limits: Limits, factors: dict[str, float], *, to_the_end: bool = False
    ) -> Cut | None:
        """Return the completion, or None where the user began to write something else.

        Args:
            limits: How long prompt and answer may be.
            factors: Share of the budget to use, by backend; 1 where it says nothing.
            to_the_end: Let the engine finish, so that it says how long the prompt was; the text is
                the same.

        Raises:
            EngineError: See `Route.stream`.
            InputError: See `Route.stream`.
        """

        def query_for(backend: Backend) -> Query:
            self.backend = backend
            factor = factors.setdefault(backend.name, backend.factor_for(limits))
            budget = limits.budget if factor == 1 else limits.budget.scaled(factor)
            self.window = window(self.spot.prefix, self.spot.suffix, budget)
            fim_format = backend.fim_format
            # Where not even the window fits, there is no room for other files.
            has_room = factor == 1 and not self._is_alone
            snippets = self._snippets_for(backend) if has_room else ()
            self.counts.snippets = snippets
            self.counts.path = self.spot.path if fim_format.file else ""
            query = query_for_spot(
                self.spot,
                self.window,
                fim_format,
                limits.max_new_tokens,
                snippets=snippets,
                takes_beginning=backend.takes_beginning,
            )
            if self._seed is None:
                return query
            return replace(query, temperature=TEMPERATURE, seed=self._seed)

        final: Cut | None = None
        items = self._route.stream(query_for)
        try:
            async for item in items:
                final = self._take(item, final)
                if (final is not None and not to_the_end) or not self.agrees:
                    self._route.leave(items)
                    break
        finally:
            self._stop_looking_ahead()
        return final

    def leave_out_snippets(self) -> bool:
        """Ask without code of other files from now on; return whether there was any."""
        had_snippets = self.counts.num_snippets > 0 and not self._is_alone
        self._is_alone = True
        return had_snippets

    def _snippets_for(self, backend: Backend) -> tuple[Snippet, ...]:
        """Return the code of other files that goes into the prompt for an engine."""
        snippets, is_forced = self.spot.others
        fim_format = backend.fim_format
        if not fim_format.file or not (backend.takes_snippets or is_forced):
            return ()
        return tuple(
            each for each in snippets if not fim_format.sentinel_in(f"{each.path}\n{each.text}")
        )

    def _take(self, item: Token | Finish, final: Cut | None) -> Cut | None:
        """Take one item of the stream; return the completion once it is certain."""
        if isinstance(item, Finish):
            self.counts.prompt_tokens = item.prompt_tokens
            self.counts.cached_tokens = item.cached_tokens
            return final or self._done(finish(self.so_far, self.spot.site, _REASONS[item.reason]))
        if final is not None:
            return final
        if item.prompt is not None:
            self.counts.prompt_tokens, self.counts.cached_tokens = item.prompt
        if not self.counts.generated_tokens:
            self.counts.first_token_at_ms = self._clock.monotonic_ms()
        self.counts.generated_tokens += 1
        self.counts.logprobs.append(item.logprob)
        self._raw += item.text
        so_far = cut(self.so_far, self.spot.site)
        if so_far.reason is not None:
            return self._done(so_far)
        if self._looking_ahead is None:
            # Not before all that has come is read, and while the engine is at work on the next.
            self._looking_ahead = asyncio.get_running_loop().call_soon(self._look_ahead)
        return None

    def _look_ahead(self) -> None:
        """Judge what will be the whole text if the next token ends it."""
        self._looking_ahead = None
        text = self.so_far
        is_line = self.spot.site.scope is Scope.LINE
        if _is_closed(text) if is_line else text.endswith("\n"):
            self._sound(cut(text, self.spot.site))
        else:
            self._judge()

    def _stop_looking_ahead(self) -> None:
        if self._looking_ahead is not None:
            self._looking_ahead.cancel()
            self._looking_ahead = None

    def _judge(self) -> Soundness:
        if self._soundness is None:
            self._soundness = Soundness(self.spot.site)
        return self._soundness

    def _sound(self, final: Cut) -> Cut:
        """Cut back a completion that would break code that parses."""
        if not self.counts.generated_tokens:
            return final
        part = self._judge().sound_part(final.text)
        return final if part == final.text else Cut(part, StopReason.SYNTAX)

    def _done(self, final: Cut) -> Cut:
        final = self._sound(final)
        self.counts.done_at_ms = self._clock.monotonic_ms()
        return final


def _is_closed(text: str) -> bool:
    """Return whether a line may end behind `text`, as far as its brackets say."""
    return all(text.count(opener) == text.count(closer) for opener, closer in _BRACKETS)


async def run_within_context(
    generation: Generation,
    limits: Limits,
    factors: dict[str, float],
    *,
    to_the_end: bool = False,
) -> Cut | None:
    """Run a generation, its prompt cut until it fits the model; `factors` remember the window.

    Code of other files goes first, then the window is halved.

    Raises:
        EngineError: See `Route.stream`.
        InputError: See `Route.stream`.
    """
    while True:
        try:
            return await generation.run(limits, factors, to_the_end=to_the_end)
        except PromptTooLongError:
            if generation.leave_out_snippets():
                continue
            name = generation.backend.name
            if factors[name] <= SMALLEST_FACTOR:
                raise
            factors[name] /= 2
