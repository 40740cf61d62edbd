"""Notebooks: cells are documents, and their code is one text to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fimble.text import PositionEncoding
from lsp_server.documents import Documents, Place
from lsp_server.notebooks import Cell, Notebooks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.stand_ins.lsp_client import LspClient
    from tests.stand_ins.tgi_app import TgiScript

BOOK = "file:///project/area.ipynb"
CAPABILITIES = {"notebookDocument": {"synchronization": {"dynamicRegistration": False}}}


def cell_uri(name: str) -> str:
    return f"vscode-notebook-cell:/project/area.ipynb#{name}"


def cell(name: str, kind: int = 2) -> dict[str, object]:
    return {"kind": kind, "document": cell_uri(name)}


def item(name: str, text: str, language: str = "python") -> dict[str, object]:
    return {"uri": cell_uri(name), "languageId": language, "version": 1, "text": text}


def open_book(client: LspClient) -> None:
    cells = [cell("a"), cell("t", 1), cell("s"), cell("b"), cell("c")]
    texts = [
        item("a", "width = 3\nheight = 4"),
        item("t", "# Some text 🙂", "markdown"),
        item("s", "select 1", "sql"),
        item("b", "area = "),
        item("c", "print(area)\n"),
    ]
    book = {"uri": BOOK, "notebookType": "jupyter-notebook", "version": 1, "cells": cells}
    params = {"notebookDocument": book, "cellTextDocuments": texts}
    client.notify("notebookDocument/didOpen", params)


def change_book(client: LspClient, cells: dict[str, object] | None) -> None:
    change = {} if cells is None else {"cells": cells}
    params = {"notebookDocument": {"uri": BOOK, "version": 2}, "change": change}
    client.notify("notebookDocument/didChange", params)


async def test_code_of_the_cells_above_and_below_is_in_the_prompt(
    start: Callable[..., Awaitable[LspClient]], tgi: TgiScript
) -> None:
    tgi.answer = lambda _: ["width", " *", " height", "\n"]
    client = await start(capabilities=CAPABILITIES)
    sync = client.capabilities["notebookDocumentSync"]
    assert sync == {"notebookSelector": [{"notebook": "*"}]}
    open_book(client)

    [found] = await client.items((0, 7), uri=cell_uri("b"))

    assert found["insertText"] == "area = width * height"
    assert found["range"]["start"] == {"line": 0, "character": 0}
    [prompt] = tgi.prompts
    assert "width = 3\nheight = 4\narea = <|fim_middle|>" in prompt
    assert "<|fim_suffix|>\nprint(area)\n<|fim_prefix|>" in prompt
    assert "text" not in prompt
    assert "select" not in prompt


async def test_cells_may_change_move_come_and_go(
    start: Callable[..., Awaitable[LspClient]], tgi: TgiScript
) -> None:
    client = await start(capabilities=CAPABILITIES)
    open_book(client)
    span = {"start": {"line": 0, "character": 8}, "end": {"line": 0, "character": 9}}
    changed = {"uri": cell_uri("a"), "version": 2}
    change_book(
        client, {"textContent": [{"document": changed, "changes": [{"range": span, "text": "30"}]}]}
    )
    array = {"start": 1, "deleteCount": 2, "cells": [cell("n")]}
    structure = {
        "array": array,
        "didOpen": [item("n", "depth = 5")],
        "didClose": [{"uri": cell_uri("t")}, {"uri": cell_uri("s")}],
    }
    change_book(client, {"structure": structure})
    change_book(client, None)
    await client.items((0, 7), uri=cell_uri("b"))
    assert "width = 30\nheight = 4\ndepth = 5\narea = <|fim_middle|>" in tgi.prompts[-1]

    change_book(client, {"data": [cell("n", 1)]})
    change_book(client, {"structure": {"array": {"start": 3, "deleteCount": 1}}})
    await client.items((0, 6), uri=cell_uri("b"))
    assert "height = 4\narea =<|fim_middle|>" in tgi.prompts[-1]
    assert "print" not in tgi.prompts[-1]

    closed = [{"uri": cell_uri(name)} for name in "anbc"]
    params = {"notebookDocument": {"uri": BOOK}, "cellTextDocuments": closed}
    client.notify("notebookDocument/didClose", params)
    assert await client.items((0, 0), uri=cell_uri("b")) == []
    assert (await client.explain(cell_uri("b")))["why"] == "the document is not open"
    assert client.messages == []


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_place_is_found_again_in_the_whole(line_end: str) -> None:
    documents = Documents(PositionEncoding.UTF16)
    books = Notebooks(documents)
    texts = {"a": f"one{line_end}", "b": "", "c": f"two{line_end}three 🙂", "d": "four"}
    for name, text in texts.items():
        documents.open(name, "python", 1, text)
    books.opened("book", [Cell(name, is_code=True) for name in "abcd"] + [Cell("gone", True)])  # noqa: FBT003 - a row
    document = documents.get("c")
    assert document is not None
    whole, place = books.whole(document, Place(1, 3))
    assert whole.text.replace("\r\n", "\n") == "one\n\n\ntwo\nthree 🙂\nfour"
    assert place == Place(4, 3)
    assert whole.head(place) == "thr"
    assert document.text == texts["c"]
    books.rearranged("unknown", (0, 1), [])
    books.rearranged("book", (-5, 99), [])
    assert books.whole(document, Place(1, 3)) == (document, Place(1, 3))
    assert "c" not in books
