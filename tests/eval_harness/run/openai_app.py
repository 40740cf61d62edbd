"""A server that speaks OpenAI's `/v1/completions` as vLLM does, and says a script."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True, kw_only=True)
class OpenAiScript:
    """What the server says, and what it has heard."""

    answer: Callable[[str], list[str]] = lambda _: ["done"]
    refuses: tuple[int, str] | None = None
    breaks_off: bool = False
    """End the stream without a reason to finish."""
    token: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@contextmanager
def openai_server(script: OpenAiScript) -> Iterator[OpenAiScript]:
    """Run the server while the block runs; `script.url` says where."""
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def completions(request: web.Request) -> web.StreamResponse:
        return await _completions(request, script)

    async def models(_: web.Request) -> web.Response:
        data = [{"id": "org/coder", "object": "model", "max_model_len": 4096}]
        return web.json_response({"object": "list", "data": data})

    async def serve() -> None:
        app = web.Application()
        app.add_routes([web.get("/v1/models", models), web.post("/v1/completions", completions)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        script.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield script
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


async def _completions(request: web.Request, script: OpenAiScript) -> web.StreamResponse:
    body = await request.json()
    if script.token and request.headers.get("Authorization") != f"Bearer {script.token}":
        return web.Response(status=401, text="no")
    script.bodies.append(body)
    if script.refuses is not None:
        status, text = script.refuses
        return web.Response(status=status, text=text)
    if body.get("echo"):
        return web.json_response(_echo(body["prompt"]))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    pieces = script.answer(body["prompt"])
    for place, piece in enumerate(pieces):
        is_last = place == len(pieces) - 1 and not script.breaks_off
        choice = {"index": 0, "text": piece, "finish_reason": "stop" if is_last else None}
        await _send(response, {"choices": [choice]})
    usage = {"prompt_tokens": 11, "completion_tokens": len(pieces)}
    await _send(response, {"choices": [], "usage": usage})
    await response.write(b"data: [DONE]\n\n")
    return response


async def _send(response: web.StreamResponse, event: dict[str, object]) -> None:
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _echo(prompt: str) -> dict[str, object]:
    """Return the prompt in tokens of two characters, each with a chance of 1/2."""
    offsets = list(range(0, len(prompt), 2))
    logprobs = {
        "tokens": [prompt[at : at + 2] for at in offsets] + ["!"],
        "text_offset": [*offsets, len(prompt)],
        "token_logprobs": [None, *[-0.5] * (len(offsets) - 1), -9.0],
    }
    return {"choices": [{"text": f"{prompt}!", "logprobs": logprobs}]}
