"""A user at an editor, who knows what he does: the truth that the server has to guess.

The editor holds a text of its own and reports changes as editors do: each key, several keys in one
edit after a pause, or the whole text. Every character that a completion brought carries its name,
so what is left of an accepted text can be counted instead of aligned.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from fimble.events import Trigger
from fimble.text import Position, units
from lsp_server.asking import Request
from lsp_server.documents import Range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.text import PositionEncoding
    from lsp_server.session import Session

URI = "file:///project/module.py"
BATCH_MS = 150
PAIRS = {"(": ")", "[": "]", "{": "}", '"': '"'}


class Reports(StrEnum):
    """How an editor reports changes."""

    EACH = "each key"
    BATCHED = "several keys at a time"
    WHOLE = "the whole text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What kind of editor it is."""

    name: str
    reports: Reports
    runs_command: bool
    """It runs the command of an item that was accepted, as the protocol says."""
    tells: bool = False
    """It sends Copilot's notifications."""
    closes_brackets: bool = False
    line_end: str = "\n"


class Ghost(NamedTuple):
    """A suggestion on screen."""

    completion_id: str
    text: str


class Typist:
    """One document in one editor."""

    def __init__(self, session: Session, habits: Habits, encoding: PositionEncoding) -> None:
        self.session = session
        self.habits = habits
        self.text = ""
        self.tags: list[str] = []
        """For each character, the completion that brought it, or nothing."""
        self.cursor = 0
        self._encoding = encoding
        self._version = 1
        self._synced = ""
        self._flushed_ms = 0.0

    def open(self, before: str, after: str) -> None:
        """Open a document with the cursor between two texts."""
        end = self.habits.line_end
        before, after = before.replace("\n", end), after.replace("\n", end)
        self.text = self._synced = before + after
        self.tags = [""] * len(self.text)
        self.cursor = len(before)
        self.session.opened(URI, "python", 1, self.text)

    async def ask(self) -> Ghost | None:
        """Ask for a suggestion at the cursor."""
        self._flush()
        position = self._position(self.text, self.cursor)
        items = await self.session.complete(
            Request(uri=URI, position=position, trigger=Trigger.AUTOMATIC)
        )
        if not items:
            return None
        [item] = items
        if self.habits.tells:
            self.session.recorder.shown(item.completion_id)
        return Ghost(item.completion_id, item.insert_text[len(item.replaced) :])

    async def key(self, char: str) -> None:
        """Press one key."""
        closer = PAIRS.get(char) if self.habits.closes_brackets else None
        behind = self.text[self.cursor : self.cursor + 1]
        if self.habits.closes_brackets and char in PAIRS.values() and behind == char:
            self.cursor += 1  # written over, and not reported
        elif closer and (not behind or behind.isspace()):
            self._change(self.cursor, self.cursor, char + closer)
            self.cursor -= 1
        else:
            self._change(self.cursor, self.cursor, char)
        await asyncio.sleep(0)

    async def type(self, text: str, *, pause_ms: float) -> None:
        """Write a text key by key; the editor asks after each."""
        end = self.habits.line_end
        for char in re.findall(r"\r\n[ \t]*|\n[ \t]*|.", text, re.DOTALL):
            if char.startswith(("\r", "\n")):  # the editor indents
                self._change(self.cursor, self.cursor, end + char.lstrip("\r\n"))
            else:
                await self.key(char)
            await asyncio.sleep(pause_ms / 1000)
            if self.habits.reports is not Reports.BATCHED or self._is_flush_due():
                await self.ask()
        await self.ask()

    async def accept(self, ghost: Ghost) -> None:
        """Accept the rest of a suggestion."""
        self._insert(ghost, ghost.text)
        await self._pause_ms(4)
        if self.habits.runs_command:
            self._flush()
            self.session.recorder.accepted(ghost.completion_id)

    async def accept_part(self, ghost: Ghost, part: str) -> Ghost:
        """Accept the start of a suggestion; return what is left of it."""
        self._insert(ghost, part)
        left = ghost.text[len(part) :]
        if self.habits.tells:
            self._flush()
            self.session.recorder.accepted_part(ghost.completion_id, len(left.replace("\r", "")))
        await self._pause_ms(30)
        again = await self.ask() if left else None
        return again or Ghost(ghost.completion_id, left)

    def replace(self, start: int, end: int, text: str) -> None:
        """Change any part of the text, as one edit of its own."""
        self._flush()
        self._change(start, end, text)
        self._flush()

    async def back(self, count: int, *, pause_ms: float) -> None:
        """Press the backspace key."""
        for _ in range(count):
            self._change(self.cursor - 1, self.cursor, "")
            await self._pause_ms(pause_ms)
        self._flush()

    def state(self) -> tuple[str, list[str], int]:
        """Return what an undo goes back to."""
        return self.text, list(self.tags), self.cursor

    def restore(self, state: tuple[str, list[str], int]) -> None:
        """Undo or redo: go to a state in one edit."""
        self._flush()
        text, tags, cursor = state
        start, end, new = _difference(self.text, text)
        self._change(start, end, new)
        self.tags, self.cursor = list(tags), cursor
        self._flush()

    def num_left(self, completion_id: str) -> int:
        """Return how many characters of a completion stand in the text."""
        return self.tags.count(completion_id)

    async def wait(self, seconds: float) -> None:
        """Do nothing."""
        self._flush()
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Close the document."""
        self._flush()
        self.session.closed(URI)

    async def _pause_ms(self, pause_ms: float) -> None:
        await asyncio.sleep(pause_ms / 1000)

    def _insert(self, ghost: Ghost, text: str) -> None:
        self._flush()
        start = self.cursor
        self._change(start, start, text)
        self.tags[start : start + len(text)] = [ghost.completion_id] * len(text)
        self._flush()

    def _change(self, start: int, end: int, text: str) -> None:
        self.text = self.text[:start] + text + self.text[end:]
        self.tags[start:end] = [""] * len(text)
        if end <= self.cursor:
            self.cursor += len(text) - (end - start)
        elif start < self.cursor:
            self.cursor = start + len(text)
        if self.habits.reports is not Reports.BATCHED:
            self._flush()

    def _is_flush_due(self) -> bool:
        now_ms = asyncio.get_running_loop().time() * 1000
        return now_ms - self._flushed_ms >= BATCH_MS

    def _flush(self) -> None:
        """Report what changed."""
        if self.text == self._synced:
            return
        self._flushed_ms = asyncio.get_running_loop().time() * 1000
        self._version += 1
        changes: Sequence[tuple[Range | None, str]] = [(None, self.text)]
        if self.habits.reports is not Reports.WHOLE:
            start, end, new = _difference(self._synced, self.text)
            span = Range(self._position(self._synced, start), self._position(self._synced, end))
            changes = [(span, new)]
        self.session.changed(URI, self._version, changes)
        self._synced = self.text

    def _position(self, text: str, index: int) -> Position:
        line = text.count("\n", 0, index)
        start = text.rfind("\n", 0, index) + 1
        return Position(line, units(text[start:index], self._encoding))


def _difference(old: str, new: str) -> tuple[int, int, str]:
    """Return the replacement that turns one text into the other: start, end in `old`, new text."""
    start, shorter = 0, min(len(old), len(new))
    while start < shorter and old[start] == new[start]:
        start += 1
    same = 0
    while same < shorter - start and old[-1 - same] == new[-1 - same]:
        same += 1
    # A pair of CR and LF is one line end.
    if start and old[start - 1] == "\r":
        start -= 1
    if same and old[len(old) - same] == "\n" and old[len(old) - same - 1 : len(old) - same] == "\r":
        same -= 1
    return start, len(old) - same, new[start : len(new) - same]
