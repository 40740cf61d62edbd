"""Editor sessions with a real `fimble lsp` process, in folders of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stand_ins.lsp_client import LspClient, start_client
from tests.stand_ins.tgi_app import TgiScript, tgi_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the variables that keep a process within the test's folder."""
    (tmp_path / "fimble.toml").touch()
    return {
        "FIMBLE_DATA_DIR": str(tmp_path / "data"),
        "FIMBLE_STATE_DIR": str(tmp_path / "state"),
        "FIMBLE_CACHE_DIR": str(tmp_path / "cache"),
        "FIMBLE_CONFIG": str(tmp_path / "fimble.toml"),
    }


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Return the folder of the session's events."""
    return tmp_path / "data" / "spool"


@pytest.fixture
def tgi() -> Iterator[TgiScript]:
    """Run a TGI server that says the body of a small function."""
    tokens = ["    return", " a", " +", " b", "\n\n\n", "def"]
    with tgi_server(TgiScript(answer=lambda _: tokens)) as script:
        yield script


@pytest.fixture
async def start(
    environment: dict[str, str], tgi: TgiScript
) -> AsyncIterator[Callable[..., Awaitable[LspClient]]]:
    """Return a function that starts a session with the TGI server and says hello."""
    clients: list[LspClient] = []

    async def start_session(
        *, options: dict[str, object] | None = None, **hello: object
    ) -> LspClient:
        client = await start_client(environment)
        clients.append(client)
        completion = {"debounce_ms": 0, "shown_after_ms": 50, "deadline_ms": 0}
        defaults = {
            "engine": {"tgi_url": tgi.url, "failover": False},
            "completion": completion,
        }
        await client.initialize(options=defaults if options is None else options, **hello)
        return client

    yield start_session
    for client in clients:
        await client.kill()
