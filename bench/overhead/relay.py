"""The least that a language server in Python can be: it passes on what it reads, and no more.

    python -m bench.overhead.relay URL

It holds a text, sends it at each request with our own HTTP client, and answers with what was
generated up to the line end. Nothing is checked, chosen, cut, remembered or recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from fimble.engine import Query, Token
from fimble.fim import FORMATS
from lsp_server.engines.tgi import TgiEngine
from lsp_server.reading import Frames
from lsp_server.stdio import read_from

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAVE_S = 0.002


class Relay:
    """One session."""

    def __init__(self, url: str) -> None:
        self._engine = TgiEngine(url, fim_format=FORMATS["fimble"])
        self._frames = Frames()
        self._text = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()

    def take(self, data: bytes) -> None:
        """Handle what was read."""
        self._frames.add(data)
        while (body := self._frames.next()) is not None:
            self._handle(json.loads(body))
        if not data:
            self.ended.set()

    def _handle(self, message: Mapping[str, Any]) -> None:
        method, params = message["method"], message.get("params") or {}
        if method == "textDocument/didOpen":
            self._text = params["textDocument"]["text"][:4000]
        elif method == "textDocument/didChange":
            self._text = params["contentChanges"][0]["text"] + self._text[:4000]
        elif method == "textDocument/inlineCompletion":
            task = asyncio.create_task(self._complete(message["id"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif "id" in message:
            _send(message["id"], {"capabilities": {}})

    async def _complete(self, number: int) -> None:
        text = ""
        query = Query(parts=(self._text,), max_new_tokens=64)
        async with contextlib.aclosing(self._engine.stream(query)) as items:
            async for item in items:
                assert isinstance(item, Token)
                text += item.text
                if text.endswith("\n"):
                    _send(number, {"items": [{"insertText": text}]})
                    await asyncio.sleep(LEAVE_S)
                    break


def _send(number: int, result: object) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
    os.write(sys.stdout.fileno(), b"Content-Length: %d\r\n\r\n%b" % (len(body), body))


async def serve(url: str) -> None:
    """Serve until standard input ends."""
    relay = Relay(url)
    read_from(sys.stdin.fileno(), relay.take)
    await relay.ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
