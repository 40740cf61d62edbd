"""What users do with a suggestion, and the truth about it."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fimble.engine import EngineInfo, Finish, FinishReason, Token
from fimble.events import Outcome
from tests.stand_ins.typist import Ghost, Typist

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fimble.engine import Query

SITES = (
    ("def add(a, b):\n    ", "return first + second", "\n\n\nprint(add(1, 2))\n"),
    ("total = ", "sum(value for value in values)", "\n"),
    ("for row in rows:\n    ", "print(row.name, row.value)", "\n\nreturn None\n"),
    ("# 😀 naïve\nname = ", 'request.headers.get("name")', "\nother = 1\n"),
    ("class Point:\n    def __init__(self, x, y):\n        ", "self.x, self.y = x, y", "\n\n"),
    ("import os\n\npath = ", "os.path.join(folder, name)", "\nopen(path)\n"),
    (
        "def read(path):\n",
        "    with open(path) as file:\n        return file.read()",
        "\n\n\nx = 1\n",
    ),
    ("if value is None:\n    ", 'raise ValueError("no value")', "\nreturn value\n"),
)


class Truth(NamedTuple):
    """What the user did with a suggestion."""

    completion_id: str
    outcome: Outcome
    is_undone: bool = False
    num_left: int | None = None
    """Characters of it that stand half a minute later; None where that is not looked at."""
    num_chars: int = 0
    """Characters that were accepted."""


class ScriptedEngine:
    """Says what the scene wants."""

    def __init__(self) -> None:
        self.text = ""

    async def info(self) -> EngineInfo:
        return EngineInfo("scripted", "0123456789abcdef", 4000, 4096, "fimble")

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        del query
        parts = re.findall(r"\s*\w+|\s*[^\w\s]|\s+", self.text)
        for number, part in enumerate(parts):
            yield Token(number, part, -0.5)
        yield Finish(FinishReason.END_TOKEN, 10, 0, len(parts))

    async def close(self) -> None:
        pass


@dataclass
class Scene:
    """One suggestion on screen, and the user before it."""

    typist: Typist
    engine: ScriptedEngine
    ghost: Ghost
    chance: random.Random
    pace: float = 1.0
    """Factor on what takes time; below 1 where the time is real."""

    @property
    def name(self) -> str:
        return self.ghost.completion_id

    async def read(self) -> None:
        """Look at the suggestion for a while."""
        await self.wait(0.35, 2.5)

    async def wait(self, low_s: float, high_s: float) -> None:
        """Do nothing for a random time."""
        await self.typist.wait(self.pace * self.chance.uniform(low_s, high_s))

    async def type(self, text: str) -> None:
        """Write what was suggested, key by key."""
        await self.typist.type(text, pause_ms=self.pace * self.chance.uniform(60, 220))

    async def other_key(self) -> None:
        """Write something that was not suggested."""
        nexts = self.ghost.text[:1] + "\r\n"
        await self.typist.key(self.chance.choice([c for c in "zq+9" if c not in nexts]))
        await self.wait(0.3, 0.3)
        await self.typist.ask()

    def part(self, share: float) -> str:
        """Return the start of the suggestion, up to the end of a word."""
        ends = [m.end() for m in re.finditer(r"\s*\w+|\s*[^\w\s]+", self.ghost.text)]
        inner = [end for end in ends if 1 < end < len(self.ghost.text)]
        return self.ghost.text[: inner[int(share * len(inner))]] if inner else ""

    async def left_later(self, seconds: float = 31.0) -> int:
        """Return how much of the accepted text stands half a minute later."""
        await self.wait(seconds, seconds)
        return self.typist.num_left(self.name)


async def accepts(scene: Scene) -> Truth:
    await scene.read()
    await scene.typist.accept(scene.ghost)
    return Truth(
        scene.name, Outcome.ACCEPTED, num_left=await scene.left_later(), num_chars=_size(scene)
    )


async def types_then_accepts(scene: Scene) -> Truth:
    await scene.read()
    await scene.type(scene.ghost.text[: scene.chance.randint(1, 4)])
    ghost = await scene.typist.ask()
    if ghost is None or ghost.completion_id != scene.name:
        return Truth(scene.name, Outcome.TYPED_THROUGH)
    await scene.typist.accept(ghost)
    num_chars = scene.typist.num_left(scene.name)
    return Truth(
        scene.name, Outcome.ACCEPTED, num_left=await scene.left_later(), num_chars=num_chars
    )


async def accepts_a_part(scene: Scene) -> Truth | None:
    part = scene.part(scene.chance.random() * 0.9)
    if not part:
        return None
    await scene.read()
    scene.engine.text = ""
    scene.ghost = await scene.typist.accept_part(scene.ghost, part)
    await scene.read()
    num_chars = scene.typist.num_left(scene.name)
    await scene.other_key()
    left = await scene.left_later()
    return Truth(scene.name, Outcome.ACCEPTED_PART, num_left=left, num_chars=num_chars)


async def accepts_word_by_word(scene: Scene) -> Truth | None:
    await scene.read()
    ghost = scene.ghost
    while ghost.text:
        found = re.match(r"\s*\w+\s*|\s*[^\w\s]+\s*", ghost.text)
        part = found.group() if found else ghost.text
        if len(ghost.text) - len(part) < 3:
            part = ghost.text
        ghost = await scene.typist.accept_part(ghost, part)
        await scene.wait(0.4, 0.4)
    return Truth(scene.name, Outcome.ACCEPTED)


async def types_it(scene: Scene) -> Truth:
    await scene.read()
    scene.engine.text = ""
    await scene.type(scene.ghost.text)
    return Truth(scene.name, Outcome.TYPED_THROUGH)


async def types_something_else(scene: Scene) -> Truth:
    await scene.read()
    scene.engine.text = ""
    await scene.other_key()
    return Truth(scene.name, Outcome.REJECTED)


async def types_along_then_something_else(scene: Scene) -> Truth:
    await scene.read()
    scene.engine.text = ""
    count = scene.chance.randint(1, min(5, len(scene.ghost.text) - 2))
    await scene.type(scene.ghost.text[:count])
    scene.ghost = scene.ghost._replace(text=scene.ghost.text[count:])
    await scene.other_key()
    return Truth(scene.name, Outcome.REJECTED)


async def types_on_before_seeing_it(scene: Scene) -> Truth:
    await scene.wait(0.01, 0.15)
    scene.engine.text = ""
    await scene.other_key()
    # An editor that says what is on screen is believed, however short that was.
    outcome = Outcome.REJECTED if scene.typist.habits.tells else Outcome.NOT_SHOWN
    return Truth(scene.name, outcome)


async def goes_elsewhere(scene: Scene) -> Truth:
    await scene.read()
    scene.engine.text = ""
    scene.typist.cursor = len(scene.typist.text)
    await scene.typist.ask()
    return Truth(scene.name, Outcome.MOVED_AWAY)


async def closes(scene: Scene) -> Truth:
    await scene.read()
    scene.typist.close()
    return Truth(scene.name, Outcome.MOVED_AWAY)


async def accepts_and_undoes(scene: Scene) -> Truth:
    await scene.read()
    scene.engine.text = ""
    before = scene.typist.state()
    await scene.typist.accept(scene.ghost)
    await scene.wait(0.3, 4.0)
    scene.typist.restore(before)
    left = await scene.left_later()
    return Truth(
        scene.name, Outcome.ACCEPTED, is_undone=True, num_left=left, num_chars=_size(scene)
    )


async def accepts_undoes_and_redoes(scene: Scene) -> Truth:
    await scene.read()
    scene.engine.text = ""
    before = scene.typist.state()
    await scene.typist.accept(scene.ghost)
    await scene.wait(1, 1)
    after = scene.typist.state()
    scene.typist.restore(before)
    await scene.wait(1, 1)
    scene.typist.restore(after)
    left = await scene.left_later()
    return Truth(
        scene.name, Outcome.ACCEPTED, is_undone=True, num_left=left, num_chars=_size(scene)
    )


async def accepts_and_deletes_later(scene: Scene) -> Truth:
    await scene.read()
    scene.engine.text = ""
    start = scene.typist.cursor
    await scene.typist.accept(scene.ghost)
    end = scene.typist.cursor
    await scene.wait(6, 20)
    scene.typist.replace(start, end, "")
    left = await scene.left_later(32 - 6)
    return Truth(scene.name, Outcome.ACCEPTED, num_left=left, num_chars=_size(scene))


async def accepts_and_edits(scene: Scene) -> Truth:
    await scene.read()
    scene.engine.text = ""
    start = scene.typist.cursor
    await scene.typist.accept(scene.ghost)
    await scene.wait(1, 15)
    words = [m.span() for m in re.finditer(r"\w+", scene.ghost.text)]
    low, high = scene.chance.choice(words)
    scene.typist.replace(start + low, start + high, scene.chance.choice(["renamed", "x", ""]))
    await scene.wait(1, 1)
    line_end = scene.typist.habits.line_end
    scene.typist.replace(0, 0, f"import this{line_end}")
    left = await scene.left_later()
    return Truth(scene.name, Outcome.ACCEPTED, num_left=left, num_chars=_size(scene))


Action = Callable[[Scene], Awaitable[Truth | None]]
ACTIONS: tuple[Action, ...] = (
    accepts,
    types_then_accepts,
    accepts_a_part,
    accepts_word_by_word,
    types_it,
    types_something_else,
    types_along_then_something_else,
    types_on_before_seeing_it,
    goes_elsewhere,
    closes,
    accepts_and_undoes,
    accepts_undoes_and_redoes,
    accepts_and_deletes_later,
    accepts_and_edits,
)


def _size(scene: Scene) -> int:
    return len(scene.ghost.text)
