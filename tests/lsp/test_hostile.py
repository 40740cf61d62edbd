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

from tests.stand_ins.lsp_client import HEAD, URI, LspClient, texts

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


def _junk(chance: random.Random, number: int) -> object:
    """Return what is JSON and may be anything."""
    uris = [URI, "file:///other.py", "", "x:", 3, None]
    values = [None, True, -1, 1e400 if number % 50 == 0 else 2**40, "", "x" * 50, [], {}, [[]]]
    methods = [
        "textDocument/inlineCompletion",
        "textDocument/didChange",
        "textDocument/didOpen",
        "textDocument/didClose",
        "textDocument/didFocus",
        "textDocument/didPartiallyAcceptCompletion",
        "workspace/executeCommand",
        "workspace/didChangeWorkspaceFolders",
        "$/cancelRequest",
        "$/nonsense",
        "nonsense",
    ]
    place = {"line": chance.choice([0, 1, -1, 2**31, "1"]), "character": chance.choice([0, 5, -3])}
    params = {
        "textDocument": {
            "uri": chance.choice(uris),
            "version": chance.choice(values),
            "text": chance.choice(["x = 1\n", 3]),
            "languageId": "python",
        },
        "position": place,
        "context": {"triggerKind": chance.choice([1, 2, 9, None])},
        "contentChanges": [{"range": {"start": place, "end": place}, "text": "a"}],
        "command": chance.choice(["fimble.explain", "fimble.accepted", "rm"]),
        "arguments": chance.choice([values, [], None, [uris]]),
        "item": chance.choice(values),
        "id": number,
    }
    for key in chance.sample(sorted(params), chance.randint(0, 4)):
        params[key] = chance.choice(values)
    message: dict[str, object] = {
        "jsonrpc": chance.choice(["2.0", "2.0", "2.0", "1.0", None]),
        "method": chance.choice(methods),
        "params": chance.choice([params, params, params, *values]),
    }
    if chance.random() < 0.5:
        message["id"] = chance.choice([1_000_000 + number, 1_000_000 + number, f"s{number}", None])
    for key in chance.sample(sorted(message), int(chance.random() < 0.1)):
        del message[key]
    return message


async def test_messages_that_are_none_leave_the_session_alive_and_its_memory_flat(
    start: Start,
) -> None:
    client = await start(
        options={
            "completion": {"deadline_ms": 50},
            "engine": {"tgi_url": "http://127.0.0.1:9", "failover": False},
        }
    )
    client._receive = lambda message: _receive_ours(client, message)  # type: ignore[method-assign]
    chance = random.Random(5)
    sizes: list[int] = []
    for number in range(6000):
        client._write(_junk(chance, number))
        if number % 500 == 499:
            await client.settle()
            sizes.append(psutil.Process(client.process.pid).memory_info().rss)
    assert max(sizes[6:]) < sizes[3] + 20_000_000
    uri = "file:///after.py"
    client.open("x = 1\n", uri=uri)
    assert await client.items((0, 5), uri=uri) == []
    assert (await client.explain(uri))["why"] in {
        "the engine failed",
        "the engine took longer than completion.deadline_ms",
    }


def _receive_ours(client: LspClient, message: dict[str, object]) -> None:
    """Take what answers our own requests; the rest answers junk."""
    number = message.get("id")
    if "method" not in message and isinstance(number, int) and number in client._waiting:
        LspClient._receive(client, message)


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
