"""A filter in an editor session: what it hides, what is shown all the same, what is recorded."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from fimble.show_filter import read_filter
from tests.stand_ins.lsp_client import HEAD, LspClient, events_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.stand_ins.tgi_app import TgiScript

    Start = Callable[..., Awaitable[LspClient]]

WORTHLESS = {"feature": [-1], "limit": [0], "left": [0], "right": [0], "value": [-5.0]}


def written(folder: Path, *, explore_rate: float) -> Path:
    """Return a filter that finds nothing worth showing."""
    table = {"format_version": 1, "features": [], "threshold": 0.5, "trees": [WORTHLESS]}
    path = folder / "filter.json"
    path.write_text(json.dumps({**table, "explore_rate": explore_rate}))
    return path


def options(tgi: TgiScript, path: Path) -> dict[str, Any]:
    return {
        "engine": {"tgi_url": tgi.url, "failover": False},
        "completion": {"debounce_ms": 0, "shown_after_ms": 50, "show_filter": str(path)},
    }


async def test_what_is_not_worth_showing_is_hidden_and_recorded_unless_the_user_asks(
    start: Start, tgi: TgiScript, spool: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, explore_rate=0)
    client = await start(options=options(tgi, path))
    client.open(HEAD)
    assert await client.items((1, 0)) == []
    explained = await client.explain()
    assert explained["why"].startswith("the filter of completion.show_filter")
    assert explained["filter_score"] == 0.0067
    assert len(await client.items((1, 0), kind=1) or []) >= 1
    assert await client.close() == 0
    hidden, shown = (e for e in events_in(spool) if e["ev"] in {"opportunity", "served"})
    digest = read_filter(path).digest
    assert (hidden["reason"], hidden["detail"]) == ("filtered", "weak")
    assert (hidden["filter_digest"], hidden["filter_score"]) == (digest, 0.0067)
    assert (shown["filter_digest"], shown["filter_propensity"]) == ("", 1.0)
    assert (shown["head_chars"], shown["behind_chars"], shown["is_in_word"]) == (0, 0, False)
    assert (shown["since_taken_ms"], shown["since_rejected_ms"]) == (-1.0, -1.0)


async def test_a_share_is_shown_all_the_same_and_says_so(
    start: Start, tgi: TgiScript, spool: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, explore_rate=1)
    client = await start(options=options(tgi, path))
    client.open(HEAD)
    assert len(await client.items((1, 0)) or []) == 1
    await asyncio.sleep(0.2)  # it counts as shown
    client.type((1, 0), "x = 2")  # not what was suggested
    tgi.answer = lambda _: [" + y"]
    assert len(await client.items((1, 5)) or []) == 1
    assert await client.close() == 0
    first, second = (e for e in events_in(spool) if e["ev"] == "served")
    assert (first["filter_score"], first["filter_propensity"]) == (0.0067, 1.0)
    assert (second["head_chars"], second["is_in_word"]) == (5, True)
    assert second["since_rejected_ms"] >= 0


@pytest.mark.parametrize("text", ["{", None])
async def test_a_filter_that_cannot_be_used_is_told_and_hides_nothing(
    start: Start, tgi: TgiScript, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "broken.json"
    if text is not None:
        path.write_text(text)
    client = await start(options=options(tgi, path))
    client.open(HEAD)
    assert len(await client.items((1, 0)) or []) == 1
    assert any("suggestions go unfiltered" in message for message in client.messages)
