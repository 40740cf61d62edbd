"""From the event loop to the engine's thread and back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lsp_server.engines.embedded import GeneratedToken, Generation, Prefilled
from lsp_server.serving.metrics import Metrics, Timing
from lsp_server.serving.validation import ValidationError, num_sequences, validate
from lsp_server.serving.worker import EngineThread, Failed, Job, Started

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from fimble.clock import Clock
    from lsp_server.engines.embedded import EmbeddedEngine
    from lsp_server.serving.limits import Limits
    from lsp_server.serving.parameters import Request
    from lsp_server.serving.worker import Event

T = TypeVar("T")


class InferError(Exception):
    """A request gets an error for an answer.

    Args:
        status: HTTP status, where it is not too late for one.
        kind: TGI's `error_type`.
        message: TGI's `error`.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


@dataclass(slots=True, kw_only=True)
class Answer:
    """What one generation has given so far."""

    generation: Generation
    received_ms: float
    accepted_ms: float
    started_ms: float = 0.0
    cached_tokens: int = 0
    prompt_logprobs: list[float | None] = field(default_factory=list)
    tokens: list[GeneratedToken] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The generated text, without special tokens."""
        return "".join(token.text for token in self.tokens if not token.is_special)

    @property
    def mean_logprob(self) -> float:
        """Mean over the tokens, by which `best_of` chooses."""
        return sum(token.logprob for token in self.tokens) / len(self.tokens)

    def timing(self, now_ms: float) -> Timing:
        """Return how long the parts took."""
        inference_s = (now_ms - self.started_ms) / 1000
        return Timing(
            total_s=(now_ms - self.received_ms) / 1000,
            validation_s=(self.accepted_ms - self.received_ms) / 1000,
            queue_s=(self.started_ms - self.accepted_ms) / 1000,
            inference_s=inference_s,
            per_token_s=inference_s / max(len(self.tokens), 1),
        )


class Front:
    """Admits requests, validates them, and follows their generations.

    Args:
        engine: The loaded model.
        limits: What is allowed.
        clock: For durations and idleness.
    """

    def __init__(self, engine: EmbeddedEngine, limits: Limits, clock: Clock) -> None:
        self.engine = engine
        self.limits = limits
        self.metrics = Metrics(limits)
        self.thread = EngineThread(engine)
        self.clock = clock
        self.num_active = 0
        self._last_active_ms = clock.monotonic_ms()
        # One thread, so that long inputs are read without stopping the event loop.
        self._tokenizing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenizing")

    @property
    def idle_ms(self) -> float:
        """Time since the last request ended; 0 while there is one."""
        return 0.0 if self.num_active else self.clock.monotonic_ms() - self._last_active_ms

    def start(self) -> None:
        """Begin to work."""
        self.thread.start()

    def stop(self) -> None:
        """End the engine's thread and wait for it."""
        self.thread.stop()
        self._tokenizing.shutdown()

    async def in_background(self, work: Callable[[], T]) -> T:
        """Run what takes long outside of the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, work)

    async def answers(self, request: Request) -> list[Answer]:
        """Return the finished answers to a request, the best one first.

        Raises:
            InferError: The request is refused, or fails.
        """
        with self._counted_failures():
            count = num_sequences(request.parameters, self.limits)
        answers = [await self._whole(request) for _ in range(count)]
        return sorted(answers, key=lambda answer: answer.mean_logprob, reverse=True)

    async def stream(self, request: Request) -> AsyncGenerator[tuple[Answer, GeneratedToken]]:
        """Yield each token with the answer that ends in it; closing it cancels the generation.

        Raises:
            InferError: The request is refused, or fails.
        """
        received_ms = self.clock.monotonic_ms()
        with self._admitted(), self._counted_failures():
            seed = secrets.randbits(64)
            generation = await self.in_background(
                lambda: validate(request, self.engine.vocabulary, self.limits, random_seed=seed)
            )
            self.metrics.accepted(
                input_tokens=len(generation.prompt_ids), max_new_tokens=generation.max_new_tokens
            )
            answer = Answer(
                generation=generation,
                received_ms=received_ms,
                accepted_ms=self.clock.monotonic_ms(),
            )
            async with contextlib.aclosing(self._events(generation)) as events:
                async for event in events:
                    self._add(answer, event)
                    if isinstance(event, GeneratedToken):
                        yield answer, event
            self.metrics.succeeded(
                answer.timing(self.clock.monotonic_ms()), generated_tokens=len(answer.tokens)
            )

    async def _whole(self, request: Request) -> Answer:
        async with contextlib.aclosing(self.stream(request)) as tokens:
            *_, (answer, _last) = [item async for item in tokens]
        return answer

    async def _events(self, generation: Generation) -> AsyncGenerator[Event]:
        """Yield what the engine's thread says about a generation; closing cancels it."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()

        def emit(event: Event) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        job = Job(generation, emit)
        self.thread.submit(job)
        try:
            while True:
                event = await events.get()
                yield event
                if isinstance(event, GeneratedToken) and event.finish:
                    return
        finally:
            job.cancel()

    def _add(self, answer: Answer, event: Event) -> None:
        match event:
            case Started():
                answer.started_ms = self.clock.monotonic_ms()
            case Prefilled():
                answer.cached_tokens = event.cached_tokens
                answer.prompt_logprobs.append(event.next_logprob)
            case GeneratedToken():
                answer.tokens.append(event)
            case Failed():
                raise InferError(
                    424, "generation", f"Request failed during generation: {event.message}"
                )

    @contextlib.contextmanager
    def _admitted(self) -> Generator[None]:
        """Count a request as active, unless there are too many.

        Raises:
            InferError: There are too many.
        """
        if self.num_active >= self.limits.max_concurrent_requests:
            self.metrics.failed("overloaded")
            raise InferError(429, "overloaded", "Model is overloaded")
        self.num_active += 1
        try:
            yield
        finally:
            self.num_active -= 1
            self._last_active_ms = self.clock.monotonic_ms()

    @contextlib.contextmanager
    def _counted_failures(self) -> Generator[None]:
        """Count failures under TGI's kinds, and give refusals their status."""
        try:
            yield
        except ValidationError as error:
            self.metrics.failed("validation")
            raise InferError(422, "validation", f"Input validation error: {error}") from error
        except InferError as error:
            self.metrics.failed(error.kind)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self.metrics.failed("dropped")
            raise
