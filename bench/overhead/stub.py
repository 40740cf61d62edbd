"""TGI's API without a model: every prompt gets the same line, after fixed delays.

    python -m bench.overhead.stub FIRST_MS

Bare sockets: it notes when a prompt came and when the last token that mattered was sent, and what
it takes itself is not counted for anybody.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

TOKENS = ("compute", "(", "value", ", ", "7", ")", "\n")
TOKEN_S = 0.002
_INFO = {
    "model_id": "stub",
    "model_sha": "0" * 16,
    "max_input_tokens": 1984,
    "max_total_tokens": 2048,
}
_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def _event(number: int, text: str) -> bytes:
    token = {"id": number, "text": text, "logprob": -0.5, "special": False}
    event = {"index": number, "token": token, "generated_text": None, "details": None}
    data = f"data:{json.dumps(event)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


_EVENTS = [_event(number, text) for number, text in enumerate(TOKENS, 1)]


class Stub(asyncio.Protocol):
    """One connection."""

    def __init__(self, first_s: float, spans: list[tuple[float, float]]) -> None:
        self._first_s = first_s
        self._spans = spans
        self._read = b""
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None

    # `typing.override` came with Python 3.12.
    # pyrefly: ignore[missing-override-decorator]
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    # pyrefly: ignore[missing-override-decorator]
    def data_received(self, data: bytes) -> None:
        """Answer a request once it is whole."""
        came = time.monotonic()
        self._read += data
        head, _, body = self._read.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if b"\r\n\r\n" not in self._read or len(body) < int(length or 0):
            return
        self._read = b""
        if head.startswith(b"GET /info"):
            self._send_json(_INFO)
        elif head.startswith(b"GET /spans"):
            self._send_json(self._spans)
            self._spans.clear()
        else:
            self._answering = asyncio.create_task(self._answer(came))

    def _send_json(self, value: object) -> None:
        assert self._transport is not None
        data = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n"
        self._transport.write(head.encode() + data)

    async def _answer(self, came: float) -> None:
        assert self._transport is not None
        self._transport.write(_STREAM)
        await asyncio.sleep(self._first_s)
        for event in _EVENTS:
            if event is _EVENTS[-1]:
                self._spans.append((came, time.monotonic()))
            self._transport.write(event)
            await asyncio.sleep(TOKEN_S)


async def serve(first_s: float) -> None:
    """Listen until standard input ends; the address goes to standard output."""
    spans: list[tuple[float, float]] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(first_s, spans), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) / 1000))
