"""A person at the keyboard: types what stood in the file, and takes a suggestion that is right.

The person looks up at the start of a line and, now and then, behind a word: waits for the answer,
reads, decides. Whether to look up is drawn before the suggestion is there, so right and wrong ones
are looked at alike. A suggestion is right if the file went on like that; of one that starts right,
the right lines or words are taken.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import random

    from eval_harness.sessions.client import LspClient
    from eval_harness.sessions.places import Place

MIN_TAKEN_CHARS = 3
"""Nobody presses a key to save fewer."""
MIN_WORD_CHARS = 5
"""A part of a line is taken if it saves so much."""
LOOK_RATE = 0.25
"""How often the person looks up behind a word."""
ANSWER_LIMIT_S = 10.0
"""A person who waits for a suggestion goes on after so long."""
_WORD_END = re.compile(r"(?<=\w)(?!\w)|(?<=[^\w\s])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the person is."""

    fastest_key_ms: float = 60
    slowest_key_ms: float = 180
    reading_ms: float = 350
    """How long a suggestion is looked at before it is judged."""

    @property
    def shown_after_ms(self) -> int:
        """When a suggestion counts as shown: the language server's default at a person's pace."""
        return min(250, int(self.reading_ms * 0.7))


class Kind(StrEnum):
    """What a request was."""

    FIRST = "first request at a place"
    TYPING = "typing on"
    KNOWN = "typed through or cached"


class Sample(NamedTuple):
    """One answered request."""

    kind: Kind
    latency_ms: float


@dataclass(slots=True, kw_only=True)
class Tally:
    """What happened in all files."""

    samples: list[Sample] = field(default_factory=list)
    num_overtaken: int = 0
    """Requests that the next key overtook; editors get no answer to these."""
    num_drawn: int = 0
    """Suggestions that came onto the screen."""
    num_judged: int = 0
    """Suggestions that the person read."""
    num_taken: int = 0
    num_taken_parts: int = 0
    num_keys: int = 0
    num_taken_chars: int = 0


class Ghost(NamedTuple):
    """The suggestion on screen."""

    text: str = ""
    """What stands behind the cursor."""
    completion_id: str = ""


class Watcher(Protocol):
    """Looks over the person's shoulder."""

    def wrote(self, text: str, *, is_taken: bool) -> None:
        """Hear what came into the file, typed or taken."""

    def saw(self, ghost: Ghost, status: str | None) -> None:
        """Hear what stands behind the cursor, and what is to be said about it if that changes."""

    def judged(self, verdict: str) -> None:
        """Hear what the person thinks of what stands there."""


class Unwatched:
    """Nobody looks."""

    def wrote(self, text: str, *, is_taken: bool) -> None:
        """Nobody hears it."""

    def saw(self, ghost: Ghost, status: str | None) -> None:
        """Nobody hears it."""

    def judged(self, verdict: str) -> None:
        """Nobody hears it."""


