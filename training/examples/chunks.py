"""Documents cut into chunks that fit a row, at places where code may be cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

_SHORTEST_BYTES = 64


class Chunk(NamedTuple):
    """Consecutive text of a document."""

    text: str
    start: int
    """In characters of the document."""
    wants_snippets: bool
    """Whether it leaves room for code of other files, and should have some."""


class Room(NamedTuple):
    """Which chunks leave room for code of other files, and how much."""

    rate: float
    num_bytes: int


NO_ROOM = Room(0.0, 0)


def chunks(text: str, sizes_bytes: Sequence[int], rng: np.random.Generator) -> Iterator[str]:
    """Yield consecutive parts of `text`; together they are the text.

    A size is drawn per chunk. The chunk ends before a line without indentation that follows a blank
    line where the last half of it has one, else at any line end, else within an overlong line.

    Args:
        text: The document, LF only.
        sizes_bytes: Sizes to draw from; a chunk never has more bytes than the one drawn.
        rng: Source of all chance.
    """
    for chunk in chunks_with_room(text, sizes_bytes, NO_ROOM, rng):
        yield chunk.text


def chunks_with_room(
    text: str, sizes_bytes: Sequence[int], room: Room, rng: np.random.Generator
) -> Iterator[Chunk]:
    """Yield consecutive chunks as `chunks` does, some of them shorter.

    Args:
        text: The document, LF only.
        sizes_bytes: Sizes to draw from; of the largest, `room` is kept free where it is wanted.
        room: For code of other files.
        rng: Source of all chance.
    """
    rest = text
    start = 0
    while rest:
        wants_snippets = room.rate > 0 and rng.random() < room.rate
        limit_bytes = int(sizes_bytes[int(rng.integers(0, len(sizes_bytes)))])
        if wants_snippets:
            limit_bytes = min(limit_bytes, max(_SHORTEST_BYTES, max(sizes_bytes) - room.num_bytes))
        cut = _cut(rest, limit_bytes)
        yield Chunk(rest[:cut], start, wants_snippets)
        rest = rest[cut:]
        start += cut


def halfway(text: str) -> int:
    """Return where to cut a text of two characters or more in two: at a line end, if it has one."""
    middle = len(text) // 2
    newline = text.rfind("\n", 0, middle)
    return newline + 1 if newline > 0 else middle


def _cut(text: str, limit_bytes: int) -> int:
    """Return the length in characters of the first chunk."""
    head = text[:limit_bytes]
    data = head.encode()
    if len(data) > limit_bytes:
        head = data[:limit_bytes].decode(errors="ignore")
    if len(head) == len(text):
        return len(text)
    at = len(head)
    while (at := head.rfind("\n\n", len(head) // 2, at)) >= 0:
        if at + 2 < len(text) and not text[at + 2].isspace():
            return at + 2
    newline = head.rfind("\n")
    return newline + 1 if newline > 0 else len(head)
