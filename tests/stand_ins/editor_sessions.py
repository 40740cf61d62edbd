"""Editor sessions with a known truth: what users do, through the server's own session.

Only the engine is scripted. Documents, requests, outcomes, retention and their timers are the
server's; the time is virtual, so that ten minutes of editing take none.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fimble.events import Event, Outcome, Resolved, Retained, Undone
from fimble.settings import CompletionSettings, EngineSettings, Settings
from fimble.text import PositionEncoding
from lsp_server.asking import Client
from lsp_server.backend import Backend
from lsp_server.documents import Documents
from lsp_server.recorder import Recorder
from lsp_server.session import Session
from lsp_server.variants import Variants
from tests.stand_ins.typist import Habits, Reports, Typist
from tests.stand_ins.user_actions import ACTIONS, SITES, Scene, ScriptedEngine, Truth
from tests.stand_ins.virtual_time import LoopClock, run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsp_server.outbox import Outbox

EDITORS = (
    Habits(name="each key, command", reports=Reports.EACH, runs_command=True, closes_brackets=True),
    Habits(name="batches, command", reports=Reports.BATCHED, runs_command=True),
    Habits(name="notifications", reports=Reports.EACH, runs_command=True, tells=True),
    Habits(name="whole text, silent", reports=Reports.WHOLE, runs_command=False),
    Habits(name="CRLF, command", reports=Reports.EACH, runs_command=True, line_end="\r\n"),
)


@dataclass
class Collected:
    """Takes the place of the outbox: keeps events in memory."""

    events: list[Event] = field(default_factory=list)

    def put(self, event: Event | Callable[[], Event]) -> None:
        self.events.append(event() if callable(event) else event)


class Silent:
    """An editor window that shows nothing."""

    def show_error(self, message: str) -> None:
        raise AssertionError(message)


class Played(NamedTuple):
    """One session: what was done, and what was recorded."""

    habits: Habits
    action: str
    truth: Truth | None
    events: list[Event]

    @property
    def said(self) -> Resolved:
        """The outcome that the server recorded."""
        assert self.truth is not None
        name = self.truth.completion_id
        found = [e for e in self.events if isinstance(e, Resolved) and e.completion_id == name]
        [resolved] = found
        return resolved

    @property
    def said_undone(self) -> bool:
        assert self.truth is not None
        name = self.truth.completion_id
        return any(isinstance(e, Undone) and e.completion_id == name for e in self.events)

    def look(self, horizon_s: int) -> Retained | None:
        """Return what the server found at a horizon."""
        assert self.truth is not None
        name = self.truth.completion_id
        looks = [e for e in self.events if isinstance(e, Retained) and e.completion_id == name]
        return next((look for look in looks if look.horizon_s == horizon_s), None)


def play(seed: int) -> Played:
    """Run one session; the seed says all about it."""
    return run_virtually(_play(seed))


def make_session(
    outbox: Collected | Outbox, engine: ScriptedEngine, habits: Habits, encoding: PositionEncoding
) -> Session:
    """Return a session of the server with a scripted engine."""
    clock = LoopClock()
    backend = Backend(EngineSettings(tgi_url="http://scripted"))
    backend._engine = engine
    settings = Settings(completion=CompletionSettings(debounce_ms=0))
    return Session(
        Client(name=habits.name, version="1", encoding=encoding),
        Variants(settings, backend, clock=clock),
        recorder=Recorder(outbox, documents=Documents(encoding), clock=clock, shown_after_ms=250),
        editor=Silent(),
        clock=clock,
    )


async def _play(seed: int) -> Played:
    chance = random.Random(seed)
    habits, action = EDITORS[seed % len(EDITORS)], ACTIONS[seed // len(EDITORS) % len(ACTIONS)]
    encoding = chance.choice([PositionEncoding.UTF16, PositionEncoding.UTF8])
    outbox, engine = Collected(), ScriptedEngine()
    session = make_session(outbox, engine, habits, encoding)
    typist = Typist(session, habits, encoding)
    before, engine.text, after = chance.choice(SITES)
    typist.open(before, after)
    ghost = await typist.ask()
    truth = None
    if ghost is not None:
        truth = await action(Scene(typist, engine, ghost, chance))
    await session.close()
    return Played(habits, action.__name__, truth, outbox.events)


class Confusion(NamedTuple):
    """How often what was done was taken for what."""

    outcomes: Counter[tuple[str, str]]
    undone: Counter[tuple[bool, bool]]
    kept: Counter[tuple[bool, bool]]
    """Whether half of an accepted text stood after 30 s."""
    misses: list[tuple[int, str, str, str]]
    """Seed, editor, action and what was said."""

    @property
    def num_sessions(self) -> int:
        return sum(self.outcomes.values())

    @property
    def match_rate(self) -> float:
        """Share of sessions of which everything was told right."""
        return 1 - len(self.misses) / self.num_sessions


def confusion(num_sessions: int) -> Confusion:
    """Play sessions until so many had a suggestion, and compare them with the truth."""
    found = Confusion(Counter(), Counter(), Counter(), [])
    seed = 0
    while found.num_sessions < num_sessions:
        played = play(seed)
        if played.truth is not None:
            _compare(found, seed, played, played.truth)
        seed += 1
    return found


def _compare(found: Confusion, seed: int, played: Played, truth: Truth) -> None:
    said = played.said.outcome
    found.outcomes[truth.outcome.value, said.value] += 1
    is_right = said is truth.outcome
    if truth.outcome in {Outcome.ACCEPTED, Outcome.ACCEPTED_PART}:
        found.undone[truth.is_undone, played.said_undone] += 1
        is_right &= truth.is_undone is played.said_undone
    look = played.look(30)
    if truth.num_left is not None and look is not None:
        is_kept = truth.num_left * 2 >= truth.num_chars
        found.kept[is_kept, look.kept_rate >= 0.5] += 1
        is_right &= is_kept is (look.kept_rate >= 0.5)
    if not is_right:
        wrong = f"{truth} → {said.value}, undone {played.said_undone}, {look}"
        found.misses.append((seed, played.habits.name, played.action, wrong))
