"""Whole editor sessions: what editors send, and what they get."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.stand_ins.lsp_client import HEAD, URI, LspClient, LspError, texts, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.stand_ins.tgi_app import TgiScript

    Start = Callable[..., Awaitable[LspClient]]


async def test_initialize_names_exactly_what_we_speak(start: Start) -> None:
    client = await start(encodings=["latin-1", "utf-8", "utf-16"])
    assert client.capabilities == {
        "positionEncoding": "utf-8",
        "textDocumentSync": {"openClose": True, "change": 2, "save": False},
        "inlineCompletionProvider": {"workDoneProgress": False},
        "executeCommandProvider": {"commands": ["fimble.accepted", "fimble.explain"]},
        "workspace": {
            "workspaceFolders": {"supported": True, "changeNotifications": True},
            "fileOperations": {},
        },
    }
    assert await client.close() == 0


async def test_a_function_body_is_suggested_with_its_range_and_command(
    start: Start, tgi: TgiScript
) -> None:
    tgi.delay_s = 0.05
    client = await start()
    client.open(HEAD)
    items = await client.items((1, 0))
    assert items is not None
    [item] = items
    place = {"line": 1, "character": 0}
    [completion_id] = item["command"]["arguments"]
    assert len(completion_id) == 32
    assert item == {
        "insertText": "    return a + b",
        "range": {"start": place, "end": place},
        "command": {
            "title": "Accept",
            "command": "fimble.accepted",
            "arguments": [completion_id],
        },
    }
    assert tgi.prompts == [
        f"<|file_sep|>pkg/module.py\n<|fim_suffix|><|fim_prefix|>{HEAD}<|fim_middle|>"
    ]
    assert (await client.explain())["why"] == "a suggestion was sent"
    # The stream was closed as soon as the block was complete.
    await until(lambda: tgi.num_closed_early == 1)
    assert tgi.num_finished == 0


async def test_an_item_starts_at_the_first_character_that_is_not_blank(
    start: Start, tgi: TgiScript
) -> None:
    tgi.answer = lambda _: ["b", "\n"]
    client = await start()
    client.open("    😀 = a + \n")
    [item] = await client.items((0, 13)) or []
    assert item["insertText"] == "😀 = a + b"
    assert item["range"] == {
        "start": {"line": 0, "character": 4},
        "end": {"line": 0, "character": 13},
    }


async def test_with_text_behind_the_cursor_the_range_is_empty(start: Start, tgi: TgiScript) -> None:
    tgi.answer = lambda _: ["x", ",", " y", ")", "\n"]
    client = await start(encodings=["utf-8"])
    client.open("é = f()\n")
    [item] = await client.items((0, 7)) or []
    place = {"line": 0, "character": 7}
    assert (item["insertText"], item["range"]) == ("x, y", {"start": place, "end": place})


async def test_line_ends_are_those_of_the_document(start: Start, tgi: TgiScript) -> None:
    tgi.answer = lambda _: ["    a()", "\n", "    b()", "\n", "\n", "\n"]
    client = await start()
    client.open("if x:\r\n\r\nz = 1\r\n")
    assert texts(await client.items((1, 0))) == ["    a()\r\n    b()"]
    assert "\r" not in tgi.prompts[0]


async def test_neovim_gets_lf_because_its_lines_hold_no_line_ends(
    start: Start, tgi: TgiScript
) -> None:
    tgi.answer = lambda _: ["    a()", "\n", "    b()", "\n", "\n", "\n"]
    client = await start(name="Neovim")
    client.open("if x:\r\n\r\nz = 1\r\n")
    assert texts(await client.items((1, 0))) == ["    a()\n    b()"]


async def test_a_request_that_cannot_be_answered_says_why(start: Start) -> None:
    client = await start()
    client.open("x\n")
    assert await client.items((9, 0)) == []
    explained = await client.explain()
    assert explained["why"] == "the position is outside the document"
    assert explained["detail"] == "line 9 is outside the document, whose lines are 0 to 1"
    client.open("x" * 3_000_000)
    assert await client.items((0, 1)) == []
    why = (await client.explain())["why"]
    assert why == "the document is larger than completion.max_document_bytes"
    assert client.messages == []


async def test_documents_of_every_kind_leave_the_session_alive(
    start: Start, tgi: TgiScript
) -> None:
    client = await start()
    client.open("x = 1\n" * 3_400_000, uri="file:///huge.py")
    assert await client.items((5, 5), uri="file:///huge.py") == []
    client.change(((0, 0), (3_000_000, 0), ""), ((0, 0), (300_000, 0), ""), uri="file:///huge.py")
    assert texts(await client.items((0, 0), uri="file:///huge.py")) != []
    client.open("", uri="file:///empty.py")
    assert texts(await client.items((0, 0), uri="file:///empty.py")) == ["    return a + b"]
    garbage = "".join(map(chr, range(256))) * 20 + "\ud800\udfff\ud800 \x00"
    client.open(garbage, uri="file:///garbage.bin", language="binary")
    assert await client.items((3, 3), uri="file:///garbage.bin") is not None
    client.change(((2, 0), (9, 1), "\ud800"), uri="file:///garbage.bin")
    assert await client.items((2, 1), uri="file:///garbage.bin") is not None
    assert await client.items((0, 0), uri="file:///unknown.py") == []
    assert (await client.explain("file:///unknown.py"))["why"] == "the document is not open"
    client.notify("textDocument/didClose", {"textDocument": {"uri": "file:///huge.py"}})
    assert await client.items((0, 0), uri="file:///huge.py") == []
    assert tgi.prompts[1].startswith("<|file_sep|>empty.py\n")
    assert client.messages == []
    assert await client.close() == 0


async def test_a_disabled_language_gets_nothing(start: Start, tgi: TgiScript) -> None:
    client = await start(
        options={"engine": {"tgi_url": tgi.url}, "completion": {"disabled_languages": ["python"]}}
    )
    client.open(HEAD)
    assert await client.items((1, 0)) == []
    why = (await client.explain())["why"]
    assert why == "the language is listed in completion.disabled_languages"


async def test_white_space_is_no_suggestion(start: Start, tgi: TgiScript) -> None:
    client = await start()
    for number, tokens in enumerate(([], [" ", " "], ["\n"], ["  \n", "  \n", "\n"])):
        tgi.answer = lambda _, tokens=tokens: tokens
        uri = f"file:///{number}.py"
        client.open("x = 1\n\n", uri=uri)
        assert await client.items((1, 0), uri=uri) == []
        assert (await client.explain(uri))["why"] == "the model suggests nothing here"


async def test_of_a_burst_of_requests_only_the_last_is_answered(
    start: Start, tgi: TgiScript
) -> None:
    client = await start(
        options={
            "engine": {"tgi_url": tgi.url, "failover": False},
            "completion": {"debounce_ms": 100, "deadline_ms": 0},
        }
    )
    client.open("\n")
    answers = []
    for number, char in enumerate("import"):
        client.type((0, number), char)
        answers.append(client.ask((0, number + 1)))
    results = await asyncio.wait_for(asyncio.gather(*answers), 30)
    assert results[:-1] == [None] * 5
    assert texts(results[-1]["items"]) == ["import    return a + b"]
    assert len(tgi.prompts) == 1


async def test_the_running_stream_goes_on_while_the_user_types_what_it_says(
    start: Start, tgi: TgiScript
) -> None:
    tgi.delay_s = 0.2
    client = await start()
    client.open("x = 1\n\n")
    first = client.ask((1, 0))
    await until(lambda: len(tgi.prompts) == 1)
    for column, char in enumerate("    re"):
        client.type((1, column), char)
    assert await first is None
    assert texts(await client.items((1, 6))) == ["return a + b"]
    assert (await client.explain())["cache"] == "stream"
    assert len(tgi.prompts) == 1


async def test_the_stream_is_closed_at_the_first_difference(start: Start, tgi: TgiScript) -> None:
    tgi.delay_s = 0.1
    tgi.answer = lambda prompt: ["q", "q", "q", "q", "\n"] if "z<" in prompt else ["a"] * 50
    client = await start()
    client.open("x = \n")
    first = client.ask((0, 4))
    await until(lambda: len(tgi.prompts) == 1)
    client.type((0, 4), "z")
    assert await first is None
    await until(lambda: tgi.num_closed_early == 1)
    assert texts(await client.items((0, 5))) == ["x = zqqqq"]
    assert len(tgi.prompts) == 2


async def test_a_stream_that_leaves_what_was_typed_ahead_is_replaced(
    start: Start, tgi: TgiScript
) -> None:
    tgi.delay_s = 0.3
    tgi.answer = lambda prompt: ["c", "\n"] if "ab<" in prompt else ["a", "x", "y", "z", "\n"]
    client = await start()
    client.open("x = \n")
    first = client.ask((0, 4))
    await until(lambda: len(tgi.prompts) == 1)
    client.type((0, 4), "a")
    client.type((0, 5), "b")
    assert await first is None
    assert texts(await client.items((0, 6))) == ["x = abc"]


async def test_a_cancelled_request_is_answered_and_its_stream_goes_on(
    start: Start, tgi: TgiScript
) -> None:
    tgi.delay_s = 0.1
    client = await start()
    client.open(HEAD)
    cancelled = client.ask((1, 0))
    await until(lambda: len(tgi.prompts) == 1)
    client.cancel(cancelled)
    with pytest.raises(LspError, match="-32800"):
        await asyncio.wait_for(cancelled, 30)
    assert texts(await client.items((1, 0))) == ["    return a + b"]
    assert len(tgi.prompts) == 1


async def test_typing_along_is_answered_from_the_screen_and_back_again_from_the_cache(
    start: Start, tgi: TgiScript
) -> None:
    tgi.answer = lambda _: ["    result", " + b", "\n"]
    client = await start()
    client.open("x = \n")
    [first] = await client.items((0, 4)) or []
    client.type((0, 4), "    r")
    [rest] = await client.items((0, 9)) or []
    assert rest["insertText"] == "x =     result + b"
    assert rest["command"] == first["command"]
    assert (await client.explain())["cache"] == "typed"
    tgi.answer = lambda _: ["other", "\n"]
    client.type((0, 9), "z")
    assert texts(await client.items((0, 10))) == ["x =     rzother"]
    client.change(((0, 9), (0, 10), ""))
    [again] = await client.items((0, 9)) or []
    assert again["insertText"] == "x =     result + b"
    assert again["command"] != first["command"]
    assert (await client.explain())["cache"] == "cache"
    assert len(tgi.prompts) == 2


async def test_what_follows_an_accepted_suggestion_is_begun_before_the_editor_asks(
    start: Start, tgi: TgiScript
) -> None:
    client = await start()
    client.open(HEAD)
    await client.items((1, 0))
    client.type((1, 0), "    return a + b")
    await until(lambda: len(tgi.prompts) == 2)
    assert tgi.prompts[1].endswith("    return a + b<|fim_middle|>")


async def test_a_bracket_that_the_editor_closed_is_not_suggested_again(
    start: Start, tgi: TgiScript
) -> None:
    tgi.answer = lambda _: ["foo", "(", "bar", ")", "\n"]
    client = await start()
    client.open("x = \n")
    assert texts(await client.items((0, 4))) == ["x = foo(bar)"]
    for column, text in ((4, "f"), (5, "o"), (6, "o"), (7, "()")):
        client.type((0, column), text)
    assert texts(await client.items((0, 8))) == ["bar"]
    assert len(tgi.prompts) == 1


async def test_a_selected_popup_entry_starts_the_item(start: Start, tgi: TgiScript) -> None:
    tgi.answer = lambda _: ["(", "a", ")", "\n"]
    client = await start()
    client.open("print(pr)\n")
    span = {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 8}}
    selected = {"range": span, "text": "process"}
    [item] = await client.items((0, 8), selectedCompletionInfo=selected) or []
    assert (item["insertText"], item["range"]) == ("process(a)", span)
    assert "<|fim_prefix|>print(process<" in tgi.prompts[0]
    client.change(((0, 6), (0, 8), "process"))
    assert texts(await client.items((0, 13))) == ["(a)"]
    assert len(tgi.prompts) == 1


async def test_editors_without_ghost_text_get_the_popup(start: Start, tgi: TgiScript) -> None:
    tgi.answer = lambda _: ["vious", " + 1", "\n"]
    client = await start(inline=False)
    assert client.capabilities["completionProvider"] == {
        "triggerCharacters": [".", "(", " ", "=", ":", ","]
    }
    client.open("x = pre\n")
    place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 7}}
    answer = await client.request("textDocument/completion", place)
    [item] = answer["items"]
    assert answer["isIncomplete"] is True
    assert item["label"] == "previous + 1"
    assert item["textEdit"] == {
        "range": {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 7}},
        "newText": "previous + 1",
    }
