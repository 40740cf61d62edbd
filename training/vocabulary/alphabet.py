"""The letters that stand for bytes in the files of byte-level BPE.

Source: Radford et al. 2019 (GPT-2), `encoder.py`, `bytes_to_unicode`.
"""

from __future__ import annotations


def _chars_of_bytes() -> tuple[str, ...]:
    """Return the letter of each byte: itself where it can be seen, else one from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return tuple(
        chr(byte) if byte in visible else chr(0x100 + hidden.index(byte)) for byte in range(256)
    )


CHARS_OF_BYTES = _chars_of_bytes()
"""Letter of each byte."""
BYTES_OF_CHARS = {char: byte for byte, char in enumerate(CHARS_OF_BYTES)}
"""Byte of each letter."""
