"""What a session sends to the engine: code of other files first, and only where it may."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.stand_ins.lsp_client import events_in, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.stand_ins.lsp_client import LspClient
    from tests.stand_ins.tgi_app import TgiScript

SHOP = "class Till:\n    def add(self, coins: int) -> int:\n        return coins\n"
OUTLINE = "class Till:\n    def add(self, coins: int) -> int:\n"
MAIN = "from shop import Till\n\ntill = Till()\n"


async def asked_until(client: LspClient, tgi: TgiScript, uri: str, text: str) -> str:
    """Type and ask until a prompt holds a text, and return that prompt."""
    async with asyncio.timeout(60):
        for number in range(400):
            client.change(((3, 0), (3, 99), f"x{number} = "), uri=uri)
            await client.items((3, len(f"x{number} = ")), uri=uri)
            if text in tgi.prompts[-1]:
                return tgi.prompts[-1]
            await asyncio.sleep(0.05)
    raise AssertionError(tgi.prompts[-1])


async def session(
    start: Callable[..., Awaitable[LspClient]], tgi: TgiScript, folder: Path, context: object
) -> tuple[LspClient, str]:
    """Start a session in a folder with two files, one of which is open."""
    (folder / "shop.py").write_text(SHOP)
    (folder / "main.py").write_text(MAIN)
    options = {
        "engine": {"tgi_url": tgi.url, "failover": False},
        "completion": {"debounce_ms": 0, "deadline_ms": 0},
        "context": context,
    }
    client = await start(options=options)
    added = {"uri": folder.as_uri(), "name": "shop"}
    client.notify(
        "workspace/didChangeWorkspaceFolders", {"event": {"added": [added], "removed": []}}
    )
    uri = (folder / "main.py").as_uri()
    client.open(MAIN, uri=uri)
    return client, uri


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "workspace"
    made.mkdir()
    return made


async def test_declarations_of_an_imported_file_stand_before_the_file(
    start: Callable[..., Awaitable[LspClient]], tgi: TgiScript, folder: Path, spool: Path
) -> None:
    tgi.answer = lambda _: ["3", "\n"]
    client, uri = await session(start, tgi, folder, {"enabled": "on"})
    prompt = await asked_until(client, tgi, uri, "class Till")
    assert prompt.startswith(
        f"<|file_sep|>shop.py\n{OUTLINE}<|file_sep|>main.py\n<|fim_suffix|><|fim_prefix|>{MAIN}x"
    )
    explained = await client.explain(uri)
    assert explained["context"] == {
        "state": "complete",
        "num_files": 2,
        "num_snippets": 1,
        "snippet_bytes": len(f"shop.py\n{OUTLINE}"),
        "paths": ["shop.py"],
    }
    await client.close()
    served = [event for event in events_in(spool) if event["ev"] == "served"]
    found = {(event["num_snippets"], event["snippet_bytes"]) for event in served}
    assert (1, len(f"shop.py\n{OUTLINE}")) in found
    assert "shop" not in "".join(map(str, served))  # no code, no paths


async def test_a_model_that_does_not_say_that_it_knows_them_gets_none(
    start: Callable[..., Awaitable[LspClient]], tgi: TgiScript, folder: Path
) -> None:
    client, uri = await session(start, tgi, folder, {})
    await client.items((3, 0), uri=uri)
    await until(lambda: len(tgi.prompts) > 0)
    assert (await client.explain(uri))["context"] == {"state": "off"}
    assert "shop.py" not in tgi.prompts[-1]


async def test_where_the_prompt_is_too_long_code_of_other_files_goes_first(
    start: Callable[..., Awaitable[LspClient]], tgi: TgiScript, folder: Path
) -> None:
    client, uri = await session(start, tgi, folder, {"enabled": "on"})
    whole = await asked_until(client, tgi, uri, "class Till")
    tgi.max_input_chars = len(whole) - 1
    tgi.answer = lambda _: ["(", ")", "\n"]
    num_before = len(tgi.prompts)
    client.change(((3, 0), (3, 99), "y = Till"), uri=uri)
    assert await client.items((3, 8), uri=uri)
    refused, answered = tgi.prompts[num_before:]
    assert "class Till" in refused
    assert answered == refused[refused.index("<|file_sep|>main.py") :]
