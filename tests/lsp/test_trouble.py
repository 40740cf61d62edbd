"""Sessions in which something is wrong: engines, configurations, messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.stand_ins.lsp_client import HEAD, URI, LspClient, LspError, texts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.stand_ins.tgi_app import TgiScript

    Start = Callable[..., Awaitable[LspClient]]


async def test_a_prompt_too_long_for_the_model_is_halved_and_the_size_remembered(
    start: Start, tgi: TgiScript
) -> None:
    tgi.max_input_chars = 1100
    client = await start()
    client.open("x = 1\n\n" * 1000)
    assert texts(await client.items((501, 0))) == ["    return a + b"]
    sizes = [len(prompt) for prompt in tgi.prompts]
    assert len(sizes) == 3
    assert sizes[-1] <= 1100 < sizes[-2]
    assert texts(await client.items((201, 0))) == ["    return a + b"]
    assert len(tgi.prompts) == 4
    assert client.messages == []


async def test_text_that_spells_a_sentinel_is_not_sent_to_an_engine_that_would_obey(
    start: Start, tgi: TgiScript
) -> None:
    client = await start()
    client.open("x = '<|fim_middle|>'\n")
    assert await client.items((1, 0)) == []
    assert tgi.prompts == []
    [message] = client.messages
    assert message.startswith("Fimble: the text holds the sentinel '<|fim_middle|>'")


async def test_an_engine_that_refuses_is_reported_once_and_asked_again(
    start: Start, tgi: TgiScript
) -> None:
    tgi.refuses = (429, {"error": "Model is overloaded", "error_type": "overloaded"})
    client = await start()
    client.open(HEAD)
    assert await client.items((1, 0)) == []
    assert await client.items((1, 0)) == []
    assert client.messages == ["Fimble: Model is overloaded"]
    assert (await client.explain())["why"] == "the engine failed"
    tgi.refuses = None
    assert texts(await client.items((1, 0))) == ["    return a + b"]


async def test_an_engine_that_dies_in_mid_answer_leaves_the_session_alive(
    start: Start, tgi: TgiScript
) -> None:
    tgi.dies_after = 2
    client = await start()
    client.open(HEAD)
    assert await client.items((1, 0)) == []
    assert len(client.messages) == 1
    tgi.dies_after = None
    assert texts(await client.items((1, 0))) == ["    return a + b"]


async def test_a_session_ends_while_an_engine_that_is_silent_is_waited_for(start: Start) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        client = await start(options={"engine": {"tgi_url": f"http://127.0.0.1:{port}"}})
        client.open(HEAD)
        client.ask((1, 0))
        await client.settle()
        assert await client.close() == 0


async def test_a_state_folder_that_is_a_file_is_named(
    start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    environment["FIMBLE_STATE_DIR"] = str(tmp_path / "file")
    client = await start(options={})
    client.open(HEAD)
    assert await client.items((1, 0)) == []
    [message] = client.messages
    assert message.startswith("Fimble: the engine cannot be started: ")
    assert message.endswith(f"go into {tmp_path / 'file'}, FIMBLE_STATE_DIR names another folder")


async def test_an_unknown_key_is_named_and_the_defaults_hold(
    start: Start, tgi: TgiScript, tmp_path: Path
) -> None:
    (tmp_path / "fimble.toml").write_text(f'[engine]\ntgi_url = "{tgi.url}"\n')
    client = await start(options={"completion": {"debounce": 3}})
    client.open(HEAD)
    assert texts(await client.items((1, 0))) == ["    return a + b"]
    [message] = client.messages
    assert message.startswith(
        "Fimble: initializationOptions: completion: unknown key debounce; allowed are "
    )


async def test_a_broken_configuration_file_is_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "fimble.toml").write_text("[engine\n")
    client = await start()
    await client.settle()
    [message] = client.messages
    assert message.startswith(f"Fimble: {tmp_path / 'fimble.toml'} is not valid TOML")


async def test_prompts_name_the_file_within_its_innermost_folder(
    start: Start, tgi: TgiScript
) -> None:
    client = await start()
    added = [{"uri": "file:///project/deep%20er", "name": "x"}]
    client.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": added, "removed": []}})
    for uri in ("file:///project/deep%20er/a.py", "file:///tmp/b.py", "untitled:c.py"):
        client.open("x = \n", uri=uri)
        await client.items((0, 4), uri=uri)
    names = [prompt.partition("\n")[0] for prompt in tgi.prompts]
    assert names == ["<|file_sep|>a.py", "<|file_sep|>b.py", "<|file_sep|>c.py"]


async def test_a_request_of_an_unknown_kind_leaves_the_session_alive(start: Start) -> None:
    client = await start()
    with pytest.raises(LspError, match="-32601"):
        await client.request("textDocument/nonsense", {"textDocument": {"uri": URI}})
    client.send("textDocument/inlineCompletion", {"nonsense": True})
    with pytest.raises(LspError, match="-32602"):
        await client.run("fimble.nonsense")
    client.notify("textDocument/didShowCompletion", {"item": 3})
    client.notify("textDocument/didPartiallyAcceptCompletion", None)
    client.notify("workspace/didChangeConfiguration", {"settings": {}})
    await client.run("fimble.accepted")
    await client.run("fimble.accepted", {"not": "a name"})
    assert await client.close() == 0
