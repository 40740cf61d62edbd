"""What runs are called in a report."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def short_names(folders: Sequence[str]) -> list[str]:
    """Return the ends of paths, as much of them as tells them apart."""
    parts = [PurePath(folder).parts or (folder,) for folder in folders]
    for size in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-size:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return list(folders)
