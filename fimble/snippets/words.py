"""Words of code as numbers: what similarity is counted in."""

from __future__ import annotations

import re
from zlib import crc32

_WORD = re.compile(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]{2,}")


def words(data: bytes) -> set[int]:
    """Return the identifiers and words of three bytes or more in UTF-8 text, hashed to 32 bits.

    The hash is the same in every process, unlike Python's own.
    """
    return set(map(crc32, set(_WORD.findall(data))))


def word(name: str) -> int:
    """Return the number of one word, as `words` gives it."""
    return crc32(name.encode("utf-8", "surrogatepass"))


def encoded(text: str) -> bytes:
    """Return text as UTF-8; half a surrogate pair, which JSON can carry, stays what it is."""
    return text.encode("utf-8", "surrogatepass")
