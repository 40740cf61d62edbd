"""What users did against what the server says that they did."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from fimble.text import Position, PositionEncoding
from lsp_server.offers import Item
from tests.stand_ins import user_actions as actions
from tests.stand_ins.editor_sessions import confusion, play
from tests.stand_ins.lsp_client import LspClient, events_in
from tests.stand_ins.typist import Habits, Reports, Typist
from tests.stand_ins.user_actions import SITES, Scene, ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from fimble.events import Outcome
    from lsp_server.asking import Request
    from lsp_server.documents import Range
    from tests.stand_ins.tgi_app import TgiScript

NUM_SESSIONS = 1000


def test_a_thousand_sessions_are_told_right_in_98_percent_or_more() -> None:
    found = confusion(NUM_SESSIONS)
    assert found.num_sessions == NUM_SESSIONS
    assert found.match_rate >= 0.98, found.misses
    for outcome in ("accepted", "accepted_part", "typed_through", "rejected", "not_shown"):
        told = {said: n for (done, said), n in found.outcomes.items() if done == outcome}
        assert told[outcome] >= 0.9 * sum(told.values()), (outcome, told)
    assert found.undone[True, True] > 0 < found.kept[False, False]


def test_a_session_is_the_same_whenever_it_is_played() -> None:
    one, other = play(17), play(17)
    assert [type(event) for event in one.events] == [type(event) for event in other.events]
    assert one.truth is not None is not other.truth
    assert one.said.visible_ms == pytest.approx(other.said.visible_ms)


class WireRecorder:
    """The editor's notifications, sent over the wire."""

    def __init__(self, wire: WireSession) -> None:
        self._wire = wire

    def accepted(self, completion_id: str) -> None:
        params = {"command": "fimble.accepted", "arguments": [completion_id]}
        self._wire.client.send("workspace/executeCommand", params)


class WireSession:
    """What a typist needs of a session, through a real `fimble lsp` process."""

    def __init__(self, client: LspClient) -> None:
        self.client = client
        self.recorder = WireRecorder(self)

    def opened(self, uri: str, language_id: str, version: int, text: str) -> None:
        assert version == 1
        self.client.open(text, uri=uri, language=language_id)

    def changed(self, uri: str, version: int, changes: Sequence[tuple[Range | None, str]]) -> None:
        assert version == self.client.versions[uri] + 1
        spans = [(span.start, span.end, text) for span, text in changes if span is not None]
        assert len(spans) == len(changes)
        self.client.change(*spans, uri=uri)

    async def complete(self, request: Request) -> list[Item] | None:
        items = await self.client.items(request.position, uri=request.uri)
        return None if items is None else [_item(item) for item in items]

    def closed(self, uri: str) -> None:
        self.client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


def _item(item: dict[str, Any]) -> Item:
    start, end = (Position(p["line"], p["character"]) for p in item["range"].values())
    replaced = item["insertText"][: end.character - start.character]
    [completion_id] = item["command"]["arguments"]
    return Item(completion_id, item["insertText"], start, end, replaced)


@pytest.mark.e2e
async def test_the_same_users_at_a_real_process_are_told_right(
    start: Callable[..., Awaitable[LspClient]], tgi: TgiScript, spool: Path
) -> None:
    chance = random.Random(3)
    habits = Habits(name="wire", reports=Reports.EACH, runs_command=True)
    expected: dict[str, Outcome] = {}
    for action in (
        actions.accepts_a_part,
        actions.types_along_then_something_else,
        actions.accepts_and_undoes,
    ):
        client = await start()
        engine = ScriptedEngine()
        before, engine.text, after = chance.choice(SITES)
        tgi.answer = lambda _, engine=engine: [engine.text] if engine.text else []
        typist = Typist(WireSession(client), habits, PositionEncoding.UTF16)  # type: ignore[arg-type]
        typist.open(before, after)
        ghost = await typist.ask()
        assert ghost is not None
        truth = await action(Scene(typist, engine, ghost, chance, pace=0.2))
        assert truth is not None
        expected[truth.completion_id] = truth.outcome
        assert await client.close() == 0
    events = events_in(spool)
    said = {e["completion_id"]: e["outcome"] for e in events if e["ev"] == "resolved"}
    assert {name: said[name] for name in expected} == expected
    assert sum(event["ev"] == "undone" for event in events) == 1
