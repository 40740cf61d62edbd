"""What tests of editor sessions need besides the editor itself, which is the harness's."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from eval_harness.sessions.client import LIMIT_S, URI, LspClient, LspError, start_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "HEAD",
    "LIMIT_S",
    "URI",
    "LspClient",
    "LspError",
    "events_in",
    "start_client",
    "texts",
    "until",
]

HEAD = "def add(a, b):\n"


def events_in(spool: Path) -> list[dict[str, object]]:
    """Return the recorded events of a spool, in the order of the sessions' own count."""
    lines = [line for path in spool.glob("*.jsonl*") for line in path.read_text().splitlines()]
    events = [json.loads(line) for line in lines]
    return sorted(events, key=lambda event: (event["session_id"], event["seq"]))


async def until(is_true: Callable[[], bool]) -> None:
    """Wait until something that happens in another process has happened."""
    async with asyncio.timeout(LIMIT_S):
        while not is_true():
            await asyncio.sleep(0.01)


def texts(items: list[dict[str, Any]] | None) -> list[str] | None:
    """Return what items insert; None for a null answer."""
    return None if items is None else [item["insertText"] for item in items]
