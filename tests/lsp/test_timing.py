"""When the server begins, waits, gives up and goes on: the real session, in virtual time."""

from __future__ import annotations

import asyncio

from fimble.errors import EngineOverloadedError
from fimble.events import Opportunity, Served, Trigger
from fimble.text import Position
from lsp_server.documents import Range
from lsp_server.pace import Pace
from tests.lsp.timed_editor import URI, Editor, timed

BODY = ["    a = 1", "\n", "    b = 2", "\n", "    return a", "\n\n\n", "x"]


def test_after_a_while_the_complete_lines_are_shown_and_the_rest_comes_next() -> None:
    async def test(editor: Editor) -> None:
        editor.engine.tokens = BODY
        editor.engine.token_ms = 100
        editor.open("def f():\n")
        assert await editor.ask((1, 0)) == ("    a = 1\n    b = 2", 750)
        editor.write((1, 0), "    a = 1\n    b = 2")
        assert await editor.ask((2, 9)) == ("\n    return a", 50)
        assert len(editor.engine.queries) == 1
        [first, second] = [e for e in editor.outbox.events if isinstance(e, Served)]
        assert (first.stop_reason, second.stop_reason) == ("deadline", "block")

    timed(test, lines_after_ms=750)


def test_the_first_complete_line_is_waited_for_and_shown_while_the_next_is_made() -> None:
    async def test(editor: Editor) -> None:
        editor.engine.tokens = BODY
        editor.engine.token_ms = 1000
        editor.open("def f():\n")
        assert await editor.ask((1, 0)) == ("    a = 1", 1350)  # looked at every 50 ms
        editor.write((1, 0), "    a = 1")
        assert await editor.ask((1, 9)) == ("\n    b = 2", 2000)
        assert len(editor.engine.queries) == 1

    timed(test, lines_after_ms=100)


def test_nothing_is_shown_at_the_deadline_where_no_line_is_complete_and_later_it_is_known() -> None:
    async def test(editor: Editor) -> None:
        editor.engine.read_ms = 5000
        editor.open("x = \n")
        assert await editor.ask((0, 4)) == ("", 400)
        assert editor.why == "the engine took longer than completion.deadline_ms"
        await asyncio.sleep(5)
        assert await editor.ask((0, 4)) == ("done", 0)
        assert len(editor.engine.queries) == 1
        [missed] = [e for e in editor.outbox.events if isinstance(e, Opportunity)]
        assert (missed.reason, missed.detail) == ("error", "late")

    timed(test, deadline_ms=400, debounce_ms=0)


def test_an_engine_that_hangs_for_an_hour_never_keeps_the_editor_longer_than_the_deadline() -> None:
    async def test(editor: Editor) -> None:
        editor.engine.read_ms = 3_600_000
        editor.open("x = \n")
        for column in range(4, 14):
            assert await editor.ask((0, column)) == ("", 500)
            editor.write((0, column), "y")
        await asyncio.sleep(31)
        assert editor.engine.num_closed_early == len(editor.engine.queries)

    timed(test, deadline_ms=500)


def test_a_withdrawn_request_frees_the_engine_unless_somebody_goes_on() -> None:
    async def test(editor: Editor) -> None:
        editor.engine.read_ms = 2000
        editor.open("x = \n")
        asking = asyncio.create_task(editor.ask((0, 4)))
        await asyncio.sleep(0.2)
        asking.cancel()
        await asyncio.sleep(0.29)
        assert editor.engine.num_closed_early == 0
        await asyncio.sleep(0.02)
        assert editor.engine.num_closed_early == 1

        editor.engine.tokens = ["abc", "\n"]
        asking = asyncio.create_task(editor.ask((0, 4)))
        await asyncio.sleep(1.9)
        asking.cancel()
        await asyncio.sleep(0.05)
        editor.write((0, 4), "a")  # the key that withdrew it is what the engine will say
        await asyncio.sleep(0.2)
        assert await editor.ask((0, 5)) == ("bc", 0)
        assert len(editor.engine.queries) == 2

    timed(test, debounce_ms=0)


