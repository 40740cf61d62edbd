"""A word that only a program whose tests came to their normal end can say.

A launcher, which is no part of the candidate's text, reads it from standard input before it loads
the candidate, keeps it where the candidate's own code has no name for it, and prints it behind the
last test. It is made anew for every run; it stands in no file, argument or environment variable.
What this cannot stop is code that searches the memory of its own process: only tests in a process
of their own can, as those of Python are.
"""

from __future__ import annotations

import secrets

_NUM_BYTES = 16


def new_nonce() -> str:
    """Return a fresh nonce, of hexadecimal digits."""
    return secrets.token_hex(_NUM_BYTES)


def as_stdin(nonce: str) -> bytes:
    """Return what a launcher reads."""
    return f"{nonce}\n".encode()


def is_said(nonce: str, stdout: bytes) -> bool:
    """Return whether a line of the output is the nonce."""
    return nonce.encode() in stdout.split(b"\n") or stdout.rstrip().endswith(nonce.encode())
