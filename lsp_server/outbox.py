"""Events on their way to the spool: a queue, and a thread that appends whole lines.

The session never waits for the disk: where the queue is full or the disk refuses, events are
dropped and counted. A segment is written as `fimble.spool` says, and holds whole lines only; what
a killed process loses is what was still in the queue.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fimble.content import Content
from fimble.events import Envelope, Event, SessionEnded, to_record
from fimble.locks import try_lock
from fimble.spool import closed_name, segment_name

if TYPE_CHECKING:
    from pathlib import Path

    from fimble.clock import Clock

SEGMENT_BYTES = 1_000_000
SEGMENT_S = 600.0
"""A segment is closed after so long, so that the merger gets it while the session lasts."""
GATHER_S = 0.025
"""The thread lets events gather for so long; a kill loses no more."""
AWAKE_S = 2.0
"""For so long after an event the thread looks by itself whether there are more: to wake it would
cost the session as much as all the rest of an event."""
QUEUE_EVENTS = 10_000
CLOSE_TIMEOUT_S = 2.0
Recorded = Event | Content
Later = Callable[[], Recorded]
"""Makes an event where that takes longer than a session may wait."""
Encode = Callable[[Any, Envelope], "dict[str, object] | None"]
_RENAMES_OPEN_FILES = os.name != "nt"


_Waiting = tuple[Recorded | Later, int, int, float]
"""An event that the disk does not have yet, its `seq`, `ts_wall_ms` and `ts_mono_ms`."""


class Outbox:
    """The events of one session."""

    def __init__(
        self,
        folder: Path | None,
        *,
        session_id: str,
        clock: Clock,
        segment_bytes: int = SEGMENT_BYTES,
        queue_events: int = QUEUE_EVENTS,
        encode: Encode = to_record,
    ) -> None:
        """Start a session's events; nothing is created before the first one.

        Args:
            folder: The spool; None records nothing at all.
            session_id: Name of the session in its events and segments.
            clock: Gives the times of the events.
            segment_bytes: A segment is closed when the next line would exceed this.
            queue_events: More events than this wait for the disk never: they are dropped.
            encode: Makes the object of a line, or None for an event that is not to be written.
        """
        self._session_id = session_id
        self._wall_ms, self._monotonic_ms = clock.wall_ms, clock.monotonic_ms
        self._seq = 0
        self._num_refused = 0
        self._is_open = folder is not None
        self._is_ending = False
        self._encode = encode
        self._max_waiting = queue_events
        self._waiting: deque[_Waiting] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_asleep = False
        self._segments = _Segments(folder, session_id, segment_bytes, clock) if folder else None
        self._thread: threading.Thread | None = None

    @property
    def num_dropped(self) -> int:
        """Events that were not recorded."""
        return self._num_refused + (self._segments.num_dropped if self._segments else 0)

    @property
    def num_written(self) -> int:
        """Events that the disk has."""
        return self._segments.num_written if self._segments else 0

    def put(self, event: Recorded | Later) -> None:
        """Record an event; never waits.

        Args:
            event: The event, or what makes it: the writer's thread calls that.
        """
        # Between two keys the caches go cold: here every call of a Python function, a named tuple's
        # among them, costs 3 to 10 µs. So there are as few as can be.
        if not self._is_open:
            return
        if self._thread is None:
            self._start()
        seq = self._seq
        self._seq = seq + 1
        if len(self._waiting) >= self._max_waiting:
            self._num_refused += 1
            return
        self._waiting.append((event, seq, self._wall_ms(), self._monotonic_ms()))
        if self._is_asleep:
            self._is_asleep = False
            self._bell.put(None)

    def close(self) -> None:
        """Write what waits, record the end of the session, and close its segment."""
        self._is_open = False
        if self._thread is None:
            return
        self._waiting.append((self._end, self._seq, self._wall_ms(), self._monotonic_ms()))
        self._is_ending = True
        self._bell.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _end(self) -> SessionEnded:
        return SessionEnded(num_events_dropped=self.num_dropped)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._write_all, name="outbox", daemon=True)
        self._thread.start()

    def _write_all(self) -> None:
        """Write events as they come; the thread's body."""
        assert self._segments is not None
        while self._waiting or not self._is_ending:
            while self._waiting:
                record = self._record(self._waiting.popleft())
                if record is not None:
                    self._segments.append(json.dumps(record, separators=(",", ":")).encode())
            if not self._is_ending:
                self._wait()
        self._segments.close()

    def _wait(self) -> None:
        """Wait for what comes next: look again and again at first, then until somebody rings."""
        assert self._segments is not None
        for _ in range(round(AWAKE_S / GATHER_S)):
            if self._is_rung(GATHER_S) or self._waiting:
                return
        self._is_asleep = True
        # An event that came before we said so did not ring; who ends the session always does.
        if not self._waiting and not self._is_rung(SEGMENT_S):
            self._segments.close()  # what was recorded need not wait for the next event
        self._is_asleep = False

    def _is_rung(self, limit_s: float) -> bool:
        """Wait until somebody rings, and say whether anybody did before the limit."""
        try:
            self._bell.get(timeout=limit_s)
        except queue.Empty:
            return False
        return True

    def _record(self, waiting: _Waiting) -> dict[str, object] | None:
        """Return what the disk gets; all that costs more than a look at the clock is done here."""
        event, seq, wall_ms, mono_ms = waiting
        envelope = Envelope(
            session_id=self._session_id, seq=seq, ts_wall_ms=wall_ms, ts_mono_ms=mono_ms
        )
        return self._encode(event() if callable(event) else event, envelope)


