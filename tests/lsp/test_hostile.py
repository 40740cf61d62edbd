"""Backends that misbehave and messages that are none: a real session over its pipes survives them.

Whatever the backend does, each request has an answer by the deadline; no test measures a speed.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.lsp.junk import hear_ours_only, send_junk
from tests.stand_ins.lsp_client import HEAD, LspClient, texts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Start = Callable[..., Awaitable[LspClient]]
    Act = Callable[[asyncio.StreamWriter], Awaitable[None]]

INFO = {"model_id": "m", "max_input_tokens": 1984, "max_total_tokens": 2048}
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
TOKEN = {"id": 1, "text": "x", "logprob": -1, "special": False}
EVENT = b"data:" + json.dumps({"index": 1, "token": TOKEN, "details": None}).encode() + b"\n\n"


async def hang(writer: asyncio.StreamWriter) -> None:
    """Say nothing, for an hour."""
    del writer
    await asyncio.sleep(3600)


async def half_a_header(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    await asyncio.sleep(3600)


async def one_token_and_hang(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + EVENT)
    await asyncio.sleep(3600)


async def comments_forever(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM)
    while True:
        writer.write(b":\n\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def die(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + EVENT[:20])
    await writer.drain()
    writer.transport.abort()


async def flood(writer: asyncio.StreamWriter) -> None:
    """Send one endless line."""
    writer.write(STREAM + b"data:")
    for _ in range(200):
        writer.write(b"x" * 100_000)
        await writer.drain()


async def no_json(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + b"data: <html>def secret(): pass</html>\n\n")


async def no_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff" * 5000)


async def tokens_forever(writer: asyncio.StreamWriter) -> None:
    """Send blank tokens, which end nothing, without a pause."""
    blank = {**TOKEN, "text": " "}
    event = b"data:" + json.dumps({"token": blank, "details": None}).encode() + b"\n\n"
    writer.write(STREAM)
    for _ in range(5000):
        writer.write(event)
        await writer.drain()
    await asyncio.sleep(3600)


ACTS = [
    hang,
    half_a_header,
    one_token_and_hang,
    comments_forever,
    die,
    flood,
    no_json,
    no_http,
    tokens_forever,
]


class Hostile:
    """A server that answers `/info`, and everything else with an act."""

    def __init__(self) -> None:
        self.act: Act = hang
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while line := await reader.readline():
                length = 0
                while (header := await reader.readline()).strip():
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                await reader.readexactly(length)
                if line.startswith(b"GET /info"):
                    body = json.dumps(INFO).encode()
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                    writer.write(head.encode() + body)
                else:
                    await self.act(writer)
                    await writer.drain()
                    return
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


@pytest.fixture
async def hostile() -> AsyncIterator[Hostile]:
    server = Hostile()
    async with await asyncio.start_server(server.handle, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server
        server.stop()


async def test_whatever_a_backend_does_a_request_is_answered_and_the_session_lives(
    start: Start, hostile: Hostile
) -> None:
    client = await start(
        options={
            "engine": {"tgi_url": hostile.url, "failover": False},
            "completion": {"debounce_ms": 0, "deadline_ms": 300},
        }
    )
    client.open(HEAD + "\n" * len(ACTS))
    for line, act in enumerate(ACTS, 1):
        hostile.act = act
        assert await client.items((line, 0)) == [], act.__name__
        assert (await client.explain())["why"] in {
            "the engine failed",
            "the engine took longer than completion.deadline_ms",
            "the model suggests nothing here",
        }
    assert all("secret" not in message for message in client.messages)
    assert await client.close() == 0


async def test_messages_that_are_none_leave_the_session_alive_and_its_memory_flat(
    start: Start,
) -> None:
    client = await start(
        options={
            "completion": {"deadline_ms": 50},
            "engine": {"tgi_url": "http://127.0.0.1:9", "failover": False},
        }
    )
    hear_ours_only(client)
    chance = random.Random(5)
    sizes: list[int] = []
    for number in range(4000):
        send_junk(client, chance, number)
        if number % 500 == 499:
            await client.settle()
            sizes.append(psutil.Process(client.process.pid).memory_info().rss)
    assert max(sizes[4:]) < sizes[2] + 20_000_000
    uri = "file:///after.py"
    client.open("x = 1\n", uri=uri)
    assert await client.items((0, 5), uri=uri) == []
    assert (await client.explain(uri))["why"] in {
        "the engine failed",
        "the engine took longer than completion.deadline_ms",
    }


async def test_an_answer_is_always_for_the_document_that_asked(start: Start) -> None:
    """Requests for many documents at once, some closed meanwhile: none gets another's text."""
    client = await start()
    uris = [f"file:///p/d{number}.py" for number in range(30)]
    asked = []
    for number, uri in enumerate(uris):
        client.open(f"def f{number}():\n", uri=uri)
        asked.append(client.ask((1, 0), uri=uri))
    for uri in uris[::3]:
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    answers = await asyncio.wait_for(asyncio.gather(*asked), 30)
    for number, answer in enumerate(answers):
        found = None if answer is None else texts(answer["items"])
        assert found in ([["    return a + b"], [], None] if number % 3 == 0 else
                         [["    return a + b"]])  # fmt: skip
