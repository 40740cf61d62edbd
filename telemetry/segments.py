"""Reading the spool: which segments there are, who still writes them, what is in them."""

from __future__ import annotations

import contextlib
import errno
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fimble.spool import all_segments, closed_name
from telemetry.schema import Flaw, Record, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_SEGMENT_BYTES = 64 << 20
"""Sessions close a segment at a megabyte; a larger file was not written by one."""


@dataclass(slots=True, kw_only=True)
class Content:
    """What one segment holds."""

    size_bytes: int
    records: list[Record] = field(default_factory=list)
    aside: list[bytes] = field(default_factory=list)
    """Lines that are no events, as they are."""
    flaws: Counter[Flaw] = field(default_factory=Counter)


def read_segment(path: Path) -> Content:
    """Return what a closed segment holds.

    Raises:
        OSError: It cannot be read, or is larger than any that a session writes.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MAX_SEGMENT_BYTES:
        reason = f"{size_bytes} bytes; no session writes more than {MAX_SEGMENT_BYTES}"
        raise OSError(errno.EFBIG, reason, path)
    data = path.read_bytes()
    content = Content(size_bytes=len(data))
    for line, is_last in lines_of(data):
        parsed = parse(line, is_last=is_last)
        if isinstance(parsed, Flaw):
            content.flaws[parsed] += 1
            content.aside.append(line)
        else:
            content.records.append(parsed)
    return content


def read_all_now(spool: Path) -> dict[str, list[Record]]:
    """Return the events in every segment, closed or not, by the name it has when closed.

    A line that is being written is left out, and what cannot be read. A segment that disappears
    meanwhile was merged; who reads the manifest after this call finds its events there.
    """
    found: dict[str, list[Record]] = {}
    for path in all_segments(spool):
        name = closed_name(path.name)
        for candidate in (path, path.with_name(name)):  # it may be closed just now
            with contextlib.suppress(OSError):
                found[name] = read_segment(candidate).records
                break
    return found


def lines_of(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield each line with its line end, and whether it is the last."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end], end == len(data)
        start = end
