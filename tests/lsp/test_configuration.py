"""Settings that come from the editor while a session runs, with a real `fimble lsp` process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.stand_ins.lsp_client import URI, LspClient, events_in, start_client, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.stand_ins.tgi_app import TgiScript

PULLING = {
    "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}}
}
HEAD = "def add(a, b):\n"


async def say(client: LspClient, settings: object) -> None:
    """Tell the server that the editor's settings have changed."""
    num_asked = len(client.asked)
    client.notify("workspace/didChangeConfiguration", {"settings": settings})
    if settings is None:
        await until(lambda: len(client.asked) > num_asked)
    await client.settle()
    await asyncio.sleep(0.05)
    await client.settle()


async def test_an_editor_that_is_asked_for_settings_gets_them_obeyed_at_once(
    environment: dict[str, str], tgi: TgiScript
) -> None:
    client = await start_client(environment)
    completion = {"debounce_ms": 0, "deadline_ms": 0}
    engine = {"tgi_url": tgi.url, "failover": False}
    client.answers["workspace/configuration"] = [{"completion": completion, "engine": engine}]
    await client.initialize(capabilities=PULLING)
    await until(lambda: len(client.asked) == 2)
    registered, asked = client.asked
    assert registered["method"] == "client/registerCapability"
    [registration] = registered["params"]["registrations"]
    assert registration["method"] == "workspace/didChangeConfiguration"
    assert registration["registerOptions"] == {"section": "fimble"}
    assert asked["params"]["items"] == [{"scopeUri": "file:///project", "section": "fimble"}]
    client.open(HEAD)
    assert await client.items((1, 0))

    off = {"completion": {**completion, "disabled_languages": ["python"]}, "engine": engine}
    client.answers["workspace/configuration"] = [off]
    await say(client, None)
    client.type((1, 0), "    ")
    assert await client.items((1, 4)) == []
    assert (await client.explain())["why"].startswith("the language is listed in completion")

    client.answers["workspace/configuration"] = [{"completion": completion, "engine": engine}]
    await say(client, None)
    assert await client.items((1, 4))  # the document that is open is known still
    assert client.messages == []
    assert await client.close() == 0


async def test_settings_that_do_not_fit_are_told_and_the_former_stay(
    start: Callable[..., Awaitable[LspClient]],
) -> None:
    client = await start()
    client.open(HEAD)
    for settings, message in (
        ({"fimble": {"completion": {"debounce_ms": -1}}}, "debounce_ms is -1"),
        ({"fimble": {"colour": 1}}, "the editor's settings: unknown key colour"),
        ({"fimble": {"telemetry": {"level": "content"}}}, "only that file can raise it"),
    ):
        num_messages = len(client.messages)
        client.notify("workspace/didChangeConfiguration", {"settings": settings})
        await until(lambda num=num_messages: len(client.messages) > num)
        assert message in client.messages[-1]
        assert client.messages[-1].endswith("; the settings of before stay in force")
    for settings in (None, {}, {"other": {"completion": 1}}, [], 3, {"fimble": None}):
        await say_nothing(client, settings)
    assert await client.items((1, 0))
    assert len(client.messages) == 3


async def say_nothing(client: LspClient, settings: object) -> None:
    client.notify("workspace/didChangeConfiguration", {"settings": settings})
    await client.settle()


async def test_who_switches_telemetry_off_is_not_recorded_from_then_on(
    start: Callable[..., Awaitable[LspClient]], spool: Path
) -> None:
    client = await start()
    client.open(HEAD)
    assert await client.items((1, 0))
    await say(client, {"fimble": {"telemetry": {"level": "off"}}})
    client.type((1, 0), "    x")
    assert await client.items((1, 5)) is not None
    assert await client.close() == 0
    kinds = [event["ev"] for event in events_in(spool) if event["ev"] != "shown"]
    assert kinds == ["session_started", "served", "session_ended"]  # neither what became of it


async def test_an_engine_that_starts_slowly_is_shown_as_work_in_progress(
    environment: dict[str, str], tgi: TgiScript
) -> None:
    tgi.info_delay_s = 0.6
    client = await start_client(environment)
    options = {"engine": {"tgi_url": tgi.url, "failover": False}}
    await client.initialize(options=options, capabilities={"window": {"workDoneProgress": True}})
    await until(lambda: len(client.notified) == 2)
    [created] = client.asked
    token = created["params"]["token"]
    assert [each["params"]["token"] for each in client.notified] == [token, token]
    begun, ended = (each["params"]["value"] for each in client.notified)
    assert (begun["kind"], begun["title"], begun["message"]) == (
        "begin",
        "Fimble",
        "starting the engine",
    )
    assert ended["kind"] == "end"
    client.open(HEAD, uri=URI)
    assert await client.close() == 0
