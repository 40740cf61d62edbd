"""The proxy of the Compose file, run as it is: TLS, what goes through, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import ssl
import subprocess
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from tests.deploy.manifests import COMPOSE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CADDY = Path(sysconfig.get_path("scripts")) / "caddy"


class Engine:
    """Streams two tokens, the second when it is told to; notes who goes before."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.was_left = asyncio.Event()
        self.authorization = ""

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.authorization = request.headers.get("Authorization", "")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data:one\n\n")
        try:
            await self.may_go_on.wait()
            await response.write(b"data:two\n\n")
        except asyncio.CancelledError:
            self.was_left.set()
            raise
        return response


@pytest.fixture
async def engine() -> AsyncIterator[tuple[Engine, int]]:
    made = Engine()
    app = web.Application()
    app.router.add_post("/generate_stream", made.stream)
    for path in ("/health", "/metrics", "/docs/"):
        app.router.add_get(path, _said)
    app.router.add_post("/read", _read)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield made, runner.addresses[0][1]
    await runner.cleanup()


async def test_tokens_come_one_by_one_and_who_leaves_frees_the_engine(
    engine: tuple[Engine, int], tmp_path: Path
) -> None:
    made, upstream = engine
    with proxy(tmp_path, upstream) as url:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=await _trusted(tmp_path, url))
        ) as session:
            headers = {"Authorization": "Bearer 🙂".encode().decode("latin-1")}
            async with session.post(f"{url}/generate_stream", headers=headers) as answer:
                assert await answer.content.readline() == b"data:one\n"
                assert not made.may_go_on.is_set()  # so the first was not kept back
                made.may_go_on.set()
                assert (await answer.read()).endswith(b"data:two\n\n")
            assert made.authorization.startswith("Bearer ")

            made.may_go_on.clear()
            answer = await session.post(f"{url}/generate_stream")
            assert await answer.content.readline() == b"data:one\n"
            answer.close()
            await asyncio.wait_for(made.was_left.wait(), 10)


async def test_what_is_nobodys_business_outside_stays_inside(
    engine: tuple[Engine, int], tmp_path: Path
) -> None:
    with proxy(tmp_path, engine[1]) as url:
        connector = aiohttp.TCPConnector(ssl=await _trusted(tmp_path, url))
        async with aiohttp.ClientSession(connector=connector) as session:
            statuses = {}
            for path in ("/health", "/metrics", "/docs/"):
                async with session.get(f"{url}{path}") as answer:
                    statuses[path] = answer.status
            assert statuses == {"/health": 200, "/metrics": 404, "/docs/": 404}
            too_much = io.BytesIO(bytes(3_000_000))
            async with session.post(f"{url}/read", data=too_much) as answer:
                assert answer.status == 413


@contextmanager
def proxy(folder: Path, upstream: int) -> Iterator[str]:
    """Run Caddy with the file of the Compose project, and return its address."""
    port, other = _free_ports()
    variables = {
        "ENGINE_HOST": f"https://localhost:{port}",
        "COLLECTOR_HOST": f"https://localhost:{other}",
        "ENGINE_UPSTREAM": f"127.0.0.1:{upstream}",
        "COLLECTOR_UPSTREAM": "127.0.0.1:9",
        "TLS": "internal",
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
    }
    # The port for plain HTTP is 80 otherwise, which only root may open.
    text = (COMPOSE / "Caddyfile").read_text(encoding="utf-8")
    options = "skip_install_trust\n\tauto_https disable_redirects\n"
    (folder / "Caddyfile").write_text(text.replace("skip_install_trust\n", options))
    process = subprocess.Popen(
        [CADDY, "run", "--config", folder / "Caddyfile"],
        env={**os.environ, **variables},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"https://localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)


async def _trusted(folder: Path, url: str) -> ssl.SSLContext:
    """Return what trusts the authority that the proxy has made, once it listens."""
    root = folder / "caddy/pki/authorities/local/root.crt"
    port = int(url.rpartition(":")[2])
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):  # not there yet, or without its certificate
                trusted = await asyncio.to_thread(ssl.create_default_context, cafile=str(root))
                _, writer = await asyncio.open_connection("localhost", port, ssl=trusted)
                writer.close()
                return trusted
            await asyncio.sleep(0.05)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


async def _said(_: web.Request) -> web.Response:
    return web.Response(text="yes")


async def _read(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(text="read")
