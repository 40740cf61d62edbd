"""Documents cut into chunks that fit a row, at places where code may be cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np


def chunks(text: str, sizes_bytes: Sequence[int], rng: np.random.Generator) -> Iterator[str]:
    """Yield consecutive parts of `text`; together they are the text.

    A size is drawn per chunk. The chunk ends before a line without indentation that follows a blank
    line where the last half of it has one, else at any line end, else within an overlong line.

    Args:
        text: The document, LF only.
        sizes_bytes: Sizes to draw from; a chunk never has more bytes than the one drawn.
        rng: Source of all chance.
    """
    rest = text
    while rest:
        limit_bytes = int(sizes_bytes[int(rng.integers(0, len(sizes_bytes)))])
        cut = _cut(rest, limit_bytes)
        yield rest[:cut]
        rest = rest[cut:]


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