class Typist:
    """Types at one place of one file; the editor side of a session."""

    def __init__(
        self,
        client: LspClient,
        uri: str,
        place: Place,
        *,
        tally: Tally,
        pace: Pace,
        watcher: Watcher | None = None,
    ) -> None:
        """Sit down; the file is open in the editor, with the code still at its place.

        Args:
            client: The editor.
            uri: Of the file.
            place: What is typed again.
            tally: What happens is counted here.
            pace: How fast the person is.
            watcher: Hears what happens.
        """
        self._client = client
        self._uri = uri
        self._place = place
        self._tally = tally
        self._pace = pace
        self._watcher = watcher or Unwatched()
        self._done = ""
        self._ghost = Ghost()
        self._drawn_ids: set[str] = set()
        self._judged_ids: set[str] = set()

    async def write(self, rng: random.Random) -> None:
        """Take the text out of the file, and write it again."""
        text = self._place.text
        lines = text.split("\n")
        end_column = len(lines[-1]) + (self._place.column if len(lines) == 1 else 0)
        end = (self._place.line + len(lines) - 1, end_column)
        self._client.change(((self._place.line, self._place.column), end, ""), uri=self._uri)
        await self._ask_and_look(Kind.FIRST)
        while self._left:
            key = _key(self._left)
            gap_s = rng.uniform(self._pace.fastest_key_ms, self._pace.slowest_key_ms) / 1000
            is_word_end = not key[-1].isalnum() and key != "_"
            looks = key[0] == "\n" or (is_word_end and rng.random() < LOOK_RATE)
            self._type(key)
            if not self._left:
                await asyncio.sleep(gap_s)
            elif looks:
                await self._ask_and_look(Kind.TYPING)
            else:
                await self._ask(Kind.TYPING, limit_s=gap_s, gap_s=gap_s)
        self._ghost = Ghost()

    @property
    def _left(self) -> str:
        return self._place.text[len(self._done) :]

    @property
    def _cursor(self) -> tuple[int, int]:
        lines = self._done.split("\n")
        column = len(lines[-1]) + (self._place.column if len(lines) == 1 else 0)
        return self._place.line + len(lines) - 1, column

    def _type(self, key: str) -> None:
        """Send one key; what is typed along leaves the rest of the suggestion on screen."""
        self._client.type(self._cursor, key, uri=self._uri)
        self._tally.num_keys += 1
        self._wrote(key, is_taken=False)
        text, completion_id = self._ghost
        self._show(Ghost(text[len(key) :], completion_id) if text.startswith(key) else Ghost())

    async def _ask_and_look(self, kind: Kind) -> None:
        """Wait for the suggestion, read it, and take what is right of it."""
        await self._ask(kind, limit_s=ANSWER_LIMIT_S)
        while self._ghost.text:
            await asyncio.sleep(self._pace.reading_ms / 1000)
            self._tally.num_judged += self._ghost.completion_id not in self._judged_ids
            self._judged_ids.add(self._ghost.completion_id)
            ghost, taken = self._ghost, right_part(self._ghost.text, self._left)
            verdict = "rejected" if not taken else "accepted"
            if taken and taken != ghost.text:
                verdict = f"accepted in part: {len(taken)} of {len(ghost.text)} characters"
            self._watcher.judged(verdict)
            if not taken:
                self._show(ghost, verdict)
                return
            await self._take(ghost, taken, verdict)
            if taken != ghost.text or not self._left:
                return
            await self._ask(Kind.TYPING, limit_s=ANSWER_LIMIT_S)

    async def _take(self, ghost: Ghost, taken: str, verdict: str) -> None:
        """Insert a suggestion or its first part, as editors do."""
        self._client.type(self._cursor, taken, uri=self._uri)
        self._wrote(taken, is_taken=True)
        self._tally.num_taken_chars += len(taken)
        if taken == ghost.text:
            self._tally.num_taken += 1
            await self._client.run("fimble.accepted", ghost.completion_id)
            self._show(Ghost(), verdict)
        else:
            self._tally.num_taken_parts += 1
            self._show(Ghost(ghost.text[len(taken) :], ghost.completion_id), verdict)

    async def _ask(self, kind: Kind, *, limit_s: float, gap_s: float = 0.0) -> None:
        """Ask for a suggestion; draw it if it comes before the next key, which is in `gap_s`."""
        place = self._cursor
        started_s = time.perf_counter()
        answer = self._client.ask(place, uri=self._uri)
        answer.add_done_callback(_retrieved)
        await asyncio.wait({answer}, timeout=limit_s)
        items = answer.result() if answer.done() else None
        latency_ms = (time.perf_counter() - started_s) * 1000
        if items is None:
            self._tally.num_overtaken += 1
        else:
            assert isinstance(items, dict)
            explained = await self._client.explain(self._uri)
            was_known = explained.get("cache") in {"typed", "cache"}
            kind = Kind.KNOWN if was_known else kind
            self._tally.samples.append(Sample(kind, latency_ms))
            self._show(_ghost_in(items["items"], place), f"{latency_ms:.0f} ms")
        left_s = gap_s - (time.perf_counter() - started_s)
        await asyncio.sleep(max(0.0, left_s))

    def _wrote(self, text: str, *, is_taken: bool) -> None:
        self._done += text
        self._watcher.wrote(text, is_taken=is_taken)

    def _show(self, ghost: Ghost, status: str | None = None) -> None:
        """Draw, and count what is drawn for the first time."""
        if ghost.text and ghost.completion_id not in self._drawn_ids:
            self._drawn_ids.add(ghost.completion_id)
            self._tally.num_drawn += 1
        self._ghost = ghost
        self._watcher.saw(ghost, status)


def right_part(suggested: str, true: str) -> str:
    """Return how much of a suggestion a person takes who wants to write `true`.

    All of it if it is right; else its right lines; else the right words of its first line, where
    they are worth a key.
    """
    if true.startswith(suggested):
        return suggested if len(suggested.strip()) >= MIN_TAKEN_CHARS else ""
    common = len(_common_start(suggested, true))
    whole_lines = suggested[:common].rpartition("\n")[0]
    ends_line = common == len(true) or true[common] == "\n"
    if ends_line and suggested[common : common + 1] == "\n":
        whole_lines = suggested[:common]
    if len(whole_lines.strip()) >= MIN_TAKEN_CHARS:
        return whole_lines.rstrip("\n")
    ends = [found.end() for found in _WORD_END.finditer(suggested) if found.end() <= common]
    words = suggested[: max(ends, default=0)]
    return words if len(words.strip()) >= MIN_WORD_CHARS else ""


def _common_start(first: str, second: str) -> str:
    pairs = zip(first, second, strict=False)
    length = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
    return first[:length]


def _key(left: str) -> str:
    """Return what the next key writes: a character, or a line end with the indentation."""
    if left[0] != "\n":
        return left[0]
    line = left[1:].partition("\n")[0]
    return left[: 1 + len(line) - len(line.lstrip())]


def _ghost_in(items: list[dict[str, Any]], place: tuple[int, int]) -> Ghost:
    """Return what an editor draws behind the cursor for the items of an answer."""
    if not items:
        return Ghost()
    item = items[0]
    start = item["range"]["start"]
    text = str(item["insertText"])[place[1] - start["character"] :]
    return Ghost(text, item["command"]["arguments"][0])


def _retrieved(answer: asyncio.Future[object]) -> None:
    """Look at the error of an answer that nobody waits for."""
    if not answer.cancelled():
        answer.exception()
