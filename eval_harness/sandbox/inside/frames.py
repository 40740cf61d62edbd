"""How harness and worker talk: a length, JSON, and the bytes that JSON cannot hold."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LENGTHS = struct.Struct(">IQ")


class Frame(NamedTuple):
    """One message."""

    meta: dict[str, Any]
    blobs: list[bytes]


class EndOfStreamError(Exception):
    """The other side is gone."""


def pack(meta: Mapping[str, object], blobs: Sequence[bytes] = ()) -> bytes:
    """Return a message as bytes."""
    text = json.dumps({**meta, "sizes": [len(blob) for blob in blobs]}).encode()
    head = _LENGTHS.pack(len(text), sum(map(len, blobs)))
    return b"".join((head, text, *blobs))


def read(read_exactly: Callable[[int], bytes]) -> Frame:
    """Read one message.

    Raises:
        EndOfStreamError: There is none, or it breaks off.
    """
    text_bytes, blob_bytes = _LENGTHS.unpack(read_exactly(_LENGTHS.size))
    meta = json.loads(read_exactly(text_bytes).decode())
    joined = read_exactly(blob_bytes) if blob_bytes else b""
    blobs: list[bytes] = []
    start = 0
    for size in meta.pop("sizes"):
        blobs.append(joined[start : start + size])
        start += size
    return Frame(meta, blobs)


def read_fd(fd: int) -> Frame:
    """Read one message from a file descriptor, and nothing beyond it.

    Raises:
        EndOfStreamError: There is none, or it breaks off.
    """
    return read(lambda size: _read_exactly(fd, size))


def write_fd(fd: int, data: bytes) -> None:
    """Write all of it.

    Raises:
        BrokenPipeError: Nobody reads any more.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_exactly(fd: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EndOfStreamError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
