"""Code of other files for prompts: chosen in the background, frozen by region, never stale."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fimble.clock import SystemClock
from fimble.fim import Snippet
from fimble.settings import ContextSettings, ContextUse
from fimble.text import Position, PositionEncoding
from lsp_server.context.source import ContextSource
from lsp_server.documents import Documents, Place, Range

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHOP = (
    'class Till:\n    """Where money goes."""\n\n'
    "    def add(self, coins: int) -> int:\n        return 1\n"
)
SHOP_OUTLINE = 'class Till:\n    """Where money goes."""\n    def add(self, coins: int) -> int:\n'
MAIN = "from shop import Till\n\ntill = Till()\n" + "x = 1\n" * 200
SETTINGS = ContextSettings(enabled=ContextUse.ON)


class Workspace:
    """A folder with an editor session in it."""

    def __init__(self, root: Path, settings: ContextSettings = SETTINGS) -> None:
        self.root = root
        self.documents = Documents()
        self.source = ContextSource(settings, self.documents, [root.as_uri()], clock=SystemClock())

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def open(self, path: str, text: str) -> str:
        uri = (self.root / path).as_uri()
        self.documents.open(uri, "python", 1, text)
        self.source.opened(uri)
        return uri

    def edit(self, uri: str, line: int, text: str) -> None:
        document = self.documents.get(uri)
        assert document is not None
        span = Range(Position(line, 0), Position(line + 1, 0))
        self.source.edited(document, document.replace(span, text, PositionEncoding.UTF16))

    async def complete(self) -> None:
        """Wait until every file is read."""
        async with asyncio.timeout(30):
            while self.source.explain("")["state"] != "complete":
                await asyncio.sleep(0.01)

    async def chosen(self, uri: str, line: int) -> tuple[Snippet, ...]:
        """Ask at a line, and return what is chosen for it in the end."""
        document = self.documents.get(uri)
        assert document is not None
        self.source.prepare(document, Place(line, 0))
        async with asyncio.timeout(30):
            while uri in self.source._asked:
                await asyncio.sleep(0.005)
        return self.source.snippets(uri)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace(tmp_path)
    made.write("shop.py", SHOP)
    made.write("main.py", MAIN)
    yield made
    made.source.close()


async def test_declarations_of_an_imported_file_are_found_in_the_workspace(
    workspace: Workspace,
) -> None:
    uri = workspace.open("main.py", MAIN)
    workspace.source.start(is_trained=False)
    await workspace.complete()
    assert await workspace.chosen(uri, 3) == (Snippet(path="shop.py", text=SHOP_OUTLINE),)
    assert workspace.source.explain(uri) == {
        "state": "complete",
        "num_files": 2,
        "num_snippets": 1,
        "snippet_bytes": len(f"shop.py\n{SHOP_OUTLINE}"),
        "paths": ["shop.py"],
    }


async def test_a_selection_stays_within_a_region_and_follows_imports(workspace: Workspace) -> None:
    uri = workspace.open("main.py", MAIN)
    shop = workspace.open("shop.py", SHOP)
    workspace.source.start(is_trained=False)
    await workspace.complete()
    first = await workspace.chosen(uri, 3)
    assert await workspace.chosen(uri, 40) is first
    workspace.edit(shop, 3, "    def take(self, till: int) -> int:\n")
    # What is open counts, saved or not; and what was edited is shown itself.
    edited, declared = await workspace.chosen(uri, 40)
    assert "def take(self, till: int) -> int:\n        return 1\n" in edited.text
    assert declared.text == SHOP_OUTLINE.replace("add(self, coins: int)", "take(self, till: int)")
    workspace.edit(shop, 4, "        return 2\n")
    assert "return 1" in (await workspace.chosen(uri, 40))[0].text  # no new place
    assert "return 2" in (await workspace.chosen(uri, 70))[0].text
    workspace.edit(uri, 2, "x = 2\n")
    workspace.edit(uri, 0, "import os\n")
    assert await workspace.chosen(uri, 70) == ()


async def test_what_is_closed_without_saving_is_forgotten(workspace: Workspace) -> None:
    uri = workspace.open("main.py", MAIN)
    shop = workspace.open("shop.py", SHOP.replace("Till", "Unsaved"))
    workspace.source.start(is_trained=False)
    await workspace.complete()
    await workspace.chosen(uri, 3)
    workspace.documents.close(shop)
    workspace.source.closed(shop)
    assert await workspace.chosen(uri, 70) == (Snippet(path="shop.py", text=SHOP_OUTLINE),)


async def test_text_with_a_secret_in_it_is_held_back(workspace: Workspace) -> None:
    workspace.write("shop.py", f"{SHOP}\nTill.password = 'correct-horse-battery'\n")
    workspace.write("secrets.py", "class Till:\n    pass\n")
    uri = workspace.open(
        "main.py", "from shop import Till\nfrom secrets import Till\nTill.password = \n"
    )
    workspace.source.start(is_trained=False)
    await workspace.complete()
    for snippet in await workspace.chosen(uri, 2):
        assert snippet.path == "shop.py"
        assert "correct-horse" not in snippet.text


async def test_an_open_document_that_the_project_ignores_is_never_shown(
    workspace: Workspace,
) -> None:
    workspace.write(".fimbleignore", "shop.py\n")
    uri = workspace.open("main.py", MAIN)
    workspace.open("shop.py", SHOP)
    workspace.source.start(is_trained=False)
    await workspace.complete()
    assert await workspace.chosen(uri, 3) == ()


@pytest.mark.parametrize(
    ("settings", "is_trained", "runs"),
    [
        (ContextSettings(), False, False),
        (ContextSettings(), True, True),
        (ContextSettings(enabled=ContextUse.OFF), True, False),
        (ContextSettings(enabled=ContextUse.ON), False, True),
        (ContextSettings(enabled=ContextUse.ON, budget_bytes=0), True, False),
    ],
    ids=["auto, not trained", "auto", "off", "on", "no budget"],
)
async def test_it_runs_where_the_model_knows_such_prompts_or_the_user_says_so(
    tmp_path: Path, settings: ContextSettings, *, is_trained: bool, runs: bool
) -> None:
    workspace = Workspace(tmp_path, settings)
    uri = workspace.open("main.py", MAIN)
    workspace.source.start(is_trained=is_trained)
    assert (workspace.source.explain(uri)["state"] != "off") is runs
    assert await workspace.chosen(uri, 3) == ()
    workspace.source.close()


async def test_a_document_outside_of_the_workspace_gets_nothing(workspace: Workspace) -> None:
    workspace.source.start(is_trained=True)
    uri = "untitled:Untitled-1"
    workspace.documents.open(uri, "python", 1, MAIN)
    assert await workspace.chosen(uri, 3) == ()
