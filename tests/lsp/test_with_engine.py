"""Sessions with the embedded engine: processes, memory of prompts, sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import urllib.request
from typing import TYPE_CHECKING

import psutil
import pytest

from fimble.events import SCHEMA_VERSION
from tests.engine.conftest import endless_model
from tests.stand_ins.lsp_client import URI, LspClient, events_in, start_client, until
from tests.stand_ins.tiny_model import llama_config
from training.export.quantise import Quantisation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.stand_ins.tgi_app import TgiScript

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LONG = "".join(f"value_{n} = compute(value_{n - 1}, {n})\n" for n in range(200))


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never ends by itself, and is slow enough to be killed while it writes."""
    config = llama_config(
        hidden_size=512, intermediate_size=1536, num_hidden_layers=6, heads=(8, 4)
    )
    return endless_model(config, Quantisation.INT8, tmp_path_factory)


@pytest.fixture
async def client(
    environment: dict[str, str], slow_model: Path, tmp_path: Path
) -> AsyncIterator[LspClient]:
    """A session whose engine ends with the test."""
    client = await start_client({**environment, "FIMBLE_MODEL": str(slow_model)})
    completion = {"debounce_ms": 0, "max_new_tokens": 200, "deadline_ms": 0}
    await client.initialize(options={"completion": completion, "engine": {"threads": 1}})
    yield client
    await client.kill()
    for path in (tmp_path / "state").glob("engine-*.json"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(path.read_text())["pid"], signal.SIGTERM)


def engine_pid(tmp_path: Path) -> int:
    [path] = (tmp_path / "state").glob("engine-*.json")
    return json.loads(path.read_text())["pid"]


def engine_counters(tmp_path: Path) -> dict[str, float]:
    """Return what the engine says about its work so far."""
    [path] = (tmp_path / "state").glob("engine-*.json")
    with urllib.request.urlopen(f"{json.loads(path.read_text())['url']}/metrics") as answer:  # noqa: S310 - our own engine
        lines = answer.read().decode().splitlines()
    pairs = [line.split() for line in lines if line.startswith("fimble_")]
    return {name: float(value) for name, value in pairs}


async def test_an_engine_killed_in_mid_answer_is_started_again(
    client: LspClient, tmp_path: Path, spool: Path
) -> None:
    client.open(LONG)
    await until(lambda: len(list((tmp_path / "state").glob("engine-*.json"))) == 1)
    first = engine_pid(tmp_path)
    answer = client.ask((199, 5))
    log = next((tmp_path / "state").glob("engine-*.log"))
    await asyncio.sleep(0.3)
    os.kill(first, signal.SIGKILL)
    result = await asyncio.wait_for(answer, 60)
    assert result is not None
    client.type((100, 0), "x")
    # The first request after the kill may still meet the dead engine.
    for _ in range(5):
        await asyncio.wait_for(client.ask((100, 1)), 60)
        if (await client.explain(URI))["why"] != "the engine failed":
            break
    assert (await client.explain(URI))["why"] in {
        "a suggestion was sent",
        "the model suggests nothing here",
    }
    assert engine_pid(tmp_path) != first
    assert len(client.messages) <= 1
    assert await client.close() == 0
    assert "value_" not in log.read_text()
    events = events_in(spool)
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert {event["v"] for event in events} == {SCHEMA_VERSION}


async def test_typing_on_computes_only_what_is_new_and_nothing_leaves_the_machine(
    client: LspClient, tmp_path: Path, spool: Path
) -> None:
    seen: set[str] = set()
    answers = 0

    def look() -> None:
        pids = [client.process.pid, engine_pid(tmp_path)]
        for process in map(psutil.Process, pids):
            for connection in process.net_connections(kind="inet"):
                seen.update(a.ip for a in (connection.laddr, connection.raddr) if a)

    client.open(f"x = '<|fim_middle|>'\n{LONG}")
    await until(lambda: len(list((tmp_path / "state").glob("engine-*.json"))) == 1)
    for column, text in enumerate("abc def"):
        client.type((200, column), text)
        answer = client.ask((200, column + 1))
        while not answer.done():
            look()
            await asyncio.sleep(0.01)
        answers += answer.result() is not None
    assert answers == len("abc def")
    assert seen == {"127.0.0.1"}
    assert client.messages == []
    counted = await asyncio.to_thread(engine_counters, tmp_path)
    # Only the first prompt is new; of the others, the engine knows all but the last tokens.
    assert counted["fimble_prompt_tokens_total"] > 7 * 500
    assert counted["fimble_cached_tokens_total"] > 0.8 * counted["fimble_prompt_tokens_total"]
    [log] = (tmp_path / "state").glob("engine-*.log")
    assert await client.close() == 0
    assert "<|fim_middle|>" not in log.read_text()
    # Lines are complete before the engine is: its first token has said how long the prompt was.
    served = [event for event in events_in(spool) if event["ev"] == "served"]
    assert served
    assert min(event["prompt_tokens"] for event in served) > 500
    assert served[-1]["cached_tokens"] > 0.8 * served[-1]["prompt_tokens"]


async def test_the_embedded_engine_answers_while_a_server_does_not_and_events_say_so(
    environment: dict[str, str], slow_model: Path, tmp_path: Path, tgi: TgiScript
) -> None:
    tgi.refuses = (429, {"error": "Model is overloaded", "error_type": "overloaded"})
    client = await start_client({**environment, "FIMBLE_MODEL": str(slow_model)})
    completion = {"debounce_ms": 0, "max_new_tokens": 4, "deadline_ms": 0}
    engine = {"tgi_url": tgi.url, "threads": 1, "idle_exit_s": 20}
    await client.initialize(options={"completion": completion, "engine": engine})
    client.open(LONG)
    await client.items((3, 5))
    explained = await client.explain()
    assert explained["trouble"] == "Model is overloaded"
    assert client.messages == [
        "Fimble: Model is overloaded; the embedded engine answers until it does"
    ]
    tgi.refuses = None
    for column in range(6, 60):  # requests elsewhere, until a probe has found the server
        await client.items((column, 3))
        if len(tgi.prompts) > 2:
            break
        await asyncio.sleep(0.2)
    assert (await client.explain())["backend"] == "tgi"
    assert await client.close() == 0
    kinds = ("served", "opportunity")
    backends = {e["backend"] for e in events_in(tmp_path / "data" / "spool") if e["ev"] in kinds}
    assert backends == {"embedded", "tgi"}
