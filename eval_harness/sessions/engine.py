"""The engine of a session that keeps its state in a folder of its own: wait for it, and end it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

from fimble.errors import EngineUnavailableError
from lsp_server.engines.announcement import lock_path, running_engine
from lsp_server.engines.file_lock import is_locked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_LIMIT_S = 75.0
END_LIMIT_S = 20.0
_POLL_S = 0.05


async def wait_for_engine(state: Path, messages: Sequence[str]) -> None:
    """Return once an engine answers that keeps its state in `state`.

    Args:
        state: The state folder of the session.
        messages: What the language server shows to its user; grows.

    Raises:
        EngineUnavailableError: None has started within `START_LIMIT_S`, or the language server
            says why there will be none.
    """
    deadline_s = time.perf_counter() + START_LIMIT_S
    while not any(running_engine(path) for path in state.glob("engine-*.json")):
        if messages:
            raise EngineUnavailableError("; ".join(messages))
        if time.perf_counter() > deadline_s:
            raise EngineUnavailableError(f"no engine has started within {START_LIMIT_S:.0f} s")
        await asyncio.sleep(_POLL_S)


def end_engine(state: Path) -> None:
    """End the engine that keeps its state in `state`, if there is one, and wait until it is gone.

    Raises:
        EngineUnavailableError: It has not ended within `END_LIMIT_S`.
    """
    for path in state.glob("engine-*.json"):
        engine = running_engine(path)
        if engine is None:
            continue
        os.kill(engine.pid, signal.SIGTERM)
        deadline_s = time.perf_counter() + END_LIMIT_S
        while is_locked(lock_path(path)):
            if time.perf_counter() > deadline_s:
                raise EngineUnavailableError(f"the engine {engine.pid} does not end")
            time.sleep(_POLL_S)
