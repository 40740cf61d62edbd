"""Archives that tests plant, by their parts."""

from __future__ import annotations

import tarfile
import zipfile
from typing import TYPE_CHECKING

from training.corpus.archives import Member, read_members
from training.corpus.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits()


def members_of(archive: Path, limits: Limits = LIMITS) -> list[Member]:
    return list(read_members(archive, limits, lambda _: None))


def outcomes(archive: Path, limits: Limits = LIMITS) -> list[tuple[str, str | None]]:
    return [(member.path, member.reason) for member in members_of(archive, limits)]


def header(name: str, size_bytes: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size_bytes, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def zip_with(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path
