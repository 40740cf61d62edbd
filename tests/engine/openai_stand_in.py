"""A real HTTP server with OpenAI's `/v1/completions`, in the dialects of those who speak it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

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
        self.answer: Callable[[dict[str, object]], web.Response | None] = lambda _: None
        self.bodies: list[dict[str, object]] = []
        self.authorization: list[str | None] = []
        self.connections: set[object] = set()
        self.clients_left = 0

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.authorization.append(request.headers.get("Authorization"))
        self.connections.add(request.transport)
        if (plain := self.answer(body)) is not None:
            return plain
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._write(response)
        except asyncio.CancelledError:
            self.clients_left += 1
            raise
        return response

    async def _write(self, response: web.StreamResponse) -> Awaitable[None] | None:
        for each in self.pieces:
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
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()
