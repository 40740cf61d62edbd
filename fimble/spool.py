"""The spool: where editor sessions leave their events, and how a reader tells a live writer.

A session writes segments `<session_id>-<number>.jsonl.open`. It holds the lock of a segment from
before the file gets this name until after it is renamed to `.jsonl`; then the segment is closed and
never changes again. So an open segment whose lock is free belongs to a process that died.

`seq` starts at 0 in every session, and each event, recorded or dropped, takes the next one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fimble.locks import try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

CLOSED_SUFFIX = ".jsonl"
OPEN_SUFFIX = ".jsonl.open"


def segment_name(session_id: str, number: int) -> str:
    """Return the name of a session's segment while it is written."""
    return f"{session_id}-{number}{OPEN_SUFFIX}"


def closed_name(name: str) -> str:
    """Return the name that a segment has once it is closed."""
    return name.removesuffix(".open")


def session_of(name: str) -> str:
    """Return the session that a segment of this name belongs to."""
    return name.rpartition("-")[0]


def closed_segments(spool: Path) -> list[Path]:
    """Return the segments that nobody writes any more, those of a session as it wrote them.

    So who reads or sends them in this order never tells how a request ended before what it was.
    """
    return without_gaps(lambda: spool.glob(f"*{CLOSED_SUFFIX}"))


def all_segments(spool: Path) -> list[Path]:
    """Return all segments, open or closed, likewise; one that closes meanwhile may come twice."""
    suffixes = (OPEN_SUFFIX, CLOSED_SUFFIX)
    return without_gaps(lambda: (path for s in suffixes for path in spool.glob(f"*{s}")))


def without_gaps(listing: Callable[[], Iterable[Path]]) -> list[Path]:
    """Return what is listed, in order, and no segment without those that came before it.

    A folder is listed in pieces: of two files that come meanwhile, the second may be seen and the
    first may not. What came before a file that was seen is there, so a second look finds it.
    """
    seen = set(listing())
    last: dict[str, int] = {}
    for path in seen:
        session, number, _ = _place_of(path)
        last[session] = max(number, last.get(session, number))
    for path in listing():
        session, number, _ = _place_of(path)
        if session in last and number <= last[session]:
            seen.add(path)
    return sorted(seen, key=_place_of)


def _place_of(path: Path) -> tuple[str, int, str]:
    """Return what orders a segment: 10 comes after 9."""
    session, _, number = closed_name(path.name).removesuffix(CLOSED_SUFFIX).rpartition("-")
    return session, int(number) if number.isdecimal() else -1, path.name


def adopt_orphans(spool: Path) -> int:
    """Close the segments whose writers died, and return how many.

    One whose writer died before its first line is removed: nothing is in it.
    """
    return sum(_adopt(path) for path in sorted(spool.glob(f"*{OPEN_SUFFIX}")))


def _adopt(path: Path) -> bool:
    """Rename an open segment if its lock is free, and say whether it was renamed."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:  # closed by its writer just now, or not ours
        return False
    try:
        if not try_lock(descriptor) or not _is_at(path, descriptor):
            return False
        if not os.fstat(descriptor).st_size:
            path.unlink()
            return False
        path.rename(path.with_name(closed_name(path.name)))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether the file we locked still has this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
