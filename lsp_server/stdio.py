"""Standard input and output as the transport; the event loop never waits for either.

Where the system can say when a pipe is ready, as POSIX can, the loop itself reads and writes: a
thread would have to be woken, and has to wait for the interpreter. Elsewhere, and for files, two
threads do it.

Standard output belongs to the protocol alone. It is moved to a descriptor of its own, and whatever
a library prints goes to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import select
import stat
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_BYTES = 1 << 16
CLOSE_TIMEOUT_S = 2.0


def claim_stdout() -> int:
    """Return a descriptor of standard output that only the caller knows."""
    sys.stdout.flush()
    ours = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr
    return ours


def read_from(descriptor: int, take: Callable[[bytes], None]) -> None:
    """Have the running loop call `take` with what comes from `descriptor`; nothing ends it."""
    loop = asyncio.get_running_loop()

    def read_some() -> None:
        try:
            data = os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:  # somebody else has read it
            return
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(descriptor)
        take(data)

    def read_all() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed first
            with contextlib.suppress(OSError):
                while data := os.read(descriptor, CHUNK_BYTES):
                    loop.call_soon_threadsafe(take, data)
            loop.call_soon_threadsafe(take, b"")

    # Windows has no such readers, Linux none of files, and macOS never says that a file has ended.
    with contextlib.suppress(NotImplementedError, OSError):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            loop.add_reader(descriptor, read_some)
            return
    threading.Thread(target=read_all, name="stdin", daemon=True).start()


class Writer:
    """Writes messages in their order; has the shape of pygls's writers.

    What a pipe does not take at once is for a thread.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_direct = _is_pipe(descriptor)
        if self._is_direct:
            os.set_blocking(descriptor, False)
        self._num_queued = 0
        self._num_written = 0
        """Of those, by the thread; each of the two numbers has one writer."""
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="stdout", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Send `data`; never waits."""
        if self._is_direct and self._num_queued == self._num_written:
            data = data[self._written_at_once(data) :]
        if data:
            self._num_queued += 1
            self._waiting.put(data)

    def close(self) -> None:
        """Write what waits, and end; what is written after that goes nowhere."""
        self._waiting.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._is_direct:
            self._is_direct = False  # from now on a full pipe would hold the loop
            os.set_blocking(self._descriptor, True)

    def _written_at_once(self, data: bytes) -> int:
        """Return how many bytes the pipe took."""
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0
        except OSError:  # an editor that went away is noticed at standard input
            return len(data)

    def _write_all(self) -> None:
        while (data := self._waiting.get()) is not None:
            rest = memoryview(data)
            with contextlib.suppress(OSError):
                while rest:
                    rest = rest[self._write_some(rest) :]
            self._num_written += 1

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            ready = select.poll()
            ready.register(self._descriptor, select.POLLOUT)
            ready.poll()
            return 0


def _is_pipe(descriptor: int) -> bool:
    """Return whether nobody minds that writing to a descriptor never blocks from now on."""
    if os.name == "nt":
        return False
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
