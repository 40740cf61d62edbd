"""Which segments were taken, and from whom: a journal that outlives the process.

Who sends the first segment of a session is its sender, and who sends the first session of a user is
that user's: nobody else's segments are taken for either.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from fimble.files import write_whole
from fimble.spool import session_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECEIPTS = "receipts.jsonl"
"""In the data folder, and in object storage."""


class Receipt(NamedTuple):
    """A segment that was taken."""

    sha256: str
    size_bytes: int
    sender: str = ""
    """Name of the token that it came with; empty for tokens without a name."""
    user_digest: str = ""
    """SHA-256 of the user that it names; empty where it names none."""


class Receipts:
    """The receipts of a collector; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Read the journal; a line that a kill has torn is left out.

        Raises:
            OSError: It cannot be read or written.
        """
        self._path = path
        self._found: dict[str, Receipt] = {}
        self._senders: dict[str, str] = {}
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            self._read(path.read_bytes())
        self._descriptor = self._open()
        if os.fstat(self._descriptor).st_size and not path.read_bytes().endswith(b"\n"):
            os.write(self._descriptor, b"\n")

    def __len__(self) -> int:
        return len(self._found)

    def get(self, name: str) -> Receipt | None:
        """Return the receipt of a segment, or None."""
        return self._found.get(name)

    def sender_of(self, name: str) -> str | None:
        """Return who sends for a session, or for a user by its digest; None where nobody has."""
        return self._senders.get(name)

    def add(self, name: str, receipt: Receipt) -> None:
        """Note that a segment was taken; it is on the disk when this returns."""
        os.write(self._descriptor, json.dumps([name, *receipt]).encode() + b"\n")
        os.fsync(self._descriptor)
        self._note(name, receipt)

    def drop(self, is_gone: Callable[[str], bool]) -> None:
        """Forget the receipts of segments for whose names `is_gone` holds."""
        kept = {name: each for name, each in self._found.items() if not is_gone(name)}
        self._found.clear()
        self._senders.clear()
        for name, receipt in kept.items():
            self._note(name, receipt)
        lines = (json.dumps([name, *receipt]) for name, receipt in self._found.items())
        os.close(self._descriptor)
        write_whole(self._path, "".join(f"{line}\n" for line in lines).encode())
        self._descriptor = self._open()

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)

    def _note(self, name: str, receipt: Receipt) -> None:
        self._found[name] = receipt
        for whose in (session_of(name), receipt.user_digest):
            if whose:
                self._senders.setdefault(whose, receipt.sender)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _read(self, data: bytes) -> None:
        for line in data.splitlines():
            with contextlib.suppress(ValueError, TypeError):
                name, sha256, size_bytes, *whose = json.loads(line)
                self._note(str(name), Receipt(str(sha256), int(size_bytes), *map(str, whose)))
