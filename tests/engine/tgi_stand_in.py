"""A real HTTP server that answers as Text Generation Inference v3.3.7 does, as it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

INFO = {
    "model_id": "bigcode/starcoder2-3b",
    "model_sha": "733247c55e3f73af49ce8e9c7949bf14af205928",
    "model_pipeline_tag": "text-generation",
    "max_concurrent_requests": 128,
    "max_best_of": 2,
    "max_stop_sequences": 4,
    "max_input_tokens": 4095,
    "max_total_tokens": 4096,
    "validation_workers": 2,
    "max_client_batch_size": 4,
    "router": "text-generation-router",
    "version": "3.3.7",
    "sha": None,
    "docker_label": None,
}


def token_event(index: int, text: str, *, special: bool = False, last: str | None = None) -> bytes:
    """Return one event; `last` is the finish reason of the last one."""
    details = None
    if last:
        details = {"finish_reason": last, "generated_tokens": index, "seed": None}
        details["input_length"] = 7
    event = {
        "index": index,
        "token": {"id": 100 + index, "text": text, "logprob": -0.5, "special": special},
        "generated_text": "all of it" if last else None,
        "details": details,
    }
    return b"data:" + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def error_event(error: str, error_type: str) -> bytes:
    return b"data:" + json.dumps({"error": error, "error_type": error_type}).encode() + b"\n\n"


class TgiStandIn:
    """Answers `/generate_stream` with a script, and remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.info: object = INFO
        self.script: Callable[[web.StreamResponse], Awaitable[None]] = self.write(
            token_event(1, "a"), token_event(2, "b", last="length")
        )
        self.plain_answer: web.Response | None = None
        self.bodies: list[dict[str, object]] = []
        self.authorization: list[str | None] = []
        self.connections: set[object] = set()
        self.clients_left = 0
        self._server: web.Server[web.BaseRequest] | None = None

    @property
    def num_open(self) -> int:
        """Connections that are open now."""
        return len(self._server.connections) if self._server else 0

    @staticmethod
    def write(*pieces: bytes) -> Callable[[web.StreamResponse], Awaitable[None]]:
        """Return a script that writes pieces, each in its own packet."""

        async def script(response: web.StreamResponse) -> None:
            for piece in pieces:
                await response.write(piece)
                await asyncio.sleep(0.001)

        return script

    @staticmethod
    def write_and_hang(*pieces: bytes) -> Callable[[web.StreamResponse], Awaitable[None]]:
        """Return a script that writes pieces and then waits for the client to leave."""

        async def script(response: web.StreamResponse) -> None:
            for piece in pieces:
                await response.write(piece)
            await asyncio.Event().wait()

        return script

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        self.authorization.append(request.headers.get("Authorization"))
        self.connections.add(request.transport)
        if self.plain_answer is not None:
            return self.plain_answer
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self.script(response)
        except asyncio.CancelledError:
            self.clients_left += 1
            raise
        return response

    async def _info(self, _request: web.Request) -> web.Response:
        return web.json_response(self.info)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[TgiStandIn]:
        """Listen on a free port."""
        app = web.Application(client_max_size=10**8)
        app.router.add_post("/generate_stream", self._stream)
        app.router.add_get("/info", self._info)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await runner.setup()
        self._server = runner.server
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()
