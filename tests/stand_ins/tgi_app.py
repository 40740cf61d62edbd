"""A Text Generation Inference server without a model: it speaks TGI's HTTP API and says a script.

It runs on a thread of its own, on a port of the loopback interface, and notes what it was asked
and which streams were closed before their end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from tests.stand_ins.serving import listening, on_a_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

END = {"id": 0, "text": "<|endoftext|>", "logprob": -0.1, "special": True}


@dataclass(slots=True, kw_only=True)
class TgiScript:
    """What the server says, and what it has heard."""

    answer: Callable[[str], list[str]] = lambda _: ["done"]
    """Tokens for a prompt; the end token comes after them."""
    delay_s: float = 0.0
    """Pause before each token."""
    info_delay_s: float = 0.0
    """Pause before it says what it is."""
    max_input_chars: int = 1_000_000
    """A longer prompt gets TGI's validation error."""
    refuses: tuple[int, dict[str, str]] | None = None
    """Status and body for every generation, instead of an answer."""
    dies_after: int | None = None
    """Tear the connection down after so many tokens."""
    prompts: list[str] = field(default_factory=list)
    num_closed_early: int = 0
    """Streams that the client closed before their end."""
    num_finished: int = 0
    url: str = ""


@contextmanager
def tgi_server(script: TgiScript) -> Iterator[TgiScript]:
    """Run the server while the block runs; `script.url` says where."""

    async def stream(request: web.Request) -> web.StreamResponse:
        return await _stream(request, script)

    async def info(request: web.Request) -> web.Response:
        await asyncio.sleep(script.info_delay_s)
        return await _info(request)

    app = web.Application()
    app.add_routes(
        [
            web.get("/info", info),
            web.get("/health", _health),
            web.post("/generate_stream", stream),
        ]
    )
    with on_a_thread(listening(app)) as script.url:
        yield script


async def _health(_: web.Request) -> web.Response:
    return web.Response()


async def _info(_: web.Request) -> web.Response:
    return web.json_response(
        {
            "model_id": "scripted",
            "model_sha": "0123456789abcdef",
            "max_concurrent_requests": 128,
            "max_best_of": 2,
            "max_stop_sequences": 4,
            "max_input_tokens": 1984,
            "max_total_tokens": 2048,
            "max_client_batch_size": 4,
            "router": "text-generation-router",
            "version": "3.3.7",
        }
    )


async def _stream(request: web.Request, script: TgiScript) -> web.StreamResponse:
    body = await request.json()
    prompt = body["inputs"]
    script.prompts.append(prompt)
    if script.refuses is not None:
        status, table = script.refuses
        return web.json_response(table, status=status)
    if len(prompt) > script.max_input_chars:
        message = (
            f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: "
            f"{len(prompt)} `inputs` tokens and {body['parameters']['max_new_tokens']} "
            "`max_new_tokens`"
        )
        table = {"error": message, "error_type": "validation"}
        return web.json_response(table, status=422)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    try:
        await _say(request, response, script, body)
    except (asyncio.CancelledError, ConnectionError):
        script.num_closed_early += 1
        raise
    script.num_finished += 1
    return response


async def _say(
    request: web.Request, response: web.StreamResponse, script: TgiScript, body: dict[str, object]
) -> None:
    limit = body["parameters"]["max_new_tokens"]
    texts = script.answer(body["inputs"])
    for index, text in enumerate(texts[:limit], 1):
        await asyncio.sleep(script.delay_s)
        if script.dies_after is not None and index > script.dies_after:
            request.transport.abort()
            return
        last = index == limit
        token = {"id": 64 + index, "text": text, "logprob": -0.5, "special": False}
        await _event(response, index, token, _details(body, index, "length") if last else None)
        if last:
            return
    await asyncio.sleep(script.delay_s)
    num_tokens = len(texts) + 1
    await _event(response, num_tokens, END, _details(body, num_tokens, "eos_token"))


def _details(body: dict[str, object], generated: int, reason: str) -> dict[str, object]:
    return {
        "finish_reason": reason,
        "generated_tokens": generated,
        "input_length": len(body["inputs"].split()),
        "seed": None,
    }


async def _event(
    response: web.StreamResponse,
    index: int,
    token: dict[str, object],
    details: dict[str, object] | None,
) -> None:
    event = {
        "index": index,
        "token": token,
        "top_tokens": [],
        "generated_text": "" if details else None,
        "details": details,
    }
    await response.write(f"data:{json.dumps(event)}\n\n".encode())
