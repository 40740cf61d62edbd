"""How a running engine tells other processes of the same user where it is.

An announcement is a small file that only its user can read. Next to it lies a lock that the engine
holds while it runs: an announcement without a locked lock is of an engine that is gone, whatever
its process id has become since.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fimble.config import from_table
from fimble.errors import ConfigError
from lsp_server.engines.file_lock import is_locked

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """Where an engine is."""

    url: str
    token: str
    """Bearer token that it wants."""
    model_digest: str
    pid: int


def lock_path(announce: Path) -> Path:
    """Return the lock that the engine of an announcement holds while it runs."""
    return announce.with_name(f"{announce.name}.running")


def write_announcement(path: Path, announcement: Announcement) -> None:
    """Write an announcement, whole, readable by its user only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(announcement), file)
    aside.replace(path)


def running_engine(path: Path) -> Announcement | None:
    """Return the announcement of an engine that runs, or None."""
    # The lock comes first: whoever starts an engine removes the announcement of the one before it,
    # so what is read under a held lock is of the holder.
    if not is_locked(lock_path(path)):
        return None
    try:
        return from_table(Announcement, json.loads(path.read_bytes()), where=str(path))
    except (OSError, ValueError, ConfigError):
        return None
