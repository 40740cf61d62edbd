"""What sessions leave behind: events, a log, and no traces elsewhere."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import psutil

from fimble.events import HORIZONS_S
from fimble.locks import try_lock
from fimble.spool import CLOSED_SUFFIX, OPEN_SUFFIX
from tests.stand_ins.lsp_client import HEAD, LspClient, events_in, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.stand_ins.tgi_app import TgiScript

    Start = Callable[..., Awaitable[LspClient]]

FORBIDDEN = {
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "duckdb",
    "pyarrow",
    "opentelemetry",
    "onnxruntime",
    "tokenizers",
}


async def shown(spool: Path, number: int = 1) -> None:
    await until(lambda: sum(e["ev"] == "shown" for e in events_in(spool)) == number)


def resolved(spool: Path) -> list[tuple[object, ...]]:
    """Return outcome, source, accepted and typed characters of what was resolved."""
    fields = ("outcome", "source", "accepted_chars", "typed_chars")
    events = [event for event in events_in(spool) if event["ev"] == "resolved"]
    return [tuple(event[field] for field in fields) for event in events]


async def test_an_accepted_suggestion_leaves_its_events(
    start: Start, tgi: TgiScript, spool: Path
) -> None:
    client = await start()
    client.open(HEAD)
    [item] = await client.items((1, 0)) or []
    await shown(spool)
    client.type((1, 0), "    return a + b")
    await client.run(*_command(item))
    await client.run(*_command(item))
    assert await client.close() == 0
    events = events_in(spool)
    assert [event["ev"] for event in events] == [
        "session_started",
        "served",
        "shown",
        "resolved",
        "retained",
        *(["retained"] * len(HORIZONS_S)),
        "typing",
        "session_ended",
    ]
    assert [event["seq"] for event in events] == list(range(len(events)))
    started, served, _, end, last_look, *_, writing, ended = events
    assert (last_look["horizon_s"], last_look["state"], last_look["kept_rate"]) == (0, "kept", 1.0)
    assert (writing["language"], writing["completed_chars"]) == ("python", 16)
    assert (started["level"], started["user_key"], started["key_epoch"]) == ("metrics", "", 0)
    assert re.fullmatch("[0-9a-f]{32}", served["opportunity_id"])
    assert (started["editor"], started["editor_version"]) == ("test", "1.0")
    assert started["server_version"] == version("fimble")
    assert ended["num_events_dropped"] == 0
    exact = {
        "language": "python",
        "trigger": "automatic",
        "scope": "block",
        "cache": "miss",
        "model": "scripted",
        "model_digest": "0123456789abcdef",
        "backend": "tgi",
        "prefix_chars": 15,
        "suffix_chars": 0,
        "generated_tokens": 5,
        "num_chars": 16,
        "num_lines": 1,
        "mean_logprob": -0.5,
        "stop_reason": "block",
        "debounce_ms": 0.0,
    }
    assert {name: served[name] for name in exact} == exact
    assert 0 < served["first_token_ms"] <= served["total_ms"]
    assert end["accepted_lines"] == 1
    assert resolved(spool) == [("accepted", "editor", 16, 0)]
    [segment] = spool.iterdir()
    assert segment.name == f"{started['session_id']}-0{CLOSED_SUFFIX}"
    assert tgi.prompts


async def test_typing_through_rejecting_and_leaving_are_told_apart(
    start: Start, tgi: TgiScript, spool: Path
) -> None:
    tgi.answer = lambda _: ["abcd+e", "\n"]
    client = await start()
    client.open("\n\n\n\n")
    assert await client.items((0, 0))
    await shown(spool, 1)
    for column, char in enumerate("abcd+e"):
        client.type((0, column), char)
    assert await client.items((1, 0))
    await shown(spool, 2)
    client.type((1, 0), "z")
    assert await client.items((2, 0))
    await shown(spool, 3)
    client.type((2, 0), "abcd")
    client.type((2, 4), ".")
    assert await client.items((3, 0))
    await shown(spool, 4)
    assert await client.items((2, 5))
    client.notify("textDocument/didClose", {"textDocument": {"uri": _uri(client)}})
    assert await client.close() == 0
    by_outcome = sorted(resolved(spool))
    assert by_outcome == [
        ("accepted_part", "inferred", 4, 0),
        ("moved_away", "inferred", 0, 0),
        ("not_shown", "inferred", 0, 0),
        ("rejected", "inferred", 0, 0),
        ("typed_through", "inferred", 0, 6),
    ]


async def test_copilots_notifications_are_believed(
    start: Start, tgi: TgiScript, spool: Path
) -> None:
    tgi.answer = lambda _: ["𝑎b", "\n"]
    client = await start(
        options={
            "engine": {"tgi_url": tgi.url, "failover": False},
            "completion": {"shown_after_ms": 10_000, "deadline_ms": 0},
        }
    )
    client.open("x = \n\n")
    [item] = await client.items((0, 4)) or []
    client.notify("textDocument/didShowCompletion", {"item": item})
    client.type((0, 4), "𝑎")
    part = {"item": item, "acceptedLength": len("x = ") + 2}
    client.notify("textDocument/didPartiallyAcceptCompletion", part)
    client.notify("textDocument/didFocus", {"textDocument": {"uri": "file:///other.py"}})
    assert await client.close() == 0
    [event] = [event for event in events_in(spool) if event["ev"] == "shown"]
    assert event["source"] == "editor"
    assert resolved(spool) == [("accepted_part", "editor", 1, 0)]


async def test_switched_off_nothing_is_written(start: Start, tgi: TgiScript, spool: Path) -> None:
    client = await start(
        options={
            "engine": {"tgi_url": tgi.url, "failover": False},
            "telemetry": {"level": "off"},
            "completion": {"deadline_ms": 0},
        }
    )
    client.open(HEAD)
    assert await client.items((1, 0))
    assert await client.close() == 0
    assert not spool.parent.exists()


async def test_kill_9_loses_no_recorded_event(start: Start, tgi: TgiScript, spool: Path) -> None:
    tgi.answer = lambda _: ["abc", "\n"]
    client = await start()
    client.open("\n" * 50)
    for line in range(20):
        assert await client.items((line, 0))
    await until(lambda: sum(e["ev"] == "served" for e in events_in(spool)) == 20)
    client.process.send_signal(signal.SIGKILL)
    await client.process.wait()
    events = events_in(spool)
    assert [event["seq"] for event in events] == list(range(len(events)))
    [segment] = spool.iterdir()
    assert segment.name.endswith(OPEN_SUFFIX)
    descriptor = os.open(segment, os.O_RDONLY)
    assert try_lock(descriptor)
    os.close(descriptor)


async def test_a_living_session_holds_the_lock_of_its_segment(start: Start, spool: Path) -> None:
    client = await start()
    await until(lambda: len(events_in(spool)) == 1)
    [segment] = spool.iterdir()
    descriptor = os.open(segment, os.O_RDONLY)
    assert not try_lock(descriptor)
    os.close(descriptor)
    assert await client.close() == 0


async def test_an_editor_that_dies_ends_the_session_in_order(start: Start, spool: Path) -> None:
    client = await start()
    client.open(HEAD)
    assert await client.items((1, 0))
    client.process.stdin.close()
    assert await asyncio.wait_for(client.process.wait(), 30) == 1
    kinds = [event["ev"] for event in events_in(spool)]
    assert kinds == ["session_started", "served", "resolved", "session_ended"]


async def test_an_editor_that_leaves_without_waiting_loses_no_event(
    start: Start, tgi: TgiScript, spool: Path
) -> None:
    tgi.delay_s = 0.05
    client = await start()
    client.open(HEAD)
    client.ask((1, 0))
    await until(lambda: len(tgi.prompts) == 1)
    client.send("shutdown", None)
    client.notify("exit", None)
    client.process.stdin.close()
    await asyncio.wait_for(client.process.wait(), 30)
    kinds = [event["ev"] for event in events_in(spool)]
    assert kinds in (
        ["session_started", "session_ended"],
        ["session_started", "opportunity", "session_ended"],
    )


async def test_sigterm_ends_the_session_in_order(start: Start, spool: Path) -> None:
    client = await start()
    await client.settle()
    client.process.terminate()
    assert await asyncio.wait_for(client.process.wait(), 30) == 1
    assert [event["ev"] for event in events_in(spool)] == ["session_started", "session_ended"]


async def test_neither_log_nor_events_hold_code_or_paths(
    start: Start, tmp_path: Path, tgi: TgiScript
) -> None:
    client = await start()
    client.open("secret_name = 1\n\n", uri="file:///home/secret_user/secret_file.py")
    assert await client.items((1, 0), uri="file:///home/secret_user/secret_file.py")
    client.notify("textDocument/didChange", {"secret_name": 1})
    client.send("textDocument/inlineCompletion", {"secret_name": True})
    client.change(((0, 0), (0, 0), "secret"), uri="file:///home/secret_user/secret_file.py")
    tgi.dies_after = 0
    assert await client.items((0, 6), uri="file:///home/secret_user/secret_file.py") == []
    assert await client.close() == 0
    log = (tmp_path / "state" / "lsp.log").read_text()
    assert "INFO fimble.lsp: SERVED cache=miss" in log
    assert "Unable to deserialize message" in log
    every = [p.read_text() for p in tmp_path.rglob("*") if p.is_file()]
    assert len(every) == 3
    assert not any("secret" in text for text in every)


async def test_a_read_only_home_does_not_stop_a_session(
    environment: dict[str, str], start: Start, tmp_path: Path
) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    environment["FIMBLE_DATA_DIR"] = environment["FIMBLE_STATE_DIR"] = str(blocker / "below")
    client = await start()
    client.open(HEAD)
    assert await client.items((1, 0))
    assert await client.close() == 0


async def test_a_whole_session_connects_to_the_backend_only(start: Start, tgi: TgiScript) -> None:
    tgi.delay_s = 0.02
    client = await start()
    seen: set[tuple[str, int]] = set()
    process = psutil.Process(client.process.pid)

    def look() -> None:
        for each in (process, *process.children(recursive=True)):
            for connection in each.net_connections(kind="inet"):
                assert connection.status != psutil.CONN_LISTEN
                seen.add((connection.raddr.ip, connection.raddr.port))

    client.open(HEAD)
    answer = client.ask((1, 0))
    while not answer.done():
        look()
        await asyncio.sleep(0.005)
    look()
    assert await client.close() == 0
    host, port = tgi.url.removeprefix("http://").split(":")
    assert seen == {(host, int(port))}


async def test_a_whole_session_never_imports_the_heavy_packages(
    environment: dict[str, str], tgi: TgiScript
) -> None:
    code = (
        "import atexit, sys\n"
        "def tell():\n"
        "    print(*sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)\n"
        "atexit.register(tell)\n"
        "from fimble.cli import main\n"
        "sys.exit(main(['lsp']))\n"
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=pipe, stdout=pipe, stderr=pipe,
        env={**os.environ, **environment},
    )  # fmt: skip
    client = LspClient(process)
    await client.initialize(
        options={
            "engine": {"tgi_url": tgi.url, "failover": False},
            "completion": {"deadline_ms": 0},
        }
    )
    client.open(HEAD)
    assert await client.items((1, 0))
    assert await client.close() == 0
    modules = (await process.stderr.read()).decode().split()
    assert "aiohttp" in modules
    assert FORBIDDEN.isdisjoint(modules)


async def test_what_libraries_print_does_not_reach_the_protocol(
    environment: dict[str, str], tgi: TgiScript
) -> None:
    code = (
        "import sys\n"
        "import lsp_server.features as features\n"
        "say = features.did_open\n"
        "def loud(ls, params):\n"
        "    print('noise'); sys.stdout.write('noise'); __import__('os').write(1, b'noise')\n"
        "    return say(ls, params)\n"
        "features._FEATURES['textDocument/didOpen'] = loud\n"
        "from fimble.cli import main\n"
        "sys.exit(main(['lsp']))\n"
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=pipe, stdout=pipe, stderr=pipe,
        env={**os.environ, **environment},
    )  # fmt: skip
    client = LspClient(process)
    await client.initialize(
        options={
            "engine": {"tgi_url": tgi.url, "failover": False},
            "completion": {"deadline_ms": 0},
        }
    )
    client.open(HEAD)
    assert await client.items((1, 0))
    assert await client.close() == 0
    assert (await process.stderr.read()).count(b"noise") == 3


def _command(item: dict[str, object]) -> tuple[str, str]:
    command = item["command"]
    return command["command"], command["arguments"][0]


def _uri(client: LspClient) -> str:
    return next(iter(client.versions))