def test_who_deletes_is_asked_nothing_but_told_what_is_known() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = \n")
        assert (await editor.ask((0, 4)))[0] == "done"
        editor.write((0, 4), "q")
        await editor.ask((0, 5))
        editor.delete((0, 4))
        assert await editor.ask((0, 4)) == ("done", 0)
        editor.delete((0, 3))
        num_queries = len(editor.engine.queries)
        assert await editor.ask((0, 3)) == ("", 0)
        assert editor.why == "text was deleted here, and nothing is known for what is left"
        assert len(editor.engine.queries) == num_queries
        assert (await editor.ask((0, 3), Trigger.INVOKED))[0] == "done"
        editor.delete((0, 0), 3)
        assert (await editor.ask((0, 0)))[0] == "done"  # an empty line is a new beginning
        editor.write((0, 0), "        name + other")
        editor.delete((0, 15), 5)
        assert (await editor.ask((0, 15)))[0] == "done"  # instead of a word
        editor.delete((0, 15))
        editor.delete((0, 4), 4)
        assert (await editor.ask((0, 4)))[0] == ""  # an indentation is a key

    timed(test, debounce_ms=0)


def test_a_setting_asks_behind_deletions_too() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = 1\n")
        editor.delete((0, 4))
        assert (await editor.ask((0, 4)))[0] == "done"

    timed(test, after_deletion=True)


def test_the_first_key_on_a_line_begins_what_the_editor_asks_for_later() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = \n\ny = \n")
        assert await editor.ask((0, 4)) == ("done", 420)  # the pause, reading, two tokens
        editor.write((2, 4), "z")
        await asyncio.sleep(0.2)  # as Neovim waits
        assert await editor.ask((2, 5)) == ("done", 120)
        editor.write((2, 5), "w")  # the same line: no beginning
        await asyncio.sleep(0.2)
        assert len(editor.engine.queries) == 2
        editor.write((2, 6), "\n")
        await asyncio.sleep(0.6)
        assert await editor.ask((3, 0)) == ("done", 0)

    timed(test, debounce_ms=100)


def test_an_editor_that_never_asks_by_itself_causes_no_work() -> None:
    async def test(editor: Editor) -> None:
        editor.open("\n" * 30)
        editor.write((1, 0), "a")
        await editor.ask((1, 1), Trigger.INVOKED)
        for line in range(2, 9):
            editor.write((line, 0), "a")
            await asyncio.sleep(1)
        assert len(editor.engine.queries) == 1
        await editor.ask((9, 0))
        for line in range(10, 20):
            editor.write((line, 0), "a")
            await asyncio.sleep(1)
        assert len(editor.engine.queries) == 2 + 4  # and then it gave up

    timed(test)


def test_several_edits_at_once_and_long_ones_begin_nothing() -> None:
    async def test(editor: Editor) -> None:
        editor.open("\n" * 9)
        await editor.ask((0, 0))
        at = Position(3, 0)
        editor.session.changed(URI, 2, [(Range(at, at), "a"), (Range(at, at), "b")])
        editor.write((4, 0), "pasted text")
        editor.session.changed(URI, 3, [(None, "all of it\n" * 9)])
        editor.session.changed(URI, 4, [])
        await asyncio.sleep(1)
        assert len(editor.engine.queries) == 1

    timed(test)


def test_a_document_that_gets_the_focus_is_read_again_and_a_request_comes_first() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = \n")
        editor.session.focused(URI)
        await asyncio.sleep(1)
        assert editor.engine.queries == []  # nobody knows where the cursor is
        await editor.ask((0, 4))
        editor.session.opened(URI, "python", 1, "y = 2\n")  # the text is another one
        await asyncio.sleep(0.1)
        assert [q.max_new_tokens for q in editor.engine.queries] == [64, 1]
        assert editor.engine.num_closed_early == 1  # the first, whose line was complete
        await editor.ask((0, 4), Trigger.INVOKED)
        await asyncio.sleep(0.1)
        assert editor.engine.num_closed_early == 3  # the reading made way
        num_queries = len(editor.engine.queries)
        editor.session.focused(URI)
        editor.session.focused("file:///unknown")
        await asyncio.sleep(1)
        assert len(editor.engine.queries) == num_queries  # the answer there is known

    timed(test)


