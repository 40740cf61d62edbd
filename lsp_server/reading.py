"""JSON-RPC from a stream of bytes: cut into messages, each handled as soon as it is whole.

pygls does this in a task that is woken for every header line; here it is done where the bytes come.
What is accepted, and what happens to the rest, is as there (`pygls.io_.run_async`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import TYPE_CHECKING

from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from lsp_server.features import FimbleServer

LONGEST_HEADER_BYTES = 1 << 20
_CONTENT_LENGTH = re.compile(rb"Content-Length: (\d+)\r\n")
_log = logging.getLogger(__name__)


class Frames:
    """The bodies of messages in what was read by now."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._length_bytes = 0
        self._is_body = False

    def add(self, data: bytes) -> None:
        """Take what was read."""
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next body, or None until more was read.

        Raises:
            ValueError: A line of a header has no end.
        """
        while not self._is_body:
            end = self._buffer.find(b"\n") + 1
            if not end:
                if len(self._buffer) > LONGEST_HEADER_BYTES:
                    raise ValueError("a line of a header has no end")
                return None
            self._take_header(bytes(self._buffer[:end]))
            del self._buffer[:end]
        if len(self._buffer) < self._length_bytes:
            return None
        body = bytes(self._buffer[: self._length_bytes])
        del self._buffer[: self._length_bytes]
        self._length_bytes, self._is_body = 0, False
        return body

    def _take_header(self, line: bytes) -> None:
        if not self._length_bytes and (found := _CONTENT_LENGTH.fullmatch(line)):
            self._length_bytes = int(found.group(1))
        self._is_body = bool(self._length_bytes) and not line.strip()


class Reading:
    """What is read from an editor, until it leaves."""

    def __init__(self, server: FimbleServer) -> None:
        self._server = server
        self._frames = Frames()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The exit code: 0 if the editor said goodbye."""

    def take(self, data: bytes) -> None:
        """Handle what was read; nothing means that there is no more."""
        self._frames.add(data)
        try:
            while not self.ended.done() and (body := self._frames.next()) is not None:
                self._handle(body)
        except SystemExit as left:  # pygls leaves so at `exit`
            self._end(left.code if isinstance(left.code, int) else 1)
        except ValueError:
            _log.exception("not a message")
            self._end(1)
        if not data:
            self._end(1)

    def _handle(self, body: bytes) -> None:
        protocol = self._server.protocol
        try:
            protocol.handle_message(protocol.structure_message(json.loads(body)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next message counts
            _log.exception("Unable to handle message")
            self._server.report_server_error(error, JsonRpcException)

    def _end(self, exit_code: int) -> None:
        if not self.ended.done():
            self.ended.set_result(exit_code)
