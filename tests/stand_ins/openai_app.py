"""A real HTTP server with OpenAI's `/v1/completions`, in the dialects of those who speak it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.stand_ins.serving import listening, on_a_thread

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Iterator

VLLM_MODELS = {
    "object": "list",
    "data": [
        {"id": "Qwen/Qwen2.5-Coder-1.5B", "object": "model", "max_model_len": 8192},
        {"id": "other", "object": "model", "max_model_len": 512},
    ],
}
LLAMA_CPP_MODELS = {"data": [{"id": "qwen.gguf", "meta": {"n_ctx_train": 32768, "n_vocab": 9}}]}


def event(table: object) -> bytes:
    return b"data: " + json.dumps(table, ensure_ascii=False).encode() + b"\n\n"


def piece(text: str, *, reason: str | None = None, logprob: float | None = None) -> bytes:
    """Return one event in OpenAI's form."""
    choice = {"index": 0, "text": text, "finish_reason": reason, "logprobs": None}
    if logprob is not None:
        choice["logprobs"] = {"tokens": [text], "token_logprobs": [logprob], "text_offset": [0]}
    return event({"id": "cmpl-1", "object": "text_completion", "choices": [choice]})


USAGE = event(
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    }
)
DONE = b"data: [DONE]\n\n"


Answer = web.Response | tuple[bytes, ...] | None
"""All at once, a stream of events, or what the stand-in always says."""


class OpenAiStandIn:
    """Answers `/v1/completions` with a script, and remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.models: object = VLLM_MODELS
        self.pieces: tuple[bytes, ...] = (
            piece("a", logprob=-0.5),
            piece("é🙂", reason="stop", logprob=-1.5),
            USAGE,
            DONE,
        )
        self.hangs = False
        self.answer: Callable[[dict[str, object]], Answer] = lambda _: None
        self.bodies: list[dict[str, object]] = []
        self.authorization: list[str | None] = []
        self.connections: set[object] = set()
        self.clients_left = 0

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.authorization.append(request.headers.get("Authorization"))
        self.connections.add(request.transport)
        answer = self.answer(body)
        if isinstance(answer, web.Response):
            return answer
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._write(response, self.pieces if answer is None else answer)
        except asyncio.CancelledError:
            self.clients_left += 1
            raise
        return response

    async def _write(
        self, response: web.StreamResponse, pieces: tuple[bytes, ...]
    ) -> Awaitable[None] | None:
        for each in pieces:
            await response.write(each)
            await asyncio.sleep(0.001)
        if self.hangs:
            await asyncio.Event().wait()
        return None

    async def _models(self, _request: web.Request) -> web.Response:
        if isinstance(self.models, web.Response):
            return self.models
        return web.json_response(self.models)

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[OpenAiStandIn]:
        """Listen on a free port."""
        app = web.Application(client_max_size=10**8)
        app.router.add_post("/v1/completions", self._stream)
        app.router.add_get("/v1/models", self._models)
        async with listening(app, tls=tls) as self.url:
            yield self


@dataclass(slots=True, kw_only=True)
class OpenAiScript:
    """What a server on a thread of its own says to each prompt."""

    answer: Callable[[str], list[str]] = lambda _: ["done"]
    refuses: tuple[int, str] | None = None
    breaks_off: bool = False
    """End the stream without a reason to finish."""
    token: str = ""
    server: OpenAiStandIn = field(default_factory=OpenAiStandIn)

    def say(self, body: dict[str, Any]) -> Answer:
        """Return what the server says to a question."""
        if self.token and self.server.authorization[-1] != f"Bearer {self.token}":
            return web.Response(status=401, text="no")
        if self.refuses is not None:
            status, text = self.refuses
            return web.Response(status=status, text=text)
        if body.get("echo"):
            return web.json_response(_echo(body["prompt"]))
        *texts, last = self.answer(body["prompt"])
        end = piece(last, reason=None if self.breaks_off else "stop")
        return (*map(piece, texts), end, USAGE, DONE)


@contextlib.contextmanager
def openai_server(script: OpenAiScript) -> Iterator[OpenAiScript]:
    """Run a server while the block runs; `script.server.url` says where."""
    script.server.answer = script.say
    with on_a_thread(script.server.running()):
        yield script


def _echo(prompt: str) -> dict[str, object]:
    """Return the prompt in tokens of two characters, each with a chance of 1/2."""
    offsets = list(range(0, len(prompt), 2))
    logprobs = {
        "tokens": [prompt[at : at + 2] for at in offsets] + ["!"],
        "text_offset": [*offsets, len(prompt)],
        "token_logprobs": [None, *[-0.5] * (len(offsets) - 1), -9.0],
    }
    return {"choices": [{"text": f"{prompt}!", "logprobs": logprobs}]}
