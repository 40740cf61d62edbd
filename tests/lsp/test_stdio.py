"""Standard input and output: pipes that are slow, full or gone, and bytes that come in pieces."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import socket
from typing import TYPE_CHECKING

import pytest

from lsp_server.features import make_server
from lsp_server.reading import LONGEST_HEADER_BYTES, Frames, Reading
from lsp_server.stdio import Writer, read_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def framed(*bodies: bytes) -> bytes:
    return b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies)


def bodies_of(frames: Frames, data: bytes) -> list[bytes]:
    frames.add(data)
    return list(iter(frames.next, None))


@pytest.fixture(params=["pipe", "socket"])
def pipe(request: pytest.FixtureRequest) -> Iterator[list[int]]:
    """Return both ends, the one to read first; a test that closes one takes it out.

    VS Code's pipes are sockets.
    """
    is_socket = request.param == "socket"
    ends = [end.detach() for end in socket.socketpair()] if is_socket else list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def test_messages_are_the_same_however_the_bytes_come() -> None:
    chance = random.Random(5)
    bodies = [chance.randbytes(chance.randint(1, 300)) for _ in range(200)]
    stream = framed(*bodies)
    for longest in (1, 7, 100, 5000):
        frames, found, at = Frames(), [], 0
        while at < len(stream):
            end = at + chance.randint(1, longest)
            found += bodies_of(frames, stream[at:end])
            at = end
        assert found == bodies


def test_other_headers_and_what_is_no_header_are_passed_over() -> None:
    data = b"nonsense\r\n\r\nContent-Type: x\r\nContent-Length: 2\r\nX: y\r\n\r\n{}"
    assert bodies_of(Frames(), data + framed(b"[]")) == [b"{}", b"[]"]


def test_a_header_without_an_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="no end"):
        bodies_of(Frames(), b"x" * (LONGEST_HEADER_BYTES + 1))


def test_a_pipe_that_nobody_reads_keeps_no_writer_and_loses_nothing(pipe: list[int]) -> None:
    reading, writing = pipe
    writer = Writer(writing)
    pieces = [bytes([65 + number % 26]) * (number * 37 % 9000 + 1) for number in range(300)]
    for piece in pieces:  # far more than a pipe holds: this would never end if one of them waited
        writer.write(piece)
    found = bytearray()
    while len(found) < sum(map(len, pieces)):
        found += os.read(reading, 1 << 16)
        writer.write(b"")
    writer.write(b"the last")
    writer.close()
    assert bytes(found) == b"".join(pieces)
    assert os.read(reading, 100) == b"the last"


def test_a_reader_that_is_gone_is_no_error(pipe: list[int]) -> None:
    writer = Writer(pipe[1])
    os.close(pipe.pop(0))
    writer.write(b"nobody")
    writer.write(b"hears")
    writer.close()


def test_a_writer_that_is_closed_writes_nothing_more(pipe: list[int]) -> None:
    reading, writing = pipe
    writer = Writer(writing)
    writer.write(b"before")
    writer.close()
    writer.write(b"after")  # into a full pipe, which blocks again, this would never end
    os.close(pipe.pop())
    assert os.read(reading, 100) == b"before"
    assert os.read(reading, 100) == b""


async def test_requests_that_come_to_nothing_are_answered_and_leave_nothing(
    pipe: list[int],
) -> None:
    method = "textDocument/inlineCompletion"
    place = {"line": 0, "character": 0}
    params = {
        "textDocument": {"uri": "file:///a.py"}, "position": place, "context": {"triggerKind": 2}
    }  # fmt: skip
    messages = (
        {"id": 1, "method": method, "params": params},
        {"method": "$/cancelRequest", "params": {"id": 1}},  # before anything was done for it
        {"id": "two", "method": method, "params": {"textDocument": 5}},
        {"id": 3, "method": method},
        {"method": method},
    )
    server = make_server()
    server.protocol.set_writer(writer := Writer(pipe[1]), include_headers=False)
    Reading(server).take(
        framed(*(json.dumps({"jsonrpc": "2.0", **each}).encode() for each in messages))
    )
    assert len(server.protocol._request_futures) == 0
    await asyncio.sleep(0.01)
    gc.collect()  # says what nobody waited for
    writer.close()
    said = os.read(pipe[0], 1 << 16).decode().replace("}{", "}\n{").splitlines()
    codes = {answer["id"]: answer["error"]["code"] for answer in map(json.loads, said)}
    assert codes == {1: -32800, "two": -32602, 3: -32602}
    assert not server.protocol._request_futures


async def test_a_request_that_a_change_follows_at_once_gets_nothing(
    pipe: list[int], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    document, place = {"uri": "file:///a.py", "version": 1}, {"line": 0, "character": 0}
    asked = {"textDocument": document, "position": place, "context": {"triggerKind": 2}}
    opened = {**document, "languageId": "python", "text": "x = 1\n"}
    change = {"range": {"start": place, "end": place}, "text": "y"}
    messages = (
        {"id": 1, "method": "initialize", "params": {"capabilities": {}}},
        {"method": "textDocument/didOpen", "params": {"textDocument": opened}},
        {"id": 2, "method": "textDocument/inlineCompletion", "params": asked},
        {"method": "textDocument/didChange",
         "params": {"textDocument": document, "contentChanges": [change]}},
    )  # fmt: skip
    server = make_server()
    server.protocol.set_writer(writer := Writer(pipe[1]), include_headers=False)
    Reading(server).take(
        framed(*(json.dumps({"jsonrpc": "2.0", **each}).encode() for each in messages))
    )
    await asyncio.sleep(0.01)
    said = os.read(pipe[0], 1 << 16).decode()  # before the end, which answers whoever waits
    await server.end()
    writer.close()
    assert '"id": 2, "jsonrpc": "2.0", "result": null}' in said


@pytest.mark.parametrize("is_file", [False, True])
async def test_everything_is_read_and_then_the_end(
    pipe: list[int], tmp_path: Path, *, is_file: bool
) -> None:
    data = random.Random(3).randbytes(300_000)
    (tmp_path / "input").write_bytes(data)
    found: list[bytes] = []
    ended = asyncio.Event()

    def take(piece: bytes) -> None:
        found.append(piece)
        if not piece:
            ended.set()

    with (tmp_path / "input").open("rb") as file:
        read_from(file.fileno() if is_file else pipe[0], take)
        if not is_file:
            await asyncio.to_thread(_write_all, pipe.pop(), data)
        await asyncio.wait_for(ended.wait(), 30)
    assert b"".join(found) == data


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
    os.close(descriptor)
