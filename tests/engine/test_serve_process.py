"""`fimble serve` as a process: how it starts, stops, is left alone, and what it never does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import aiohttp
import psutil
import pytest

from tests.engine.serve_process import PATIENCE_S, command, refused, serving, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.conftest import DamagedFolder
    from tests.engine.serve_process import ServeProcess

pytestmark = pytest.mark.e2e

LONG = {"inputs": "a", "parameters": {"max_new_tokens": 1500}}


def client(server: ServeProcess) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(server.url, headers=server.headers)


async def post(server: ServeProcess, route: str, body: object) -> asyncio.StreamWriter:
    """Send a request over a socket of its own, and leave the answer unread."""
    host, port = server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body)
    writer.write(
        f"POST {route} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n{data}".encode()
    )
    await writer.drain()
    return writer


@pytest.mark.parametrize("route", ["/generate", "/generate_stream"])
async def test_a_client_that_leaves_in_the_middle_of_the_prompt_frees_the_engine(
    slow_server: ServeProcess, route: str
) -> None:
    grown = slow_server.since_now()
    body = {"inputs": f"{len(route)}{'1' * 1900}", "parameters": {"max_new_tokens": 9}}
    connection = await post(slow_server, route, body)
    while not slow_server.metric("tgi_batch_current_size"):
        await asyncio.sleep(0.005)
    connection.close()
    await connection.wait_closed()
    while not grown("fimble_cancelled_requests_total"):
        await asyncio.sleep(0.01)

    assert grown("fimble_prefilled_tokens_total") < 1900
    assert grown("fimble_generated_tokens_total") == 0
    assert slow_server.metric("tgi_batch_current_size") == 0


async def test_clients_that_leave_the_queue_are_never_served(slow_server: ServeProcess) -> None:
    grown = slow_server.since_now()
    connections = [await post(slow_server, "/generate", LONG) for _ in range(12)]
    while grown("tgi_request_count") < 12 or not slow_server.metric("tgi_queue_size"):
        await asyncio.sleep(0.01)
    for connection in connections:
        connection.close()
        await connection.wait_closed()
    while grown("fimble_cancelled_requests_total") < 12:
        await asyncio.sleep(0.01)

    assert slow_server.metric("tgi_queue_size") == 0
    assert slow_server.metric("tgi_batch_current_size") == 0
    assert grown("fimble_prompt_tokens_total") < 12


async def test_a_client_that_leaves_in_the_middle_of_the_text_frees_the_engine(
    slow_server: ServeProcess,
) -> None:
    grown = slow_server.since_now()
    async with client(slow_server) as http, http.post("/generate_stream", json=LONG) as stream:
        for _ in range(3):
            await stream.content.readuntil(b"\n\n")
    while not grown("fimble_cancelled_requests_total"):
        await asyncio.sleep(0.01)

    assert 3 <= grown("fimble_generated_tokens_total") < 1500
    assert slow_server.metric("tgi_batch_current_size") == 0
    assert grown('tgi_request_failure{err="dropped"}') == 1
    async with client(slow_server) as http:
        body = {"inputs": "a", "parameters": {"max_new_tokens": 2}}
        async with http.post("/generate", json=body) as answer:
            assert answer.status == 200


async def test_it_ends_cleanly_when_told_to_also_in_the_middle_of_an_answer(
    slow_model_folder: Path, tmp_path: Path
) -> None:
    with serving(slow_model_folder, tmp_path) as server:
        async with client(server) as http, http.post("/generate_stream", json=LONG) as stream:
            await stream.content.readuntil(b"\n\n")
            assert await asyncio.to_thread(server.end) == 0

        assert not server.announce.exists()
        assert "the engine was told to end" in server.log.read_text()
        assert "Traceback" not in server.log.read_text()


def test_a_keyboard_interrupt_ends_it_too(model_folder: Path, tmp_path: Path) -> None:
    with serving(model_folder, tmp_path) as server:
        server.process.send_signal(signal.SIGINT)

        assert server.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in server.log.read_text()


def test_its_announcement_is_for_its_user_only_and_names_a_new_token(
    model_folder: Path, tmp_path: Path
) -> None:
    with serving(model_folder, tmp_path) as server:
        table = json.loads(server.announce.read_bytes())

        assert stat.S_IMODE(server.announce.stat().st_mode) == 0o600
        assert table["pid"] == server.process.pid
        assert table["url"].startswith("http://127.0.0.1:")
        assert len(table["token"]) > 40
        assert table["token"] not in " ".join(psutil.Process(server.process.pid).cmdline())
        assert [path.name for path in tmp_path.glob("*.part")] == []


async def test_a_key_from_the_environment_is_the_token(model_folder: Path, tmp_path: Path) -> None:
    with serving(model_folder, tmp_path, FIMBLE_API_KEY="chosen") as server:
        assert server.headers == {"Authorization": "Bearer chosen"}
        async with client(server) as http, http.post("/tokenize", json={"inputs": "a"}) as answer:
            assert answer.status == 200


async def test_without_key_and_announcement_it_is_open_to_this_machine(
    model_folder: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(model_folder, "--port", str(port)), stdout=output, stderr=output
        )
    try:
        wait_until(lambda: "listens on" in log.read_text() or process.poll() is not None)
        url = f"http://127.0.0.1:{port}"
        async with (
            aiohttp.ClientSession(url) as http,
            http.post("/tokenize", json={"inputs": "a"}) as answer,
        ):
            assert answer.status == 200
        listening = psutil.Process(process.pid).net_connections("inet")
        assert {each.laddr.ip for each in listening} == {"127.0.0.1"}
    finally:
        process.kill()
        process.wait()


def test_a_second_engine_for_the_same_announcement_is_refused(
    model_folder: Path, tmp_path: Path
) -> None:
    with serving(model_folder, tmp_path) as server:
        arguments = ("--model", str(model_folder), "--port", "0", "--announce")
        code, message = refused(*arguments, str(server.announce))

        assert (code, message) == (
            2,
            f"fimble: another engine announces itself in {server.announce}\n",
        )
        assert json.loads(server.announce.read_bytes())["pid"] == server.process.pid


def test_a_port_in_use_is_one_message(model_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code, message = refused("--model", str(model_folder), "--port", str(port))

    where = f"port {port} of 127.0.0.1"
    hint = "choose another with --port"
    assert message == f"fimble: {where} is in use by another process; {hint}\n"
    assert code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "/nowhere/at-all"), "there is no model folder '/nowhere/at-all'"),
        (("--port", "70000"), "--port is 70000; it must be 0 to 65535"),
        (("--threads", "-1"), "--threads and --idle-exit-s must be 0 or more"),
        (("--host", "256.1.1.1"), "cannot listen on port 3000 of 256.1.1.1"),
        (("--host", "192.0.2.1", "--port", "0"), "cannot listen on port 0 of 192.0.2.1"),
    ],
)
def test_what_cannot_be_served_is_one_message(
    model_folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    model = () if "--model" in arguments else ("--model", str(model_folder))

    code, output = refused(*model, *arguments)

    assert code == 2
    assert output.startswith(f"fimble: {message}")
    assert output.count("\n") == 1


def test_a_broken_model_is_one_message(damaged: DamagedFolder) -> None:
    data = (damaged.path / "model.onnx").read_bytes()
    damaged.rewrite("model.onnx", data[:-1] + bytes([data[-1] ^ 1]), in_manifest=False)

    code, output = refused("--model", str(damaged.path), "--port", "0")

    assert code == 2
    assert output.startswith("fimble: ")
    assert "model.onnx differs from its manifest" in output
    assert output.count("\n") == 1


def test_it_ends_by_itself_when_nobody_asks(model_folder: Path, tmp_path: Path) -> None:
    with serving(model_folder, tmp_path, "--idle-exit-s", "1") as server:
        assert server.process.wait(PATIENCE_S) == 0

        assert not server.announce.exists()
        assert "no request for 1 s: the engine ends" in server.log.read_text()


async def test_it_does_not_end_while_it_is_used(slow_model_folder: Path, tmp_path: Path) -> None:
    with serving(slow_model_folder, tmp_path, "--idle-exit-s", "1") as server:
        started = time.monotonic()
        async with client(server) as http:
            while time.monotonic() < started + 2:
                async with http.post("/generate_stream", json=LONG) as stream:
                    async for _ in stream.content:
                        if time.monotonic() > started + 2:
                            break

        assert server.process.poll() is None


async def test_its_log_holds_no_code(model_folder: Path, tmp_path: Path) -> None:
    with serving(model_folder, tmp_path) as server:
        async with client(server) as http:
            for parameters in ({"max_new_tokens": 4}, {"temperature": 0}, {"top_p": "zebra"}):
                body = {"inputs": "zebra = 1", "parameters": parameters}
                for route in ("/generate", "/generate_stream"):
                    async with http.post(route, json=body) as answer:
                        await answer.read()
        log = server.log.read_text()

    assert "zebra" not in log
    assert server.token not in log
    assert log.count("generated=4 finish=length") == 2


async def test_it_talks_to_nobody_but_this_machine(model_folder: Path, tmp_path: Path) -> None:
    """Every socket of the process is looked at, from its start, as often as we can."""
    seen: set[str] = set()
    looks = 0
    ended = threading.Event()

    def look(process: psutil.Process) -> None:
        nonlocal looks
        while not ended.is_set():
            for each in process.net_connections("inet"):
                seen.update(address.ip for address in (each.laddr, each.raddr) if address)
            looks += 1

    with serving(model_folder, tmp_path) as server:
        thread = threading.Thread(target=look, args=(psutil.Process(server.process.pid),))
        thread.start()
        try:
            async with client(server) as http:
                for _ in range(20):
                    body = {"inputs": "a", "parameters": {"max_new_tokens": 10}}
                    async with http.post("/generate_stream", json=body) as answer:
                        await answer.read()
        finally:
            ended.set()
            thread.join()

    assert looks > 10
    assert seen == {"127.0.0.1"}
    assert os.environ.get("ORT_DISABLE_TELEMETRY") == "1", "importing the engine sets it"
