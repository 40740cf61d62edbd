"""The spool: where editor sessions leave their events, and how a reader tells a live writer.

A session writes segments `<session_id>-<number>.jsonl.open`. It holds the lock of a segment from
before the file gets this name until after it is renamed to `.jsonl`; then the segment is closed and
never changes again. So an open segment whose lock is free belongs to a process that died.

`seq` starts at 0 in every session, and each event, recorded or dropped, takes the next one.
"""

from __future__ import annotations

CLOSED_SUFFIX = ".jsonl"
OPEN_SUFFIX = ".jsonl.open"


def segment_name(session_id: str, number: int) -> str:
    """Return the name of a session's segment while it is written."""
    return f"{session_id}-{number}{OPEN_SUFFIX}"


def closed_name(name: str) -> str:
    """Return the name that a segment has once it is closed."""
    return name.removesuffix(".open")
