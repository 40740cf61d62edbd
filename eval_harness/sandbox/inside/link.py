"""Messages between the examiner and the candidate: a length and bytes, over a pair of sockets."""

from __future__ import annotations

import os
import struct

_LENGTH = struct.Struct("=I")
_MAX_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 11


class LinkClosedError(Exception):
    """The other side closed its end, or sent more than anybody may."""


class Link:
    """One side's end."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""

    def send(self, *messages: bytes) -> None:
        """Send messages.

        Raises:
            LinkClosedError: Nobody reads any more.
        """
        data = b"".join([_LENGTH.pack(len(each)) + each for each in messages])
        try:
            written = os.write(self.fd, data)
            while written < len(data):
                written += os.write(self.fd, memoryview(data)[written:])
        except OSError as error:
            raise LinkClosedError(str(error)) from error

    def receive(self) -> bytes:
        """Wait for one message.

        Raises:
            LinkClosedError: There will be none.
        """
        head = self._read(_LENGTH.size)
        size = _LENGTH.unpack(head)[0]
        if size > _MAX_BYTES:
            raise LinkClosedError(f"a message of {size} bytes")
        return self._read(size)

    def _read(self, size: int) -> bytes:
        if len(self._rest) < size:
            parts = [self._rest]
            have = len(self._rest)
            while have < size:
                try:
                    part = os.read(self.fd, max(_CHUNK_BYTES, size - have))
                except OSError as error:
                    raise LinkClosedError(str(error)) from error
                if not part:
                    raise LinkClosedError("it closed its end")
                parts.append(part)
                have += len(part)
            self._rest = b"".join(parts)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
