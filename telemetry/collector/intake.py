"""Taking one segment: checked, written, and only then acknowledged.

A segment is on the disk, under its name, before its receipt is; the receipt is before the answer.
So a kill at any point costs the sender one more try, and the same segment twice is taken once.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import shutil
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from fimble.spool import session_of
from fimble.upload import MAX_SEGMENT_BYTES, SEGMENT_NAME
from telemetry.collector.receipts import Receipt, Receipts
from telemetry.privacy.forget import digest_of
from telemetry.schema import Flaw, parse
from telemetry.segments import lines_of
from telemetry.warehouse import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry.collector.objects import ObjectFolder

_WINDOW_BITS = zlib.MAX_WBITS | 16
"""gzip."""


class Verdict(StrEnum):
    """What became of an upload."""

    TAKEN = "taken"
    KNOWN = "known"
    """The same segment was taken before."""
    CONFLICT = "conflict"
    """Another segment was taken under this name."""
    DAMAGED = "damaged"
    """It is not what its sender hashed, or no gzip."""
    FOREIGN = "foreign"
    """Its events belong to another session than its name says, or it holds none."""
    OF_ANOTHER = "of another sender"
    """Its session, or its user, is another sender's."""
    TOO_LARGE = "too large"
    BAD_NAME = "bad name"
    FULL = "full"
    """The disk has no room for it now."""


class Upload(NamedTuple):
    """What came in."""

    name: str
    sha256: str
    """In hexadecimal, as the sender says."""
    body: bytes
    """gzip."""
    sender: str = ""
    """Name of the token that it came with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How full the disk may get."""

    min_free_bytes: int = 256 << 20
    max_waiting_bytes: int = 1 << 30
    """Of segments that were not merged yet."""


class Intake:
    """Takes segments into a spool, one at a time."""

    def __init__(
        self, spool: Path, receipts: Receipts, room: Room, *, objects: ObjectFolder | None = None
    ) -> None:
        """Prepare the spool.

        Args:
            spool: Where segments wait for the merger.
            receipts: Which were taken.
            room: Limits of the disk.
            objects: Object storage that has a segment before its sender is told so.
        """
        self._spool = spool
        self._receipts = receipts
        self._room = room
        self._objects = objects
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)

    def has_room(self) -> bool:
        """Return whether the disk can take more."""
        if shutil.disk_usage(self._spool).free < self._room.min_free_bytes:
            return False
        waiting_bytes = 0
        for entry in os.scandir(self._spool):
            with contextlib.suppress(FileNotFoundError):  # merged just now
                waiting_bytes += entry.stat().st_size
        return waiting_bytes < self._room.max_waiting_bytes

    def take(self, upload: Upload) -> Verdict:
        """Take a segment, and say what became of it. Blocks.

        Raises:
            OSError: It cannot be written; nothing was acknowledged.
        """
        plain = _checked(upload)
        if isinstance(plain, Verdict):
            return plain
        digest = upload.sha256.lower()
        known = self._known(upload, digest)
        if known is not None:
            return known
        said = _said(session_of(upload.name), plain)
        if said is None:
            return Verdict.FOREIGN
        is_theirs = self._may(upload.sender, said.user_digest)
        refusal = self._place(upload.name, plain) if is_theirs else Verdict.OF_ANOTHER
        if refusal is not None:
            return refusal
        if self._objects is not None:
            self._objects.put(f"segments/{upload.name}", plain)
        receipt = Receipt(digest, len(plain), upload.sender, said.user_digest)
        self._receipts.add(upload.name, receipt)
        return Verdict.TAKEN

    def _known(self, upload: Upload, digest: str) -> Verdict | None:
        """Return what is said of a segment without a look into it; None where that must be."""
        if not self._may(upload.sender, session_of(upload.name)):
            return Verdict.OF_ANOTHER
        known = self._receipts.get(upload.name)
        if known is None:
            return None
        return Verdict.KNOWN if known.sha256 == digest else Verdict.CONFLICT

    def _may(self, sender: str, whose: str) -> bool:
        """Return whether a sender may write for a session, or a user by its digest."""
        return self._receipts.sender_of(whose) in {None, sender}

    def _place(self, name: str, plain: bytes) -> Verdict | None:
        """Put a segment into the spool, or say why not."""
        path = self._spool / name
        if path.exists():  # taken just before a kill, so that its receipt is missing
            return None if path.read_bytes() == plain else Verdict.CONFLICT
        if not self.has_room():
            return Verdict.FULL
        self._write(path, plain)
        return None

    def _write(self, path: Path, plain: bytes) -> None:
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as file:
            file.write(plain)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(self._spool)


def _checked(upload: Upload) -> bytes | Verdict:
    """Return the plain bytes of an upload that is what its sender says."""
    if not SEGMENT_NAME.fullmatch(upload.name):
        return Verdict.BAD_NAME
    plain = _plain(upload.body)
    if isinstance(plain, Verdict):
        return plain
    digest = hashlib.sha256(plain).hexdigest()
    said = upload.sha256.lower().encode(errors="replace")
    return plain if hmac.compare_digest(digest.encode(), said) else Verdict.DAMAGED


def _plain(body: bytes) -> bytes | Verdict:
    """Return what is in a gzip file, unless it is too much: a small one may hold gigabytes."""
    unpacker = zlib.decompressobj(_WINDOW_BITS)
    try:
        plain = unpacker.decompress(body, MAX_SEGMENT_BYTES + 1)
    except zlib.error:
        return Verdict.DAMAGED
    if len(plain) > MAX_SEGMENT_BYTES:
        return Verdict.TOO_LARGE
    return plain if unpacker.eof and not unpacker.unused_data else Verdict.DAMAGED


class _Said(NamedTuple):
    """What the events of a segment say."""

    user_digest: str


def _said(session_id: str, plain: bytes) -> _Said | None:
    """Return what a segment says; None unless it has events, all of one session and one user.

    Lines that are torn, damaged or of another release pass: the merger keeps them aside.
    """
    parsed = [parse(line, is_last=is_last) for line, is_last in lines_of(plain)]
    records = [record for record in parsed if not isinstance(record, Flaw)]
    has_events = bool(records) or Flaw.UNKNOWN in parsed
    users = {str(record["user_key"]) for record in records if record.get("user_key")}
    is_ours = all(record["session_id"] == session_id for record in records)
    if not has_events or not is_ours or len(users) > 1:
        return None
    return _Said("".join(map(digest_of, users)))
