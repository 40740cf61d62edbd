"""A place in a file, and the region that it is in."""

from __future__ import annotations

from typing import NamedTuple

REGION_LINES = 64
"""The selection for a place serves the places around it, see `region`."""


class Edited(NamedTuple):
    """Lines of a file that were edited lately."""

    path: str
    """Path of the file within its project, with slashes."""
    start_line: int
    """From 0."""
    end_line: int
    """The line behind the last one."""


class Around(NamedTuple):
    """A place in a file."""

    path: str
    """Path of the file within its project, with slashes."""
    prefix: str
    """Text before the place, from the file's first character, LF only."""
    suffix: str
    """Text behind the place, LF only."""
    language: str
    """Our name of the file's language; empty where we know none."""
    edited: tuple[Edited, ...] = ()
    """What was edited lately in other files, the latest last."""


def region(line: int) -> int:
    """Return the region of a line: while the cursor stays in one, callers keep their selection.

    A prompt whose snippets change has no use for the keys and values that the engine has cached.
    """
    return line // REGION_LINES
