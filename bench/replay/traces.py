"""From two versions of a file to the keys that lead from one to the other.

Lines that differ become edits at places; what is new in them is typed key by key, with pauses,
slips and corrections, and what is gone is deleted at once. All of it is drawn from one seed.

Pauses follow what 168,000 people at keyboards did: a quick half of them pauses 120 to 240 ms
between two keys, and leaves some 2% of their keys to be corrected. Source: Dhakal et al. 2018,
Observations on Typing from 136 Million Keystrokes, doi:10.1145/3173574.3174220.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, NamedTuple

from bench.history import changed_files, git
from fimble.languages import by_path

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

SLIP_RATE = 0.02
"""So many keys are wrong at first."""
LONGEST_PAUSE_MS = 3000.0
"""A session in which somebody thinks for longer shows nothing more."""
TYPED_CHARS = (60, 400)
"""Fewest and most characters that a trace writes."""
MAX_FILE_CHARS = 100_000
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ALIKE = 0.5


class Pause(NamedTuple):
    """A pause before a key: its median, and how it spreads."""

    median_ms: float
    sigma: float

    def draw_ms(self, rng: random.Random) -> float:
        """Return one pause, log-normal."""
        drawn_ms = rng.lognormvariate(math.log(self.median_ms), self.sigma)
        return min(drawn_ms, LONGEST_PAUSE_MS)


IN_WORD = Pause(150, 0.35)
BEHIND_WORD = Pause(200, 0.45)
NEW_LINE = Pause(600, 0.7)
JUMP = Pause(1200, 0.5)
CORRECTION = Pause(180, 0.3)


class Step(NamedTuple):
    """One edit, as an editor reports it."""

    pause_ms: float
    """Before it."""
    line: int
    column: int
    deleted: str
    """What goes; stands behind line and column."""
    typed: str
    """What comes in its place: a key, or a line end with indentation."""

    @property
    def end(self) -> tuple[int, int]:
        """Line and column where what it deletes ends."""
        *whole, last = self.deleted.split("\n")
        return self.line + len(whole), len(last) + (0 if whole else self.column)

    @property
    def cursor(self) -> tuple[int, int]:
        """Line and column behind what it types."""
        *whole, last = self.typed.split("\n")
        return self.line + len(whole), len(last) + (0 if whole else self.column)


class Trace(NamedTuple):
    """One file, and how it was changed."""

    name: str
    """Where it is from: revision or release, and path."""
    path: str
    before: str
    after: str
    steps: list[Step]


def traces_of_repository(
    repository: Path, rng: random.Random, *, max_commits: int = 400
) -> Iterator[Trace]:
    """Yield traces of a repository's history, in an order that `rng` draws.

    Args:
        repository: A folder within a git repository.
        rng: Draws commits, pauses and slips.
        max_commits: The newest so many that are no merges are drawn from.
    """
    commits = list(changed_files(repository, max_commits=max_commits))
    rng.shuffle(commits)
    for commit, path in commits:
        before = git(repository, "show", f"{commit}^:{path}")
        after = git(repository, "show", f"{commit}:{path}")
        yield from _trace(f"{commit[:9]}:{path}", path, (before, after), rng)


def traces_of_releases(old: Path, new: Path, rng: random.Random) -> Iterator[Trace]:
    """Yield traces of files that two folders have under one name, in an order that `rng` draws.

    Args:
        old: The sources of a release.
        new: The sources of a later one.
        rng: Draws files, pauses and slips.
    """
    names = [path.relative_to(old).as_posix() for path in sorted(old.rglob("*")) if path.is_file()]
    rng.shuffle(names)
    for name in names:
        if by_path(name) is not None and (new / name).is_file():
            texts = [(folder / name).read_bytes().decode(errors="replace") for folder in (old, new)]
            yield from _trace(f"{new.name}:{name}", name, (texts[0], texts[1]), rng)


def steps_between(before: str, after: str, rng: random.Random) -> list[Step]:
    """Return the edits that make `before` into `after`, line by line from the top."""
    old, new = before.split("\n"), after.split("\n")
    writer = _Writer(rng)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, first, last, new_first, new_last in matcher.get_opcodes():
        if tag == "equal":
            continue
        at = new_first  # everything above is as in `after` already
        paired = min(last - first, new_last - new_first)
        for number in range(paired):
            writer.rewrite(at + number, old[first + number], new[new_first + number])
        gone = old[first + paired : last]
        added = new[new_first + paired : new_last]
        if gone:
            is_end = last == len(old)
            writer.remove(at + paired, gone, above=new[at + paired - 1] if is_end else None)
        if added:
            above = new[at + paired - 1] if at + paired else None
            writer.insert(at + paired, added, above=above)
    return writer.steps


def apply(text: str, steps: list[Step]) -> str:
    """Return a text after its edits; what they delete must stand there.

    Raises:
        ValueError: Something else stands there.
    """
    for step in steps:
        lines = text.split("\n")
        start = sum(len(line) + 1 for line in lines[: step.line]) + step.column
        if not text.startswith(step.deleted, start):
            raise ValueError(f"{step} deletes what is not there")
        text = text[:start] + step.typed + text[start + len(step.deleted) :]
    return text


class _Writer:
    """Collects edits, and paces them."""

    def __init__(self, rng: random.Random) -> None:
        self.steps: list[Step] = []
        self._rng = rng

    def rewrite(self, line: int, old: str, new: str) -> None:
        """Change one line into another."""
        if old == new:
            return
        start = len(_common_start(old, new))
        behind = len(_common_start(old[start:][::-1], new[start:][::-1]))
        if difflib.SequenceMatcher(None, old, new, autojunk=False).ratio() < _ALIKE:
            start = min(start, len(new) - len(new.lstrip()))
            behind = 0
        gone, typed = old[start : len(old) - behind], new[start : len(new) - behind]
        if gone:
            self._add(JUMP, line, start, deleted=gone)
        self._type(line, start, typed, first=IN_WORD if gone else JUMP)

    def remove(self, line: int, gone: list[str], *, above: str | None) -> None:
        """Delete whole lines; `above` is the line before them where they are the last."""
        text = "\n".join(gone)
        if above is None:
            self._add(JUMP, line, 0, deleted=f"{text}\n")
        else:
            self._add(JUMP, line - 1, len(above), deleted=f"\n{text}")

    def insert(self, line: int, added: list[str], *, above: str | None) -> None:
        """Write whole lines behind the end of the line `above`, or at the top."""
        if above is None:
            self._add(JUMP, 0, 0, typed="\n")
            self._type(0, 0, "\n".join(added), first=IN_WORD)
        else:
            self._type(line - 1, len(above), "\n" + "\n".join(added), first=JUMP)

    def _type(self, line: int, column: int, text: str, *, first: Pause) -> None:
        """Write a text key by key; a line end brings the indentation of the line it begins."""
        place, pause = 0, first
        while place < len(text):
            key = _key(text[place:])
            if key.isalpha() and self._rng.random() < SLIP_RATE:
                self._slip(line, column, text[place + 1 : place + 3].partition("\n")[0], pause)
                pause = CORRECTION
            self._add(pause, line, column, typed=key)
            line, column = (line + 1, len(key) - 1) if key[0] == "\n" else (line, column + 1)
            pause = NEW_LINE if key[0] == "\n" else IN_WORD if key.isalnum() else BEHIND_WORD
            place += len(key)

    def _slip(self, line: int, column: int, more: str, pause: Pause) -> None:
        """Write a wrong letter and what follows, and take all of it back."""
        wrong = self._rng.choice(_LETTERS) + more[: self._rng.randrange(3)]
        for number, key in enumerate(wrong):
            self._add(IN_WORD if number else pause, line, column + number, typed=key)
        for number in range(len(wrong) - 1, -1, -1):
            self._add(CORRECTION, line, column + number, deleted=wrong[number])

    def _add(
        self, pause: Pause, line: int, column: int, *, deleted: str = "", typed: str = ""
    ) -> None:
        self.steps.append(Step(pause.draw_ms(self._rng), line, column, deleted, typed))


def _trace(name: str, path: str, texts: tuple[str, str], rng: random.Random) -> Iterator[Trace]:
    """Yield the trace of two versions, if it is one that somebody may have typed."""
    before, after = (text.replace("\r\n", "\n") for text in texts)
    if max(len(before), len(after)) > MAX_FILE_CHARS or not before:
        return
    steps = steps_between(before, after, rng)
    if TYPED_CHARS[0] <= sum(len(step.typed) for step in steps) <= TYPED_CHARS[1]:
        yield Trace(name, path, before, after, steps)


def _key(left: str) -> str:
    """Return what the next key writes: a character, or a line end with the indentation."""
    if left[0] != "\n":
        return left[0]
    line = left[1:].partition("\n")[0]
    return left[: 1 + len(line) - len(line.lstrip())]


def _common_start(first: str, second: str) -> str:
    pairs = zip(first, second, strict=False)
    length = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
    return first[:length]