class _Segments:
    """The segment files of one session; used by the writer thread only."""

    def __init__(self, folder: Path, session_id: str, max_bytes: int, clock: Clock) -> None:
        self.num_dropped = 0
        self.num_written = 0
        self._clock = clock
        self._opened_ms = 0.0
        self._folder = folder
        self._session_id = session_id
        self._max_bytes = max_bytes
        self._number = 0
        self._descriptor: int | None = None
        self._size_bytes = 0

    def append(self, text: bytes) -> None:
        """Append a whole line, or count it as dropped."""
        line = text + b"\n"
        try:
            if self._descriptor is not None and self._is_over(len(line)):
                self.close()
            if self._descriptor is None:
                self._descriptor = self._open()
                self._opened_ms = self._clock.monotonic_ms()
            self._write(self._descriptor, line)
            self.num_written += 1
        except OSError:
            self.num_dropped += 1

    def _is_over(self, num_bytes: int) -> bool:
        age_ms = self._clock.monotonic_ms() - self._opened_ms
        return self._size_bytes + num_bytes > self._max_bytes or age_ms > SEGMENT_S * 1000

    def close(self) -> None:
        """Close the segment that is being written, if there is one; remove it if it is empty."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        path, is_empty = self._path(), not self._size_bytes
        self._number += 1
        self._size_bytes = 0
        with contextlib.suppress(OSError):  # the spool may have been deleted under us
            if _RENAMES_OPEN_FILES:
                _put_away(path, is_empty=is_empty)
            os.close(descriptor)
            if not _RENAMES_OPEN_FILES:
                _put_away(path, is_empty=is_empty)

    def _path(self) -> Path:
        return self._folder / segment_name(self._session_id, self._number)

    def _open(self) -> int:
        """Return the descriptor of a new segment, locked before it has its name."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path()
        first = path.with_name(f".{path.name}.part") if _RENAMES_OPEN_FILES else path
        descriptor = os.open(first, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if not try_lock(descriptor):
                raise BlockingIOError(f"cannot lock {first}")
            if first != path:
                first.rename(path)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _write(self, descriptor: int, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(descriptor, line[written:])
        except OSError:
            if written:
                os.ftruncate(descriptor, self._size_bytes)  # no half lines, even on a full disk
            raise
        self._size_bytes += len(line)


def _put_away(path: Path, *, is_empty: bool) -> None:
    """Give a segment its closed name; one that the disk took no line of is removed."""
    if is_empty:
        path.unlink()
    else:
        path.rename(path.with_name(closed_name(path.name)))
