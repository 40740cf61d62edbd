"""Months that are over, in files by user: every question has the same answer as before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import pytest

from fimble.events import SessionStarted
from telemetry.blocks import block_file
from telemetry.compaction import MIN_DAYS, SETTLED_MS, compact
from telemetry.metrics.histogram import define
from telemetry.privacy.forget import forget
from telemetry.reader import reading
from telemetry.texts import latency_of
from telemetry.views import publish
from telemetry.warehouse import Kind, Warehouse
from tests.stand_ins.daily_counts import assert_counts_are_exact
from tests.stand_ins.spool_writer import START_MS, lines_of, session

if TYPE_CHECKING:
    from typing import Any

    from tests.telemetry.conftest import Store

DAY_MS = 86_400_000
MONTH = "2026-09"
VIEWS = ("opportunities", "daily_facts", "latency", "sessions", "events")


def day_of(number: int, seed: int) -> list[bytes]:
    """Return the lines of a session on a day of September; one of three has no pseudonym."""
    first, *rest = session(2, seed=seed)
    assert isinstance(first, SessionStarted)
    first = replace(first, user_key=["", "ada", "bo 🙂"][seed % 3])
    return lines_of([first, *rest], f"s{seed}", start_ms=START_MS + number * DAY_MS)


def answers(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    return {name: store.rows(f"from {name} order by all") for name in VIEWS}


def assert_histograms_are_exact(store: Store) -> None:
    """Compare what is stored with what the requests say."""
    with reading(store.spool, store.warehouse) as connection:
        define(connection)
        counted = latency_of("from main.opportunities")
        slow = connection.execute(f"from ({counted}) order by all").fetchall()
        fast = "from latency select * exclude (low_ms, high_ms) order by all"
        assert connection.execute(fast).fetchall() == slow


@pytest.fixture
def september(store: Store) -> Store:
    """A month of `MIN_DAYS` days that no merge has compacted yet, each without its last event."""
    for number in range(MIN_DAYS):
        lines = day_of(number, seed=number)
        store.put(f"s{number}-0.jsonl", lines[:-1])
    store.clock.now_ms = START_MS + MIN_DAYS * DAY_MS
    store.merge()
    assert store.warehouse.manifest().blocks == {}
    store.clock.now_ms = START_MS + 30 * DAY_MS + SETTLED_MS
    return store


def compacted(store: Store) -> Warehouse:
    """Compact with a file for each two sessions."""
    warehouse = store.warehouse
    publish(warehouse, compact(warehouse, warehouse.manifest(), store.clock, rows_per_file=6))
    return warehouse


def test_a_month_that_is_over_is_told_from_files_by_user(september: Store) -> None:
    before = answers(september)
    manifest = compacted(september).manifest()
    block = manifest.blocks[MONTH]
    assert answers(september) == before
    assert block.names == tuple(block_file(MONTH, 2, n) for n in range(len(block.names)))
    assert len(block.names) > 2
    assert block.days == tuple(sorted(manifest.days))
    assert {(day.requests, day.num_requests > 0) for day in manifest.days.values()} == {("", True)}
    users = [
        set(duckdb.sql(f"select coalesce(user_key, session_id) from '{path}'").fetchall())
        for path in september.warehouse.files(manifest, Kind.REQUESTS)
    ]
    assert sum(map(len, users)) == len(set().union(*users))
    assert_counts_are_exact(september)
    assert_histograms_are_exact(september)
    with duckdb.connect(september.warehouse.database, read_only=True) as reader:
        found = reader.execute("from opportunities order by all").fetchall()
    assert found == before["opportunities"]


def test_a_month_waits_until_late_events_are_few_and_months_with_few_days_stay(
    september: Store,
) -> None:
    september.clock.now_ms -= 1
    assert compacted(september).manifest().blocks == {}
    september.clock.now_ms += 1
    manifest = september.warehouse.manifest()
    fewer = replace(manifest, days=dict(list(manifest.days.items())[1:]))
    assert compact(september.warehouse, fewer, september.clock) == fewer
    assert compact(september.warehouse, manifest, september.clock, max_rows=5) == manifest
    september.merge()
    assert list(september.warehouse.manifest().blocks) == [MONTH]


def test_late_events_take_their_day_out_of_the_block_until_there_are_many(
    september: Store,
) -> None:
    compacted(september)
    late = {number: day_of(number, seed=number)[-1:] for number in range(MIN_DAYS)}
    september.put("s3-1.jsonl", late.pop(3))
    september.put("new-0.jsonl", day_of(3, seed=91))
    expected = answers(september)  # of events that are not merged yet
    assert_histograms_are_exact(september)
    september.merge()
    block = september.warehouse.manifest().blocks[MONTH]
    assert (block.replaced, len(block.days)) == (("2026-09-04",), MIN_DAYS - 1)
    assert answers(september) == expected
    for number in late:
        september.put(f"new{number}-0.jsonl", day_of(number, seed=92 + number))
    expected = answers(september)
    september.merge()  # every day has a file of its own now, so the month is written anew
    manifest = september.warehouse.manifest()
    assert (manifest.blocks[MONTH].replaced, len(manifest.blocks[MONTH].days)) == ((), MIN_DAYS)
    assert answers(september) == expected
    assert_counts_are_exact(september)
    assert_histograms_are_exact(september)


def test_who_is_forgotten_is_in_no_file_of_a_block(september: Store) -> None:
    compacted(september)
    september.put("s3-1.jsonl", day_of(3, seed=3)[-1:])
    september.merge()  # a day beside the block
    theirs = "from opportunities where user_key is distinct from 'ada' order by all"
    others = september.rows(theirs)
    before = set(september.warehouse.manifest().blocks[MONTH].names)
    forget([september.spool], september.warehouse, september.clock, user_keys=["ada"], wait_s=0)
    manifest = september.warehouse.manifest()
    after = set(manifest.blocks[MONTH].names)
    assert 0 < len(before & after) < len(before)  # files that hold nothing of theirs stay
    assert set(manifest.blocks[MONTH].days) | {"2026-09-04"} == set(manifest.days)
    for kind in (Kind.REQUESTS, Kind.DAILY):
        for path in (september.warehouse.folder / kind).iterdir():
            assert "ada" not in repr(duckdb.sql(f"from '{path}'").fetchall()), path
    assert september.rows("from opportunities order by all") == others != []
    assert sum(day.num_requests for day in manifest.days.values()) == len(others)
    assert_counts_are_exact(september)
    assert_histograms_are_exact(september)


def test_a_warehouse_of_the_format_before_gets_its_histograms(store: Store) -> None:
    """Format 4 had no histograms, and counts without the columns that tell who they are of."""
    store.put("s-0.jsonl", day_of(0, seed=1))
    store.merge()
    expected = answers(store)
    manifest = store.warehouse.manifest()
    days = {name: replace(day, latency="") for name, day in manifest.days.items()}
    for day in manifest.days.values():
        store.warehouse.path_of(day, Kind.LATENCY).unlink()
    old = replace(manifest, format_version=4, days=days)
    store.warehouse.save(old)
    assert answers(store) == expected
    store.merge()
    assert all(day.latency for day in store.warehouse.manifest().days.values())
    assert answers(store) == expected
