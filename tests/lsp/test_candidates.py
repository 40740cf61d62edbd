"""Several suggestions for who asks explicitly: the real session, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fimble.events import Outcome, Resolved, Served, Trigger
from fimble.text import Position
from lsp_server.asking import Request
from tests.lsp.timed_editor import URI, Editor, timed

if TYPE_CHECKING:
    from lsp_server.offers import Item


async def ask(editor: Editor, place: tuple[int, int]) -> list[Item] | None:
    position = Position(*place)
    return await editor.session.complete(
        Request(uri=URI, position=position, trigger=Trigger.INVOKED)
    )


def texts(items: list[Item] | None) -> list[str]:
    assert items is not None
    return [item.insert_text[len(item.replaced) :] for item in items]


def test_who_asks_explicitly_gets_different_answers_and_the_same_again() -> None:
    async def test(editor: Editor) -> None:
        editor.engine.drawn = [
            ["other", "\n"],
            ["done", "\n"],
            ["other", "\n"],
            ["  ", "\n"],
            [")", "\n"],
        ]
        editor.open("x = \n")
        first = await ask(editor, (0, 4))
        assert texts(first) == ["done", "other"]  # no copy, nothing empty, nothing that breaks
        assert sorted(q.seed for q in editor.engine.queries if q.seed is not None) == [
            0,
            1,
            2,
            3,
            4,
        ]
        assert all(q.temperature > 0 for q in editor.engine.queries if q.seed is not None)
        num_queries = len(editor.engine.queries)
        again = await ask(editor, (0, 4))
        assert texts(again) == ["done", "other"]
        assert len(editor.engine.queries) == num_queries
        assert (await editor.ask((0, 4)))[0] == "done"  # who did not ask gets one

    timed(test, num_candidates=6)


def test_one_candidate_is_one_query() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = \n")
        assert texts(await ask(editor, (0, 4))) == ["done"]
        assert len(editor.engine.queries) == 1

    timed(test, num_candidates=1)


def test_a_key_ends_what_is_drawn_and_answers_the_request() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = \n")
        asking = asyncio.create_task(ask(editor, (0, 4)))
        await asyncio.sleep(0.5)  # the first is there, the others are read
        editor.write((0, 4), "q")
        assert await asking is None
        await asyncio.sleep(0.01)
        assert editor.engine.num_closed_early == 3  # the first after its line
        assert not [e for e in editor.outbox.events if isinstance(e, Served)]

    timed(test, num_candidates=3)


def test_the_one_that_is_taken_is_recorded_and_the_first_was_turned_down() -> None:
    async def test(editor: Editor) -> None:
        editor.engine.drawn = [["other", "\n"], ["third.one", "\n"]]
        editor.open("x = \n")
        items = await ask(editor, (0, 4))
        assert texts(items) == ["done", "other", "third.one"]
        await asyncio.sleep(1)
        editor.write((0, 4), "third.one")
        assert items is not None
        editor.session.recorder.accepted(items[2].completion_id)
        await asyncio.sleep(1)
        served = [e.completion_id for e in editor.outbox.events if isinstance(e, Served)]
        assert served == [items[0].completion_id, items[2].completion_id]
        outcomes = {
            e.completion_id: (e.outcome, e.accepted_chars)
            for e in editor.outbox.events
            if isinstance(e, Resolved)
        }
        assert outcomes == {
            items[0].completion_id: (Outcome.REJECTED, 0),
            items[2].completion_id: (Outcome.ACCEPTED, 9),
        }

    timed(test, num_candidates=3)


def test_the_first_that_is_taken_is_taken_as_ever() -> None:
    async def test(editor: Editor) -> None:
        editor.engine.drawn = [["other", "\n"], ["third.one", "\n"]]
        editor.open("x = \n")
        items = await ask(editor, (0, 4))
        assert items is not None
        editor.write((0, 4), "done")
        editor.session.recorder.accepted(items[0].completion_id)
        await asyncio.sleep(1)
        [served] = [e for e in editor.outbox.events if isinstance(e, Served)]
        [resolved] = [e for e in editor.outbox.events if isinstance(e, Resolved)]
        assert served.completion_id == resolved.completion_id == items[0].completion_id
        assert resolved.outcome is Outcome.ACCEPTED

    timed(test, num_candidates=3)
