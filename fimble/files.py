"""Files that appear whole: written aside, then renamed, so that no reader sees half of one."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that the file has either its old content or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write `value` to `path` as indented JSON with a last line end, whole."""
    write_whole(path, f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode())


def check_unused(folder: Path) -> None:
    """Make sure that a folder may be filled: it is new or empty.

    Raises:
        InputError: Something is in it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} holds something else; name a new or an empty folder")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
