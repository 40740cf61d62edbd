"""The source files of a workspace folder that may go into prompts."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fimble.languages import by_path
from fimble.snippets.project import MAX_FILE_BYTES
from lsp_server.context.ignore import IGNORE_FILES, is_ignored, rules_in
from lsp_server.context.secret_files import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lsp_server.context.ignore import Rule

_NOT_WRITTEN_HERE = frozenset(
    {"node_modules", "site-packages", "__pycache__", "third_party", "vendor", "target", "dist"}
)
MAX_ENTRIES = 200_000
"""Files and folders that one walk looks at: a workspace may be a whole disk."""


class Found(NamedTuple):
    """A source file."""

    path: str
    """From the workspace folder, with slashes."""
    place: Path
    language: str
    stamp: tuple[int, int]
    """Time of its last change in nanoseconds, and its size: others mean another text."""


def source_files(root: Path, max_files: int) -> Iterator[Found | None]:
    """Yield the source files below a folder, those near it first; None stands for a folder read.

    Links are not followed; hidden folders, those of packages that others wrote, what the project's
    ignore files name, and what may hold secrets are left out.

    Args:
        root: The workspace folder.
        max_files: No more than these.
    """
    waiting: deque[tuple[str, tuple[Rule, ...]]] = deque([("", ())])
    num_files = num_entries = 0
    while waiting and num_entries < MAX_ENTRIES:
        folder, rules = waiting.popleft()
        rules = (*rules, *_rules_of(root, folder))
        yield None
        for entry in _entries(root / folder):
            num_entries += 1
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not _is_plain(path) or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                if _is_entered(entry.name) and not is_ignored(path, rules, is_folder=True):
                    waiting.append((path, rules))
            elif (found := _found(entry, path, rules)) is not None:
                yield found
                num_files += 1
                if num_files >= max_files:
                    return


def is_left_out(root: Path, path: str) -> bool:
    """Return whether a walk would leave out a file below a folder, for its name or for a rule."""
    rules: tuple[Rule, ...] = ()
    *folders, _ = path.split("/")
    for depth, name in enumerate(folders):
        folder = "/".join(folders[:depth])
        rules = (*rules, *_rules_of(root, folder))
        below = "/".join(folders[: depth + 1])
        if not _is_entered(name) or is_ignored(below, rules, is_folder=True):
            return True
    rules = (*rules, *_rules_of(root, "/".join(folders)))
    return is_secret(path) or is_ignored(path, rules, is_folder=False)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # gone, or not ours to read
        return []


def _is_plain(path: str) -> bool:
    """Return whether a path can stand in a prompt: on one line, and in UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\n" not in path


def _is_entered(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_WRITTEN_HERE


def _found(entry: os.DirEntry[str], path: str, rules: tuple[Rule, ...]) -> Found | None:
    language = by_path(entry.name)
    if language is None or is_secret(path) or is_ignored(path, rules, is_folder=False):
        return None
    try:
        stat = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    if not 0 < stat.st_size <= MAX_FILE_BYTES or not entry.is_file(follow_symlinks=False):
        return None
    return Found(path, Path(entry.path), language.name, (stat.st_mtime_ns, stat.st_size))


def _rules_of(root: Path, folder: str) -> Iterator[Rule]:
    for name in IGNORE_FILES:
        try:
            text = (root / folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        yield from rules_in(text, folder)
