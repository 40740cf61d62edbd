"""Standard input and output as the transport: two threads, so that the event loop waits for none.

Standard output belongs to the protocol alone. It is moved to a descriptor of its own, and whatever
a library prints goes to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sys
import threading

CHUNK_BYTES = 1 << 16
LONGEST_HEADER_BYTES = 1 << 20
CLOSE_TIMEOUT_S = 2.0


def claim_stdout() -> int:
    """Return a descriptor of standard output that only the caller knows."""
    sys.stdout.flush()
    ours = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr
    return ours


def read_from(descriptor: int) -> asyncio.StreamReader:
    """Return a stream of what a thread reads from `descriptor`, until its end."""
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader(limit=LONGEST_HEADER_BYTES)

    def read_all() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed first
            with contextlib.suppress(OSError):
                while chunk := os.read(descriptor, CHUNK_BYTES):
                    loop.call_soon_threadsafe(stream.feed_data, chunk)
            loop.call_soon_threadsafe(stream.feed_eof)

    threading.Thread(target=read_all, name="stdin", daemon=True).start()
    return stream


class WriterThread:
    """Writes messages in their order; has the shape of pygls's writers."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="stdout", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Send `data`; never waits."""
        self._waiting.put(data)

    def close(self) -> None:
        """Write what waits, and end."""
        self._waiting.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _write_all(self) -> None:
        # An editor that went away is noticed at standard input.
        with contextlib.suppress(OSError):
            while (data := self._waiting.get()) is not None:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