def test_a_warm_up_that_fails_is_not_told() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = \n")
        await editor.ask((0, 4))
        editor.engine.error = EngineOverloadedError("not now")
        editor.session.opened(URI, "python", 1, "y = \n")
        await asyncio.sleep(1)
        assert len(editor.engine.queries) > 1
        assert editor.messages == []
        editor.engine.error = None
        assert (await editor.ask((0, 4)))[0] == "done"

    timed(test)


def test_a_fast_engine_is_asked_at_once_and_a_slow_one_after_a_pause() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = \n")
        for char, engine_ms, expected in (("y", 40.0, 60.0), ("z", 1000.0, 1120.0)):
            editor.engine.read_ms = engine_ms
            took = 0.0
            for number in range(30):
                column = 4 + number
                editor.write((0, column), char)
                took = (await editor.ask((0, column + 1)))[1]
                await asyncio.sleep(0.15)
            assert took == expected
            editor.session.changed(URI, 2, [(None, "x = \n")])

    timed(test, debounce_ms=100)


def test_an_explicit_request_and_a_line_start_do_not_wait() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = \n    \n")
        assert await editor.ask((0, 4), Trigger.INVOKED) == ("done", 320)
        assert await editor.ask((1, 4)) == ("done", 340)
        assert await editor.ask((0, 1)) == ("done", 5320)

    timed(test, debounce_ms=5000, deadline_ms=0)


def test_a_pause_is_as_long_as_an_answer_would_be_late() -> None:
    pace = Pace()
    assert pace.pause_ms(100, 0) == 100  # nothing is known
    for now_ms in range(0, 2000, 200):
        pace.typed(now_ms)
    pace.typed(1801)  # the same key
    pace.typed(9000)  # after thinking
    assert pace.interval_ms == 200
    pace.answered(120)
    assert pace.pause_ms(100, 9000) == 0
    pace.given_up(100)
    assert pace.answer_ms == 120
    for _ in range(50):
        pace.given_up(260)
    assert round(pace.pause_ms(100, 9000)) == 60
    assert round(pace.pause_ms(100, 9050)) == 10
    assert pace.pause_ms(100, 9200) == 0
    for _ in range(50):
        pace.answered(900)
    assert pace.pause_ms(100, 9000) == 100


def test_a_suggestion_that_breaks_the_code_is_cut_back_or_withheld_and_recorded() -> None:
    async def test(editor: Editor) -> None:
        editor.engine.tokens = ["    a = 1", "\n", "    return )", "\n\n\n", "x"]
        editor.open("def f():\n\n\ny = 2\n")
        assert (await editor.ask((1, 0)))[0] == "    a = 1"
        editor.engine.tokens = ["3 +)", "\n"]
        assert (await editor.ask((3, 4)))[0] == ""
        assert editor.session.explain(URI)["detail"] == "syntax"
        [served] = [e for e in editor.outbox.events if isinstance(e, Served)]
        [missed] = [e for e in editor.outbox.events if isinstance(e, Opportunity)]
        assert served.stop_reason == "syntax"
        assert (missed.reason, missed.detail) == ("filtered", "syntax")

    timed(test)


def test_what_the_model_finds_unlikely_is_shown_only_to_who_asks_for_it() -> None:
    async def test(editor: Editor) -> None:
        editor.open("x = \n")
        assert (await editor.ask((0, 4)))[0] == ""
        assert editor.why == "the model is less sure than completion.min_mean_logprob"
        assert (await editor.ask((0, 4), Trigger.INVOKED))[0] == "done"
        [missed] = [e for e in editor.outbox.events if isinstance(e, Opportunity)]
        assert (missed.reason, missed.detail) == ("filtered", "unsure")

    timed(test, min_mean_logprob=-0.4)  # the engine's tokens have -0.5
