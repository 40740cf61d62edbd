"""Sessions that take part in experiments: arms change what is served, and are recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_ins.lsp_client import HEAD, LspClient, events_in
from tests.stand_ins.tgi_app import TgiScript, tgi_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Awaitable[LspClient]]

NUM_DOCUMENTS = 14


@pytest.fixture
def other() -> Iterator[TgiScript]:
    """Run a second engine, which says something else."""
    with tgi_server(TgiScript(answer=lambda _: ["    return", " b"])) as script:
        yield script


def register(folder: Path, url: str, *, unit: str = "request", weight: float = 0.5) -> None:
    today = datetime.now(UTC).date()
    (folder / "experiments").mkdir()
    (folder / "experiments" / "engine.toml").write_text(
        f"""
name = "engine"
unit = "{unit}"
main_metric = "taken_per_opportunity"
minimal_effect = 0.02
start = {today - timedelta(days=1)}
stop = {today + timedelta(days=2)}

[[arms]]
name = "control"
weight = {weight}

[[arms]]
name = "other"
weight = 0.5
tgi_url = "{url}"
"""
    )


def options(tgi: TgiScript, level: str = "keys") -> dict[str, object]:
    return {
        "engine": {"tgi_url": tgi.url, "failover": False},
        "completion": {"debounce_ms": 0, "shown_after_ms": 50, "deadline_ms": 0},
        "telemetry": {"level": level},
    }


def of_kind(spool: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in events_in(spool) if event["ev"] == kind]


async def ask_in_documents(client: LspClient, count: int = NUM_DOCUMENTS) -> list[str]:
    """Return what each of several documents was offered."""
    said = []
    for number in range(count):
        uri = f"file:///p/m{number}.py"
        client.open(HEAD, uri=uri)
        [item] = await client.items((1, 0), uri=uri) or []
        said.append(str(item["insertText"]))
    return said


async def test_each_request_is_answered_by_its_arm_and_says_so(
    start: Start, tgi: TgiScript, other: TgiScript, spool: Path, tmp_path: Path
) -> None:
    register(tmp_path, other.url)
    client = await start(options=options(tgi))
    said = await ask_in_documents(client)
    assert await client.close() == 0
    exposed, served = of_kind(spool, "exposed"), of_kind(spool, "served")
    by_arm = {"control": "    return a + b", "other": "    return b"}
    assert [by_arm[event["arm"]] for event in exposed] == said
    assert {event["arm"] for event in exposed} == {"control", "other"}
    assert [e["opportunity_id"] for e in exposed] == [e["opportunity_id"] for e in served]
    assert {(e["experiment"], e["unit"], e["propensity"]) for e in exposed} == {
        ("engine", "request", 0.5)
    }
    assert len({event["bucket"] for event in exposed}) > 1
    assert len(of_kind(spool, "session_started")[0]["user_key"]) == 32


async def test_a_user_has_one_arm_everywhere(
    start: Start, tgi: TgiScript, other: TgiScript, spool: Path, tmp_path: Path
) -> None:
    register(tmp_path, other.url, unit="user")
    for _ in range(2):
        client = await start(options=options(tgi))
        await ask_in_documents(client, 3)
        assert await client.close() == 0
    exposed = of_kind(spool, "exposed")
    assert len(exposed) == 6
    assert len({(event["arm"], event["bucket"]) for event in exposed}) == 1


async def test_a_burst_of_typing_stays_with_its_arm_and_reuses_its_answers(
    start: Start, tgi: TgiScript, other: TgiScript, spool: Path, tmp_path: Path
) -> None:
    register(tmp_path, other.url)
    client = await start(options=options(tgi))
    client.open(HEAD)
    for _ in range(4):
        assert await client.items((1, 0))
    assert await client.close() == 0
    assert len({event["bucket"] for event in of_kind(spool, "exposed")}) == 1
    assert len(tgi.prompts) + len(other.prompts) == 1


async def test_nobody_takes_part_at_level_metrics(
    start: Start, tgi: TgiScript, other: TgiScript, spool: Path, tmp_path: Path
) -> None:
    register(tmp_path, other.url)
    client = await start(options=options(tgi, "metrics"))
    assert set(await ask_in_documents(client, 4)) == {"    return a + b"}
    assert await client.close() == 0
    assert of_kind(spool, "exposed") == []


async def test_a_broken_registration_is_told_and_stops_no_completion(
    start: Start, tgi: TgiScript, other: TgiScript, spool: Path, tmp_path: Path
) -> None:
    register(tmp_path, other.url, weight=0.7)
    client = await start(options=options(tgi))
    assert await ask_in_documents(client, 1) == ["    return a + b"]
    [message] = client.messages
    assert "no experiment runs" in message
    assert "engine.toml" in message
    assert await client.close() == 0
    assert of_kind(spool, "exposed") == []
