"""Requests as counts by session and day: always the sums of the requests, to the last one."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING

import duckdb
import pytest

from telemetry.metrics.question import DIMENSIONS, NOT_DAILY, Question, sql_of
from telemetry.privacy.forget import forget
from telemetry.reader import reading
from telemetry.views import publish
from telemetry.warehouse import Kind
from tests.stand_ins.daily_counts import assert_counts_are_exact
from tests.stand_ins.spool_writer import START_MS, lines_of, open_segment, session

if TYPE_CHECKING:
    from tests.telemetry.conftest import Store

DAY_MS = 86_400_000


def sessions_across_days(chance: random.Random) -> dict[str, list[bytes]]:
    """Return the lines of sessions, some of which go on behind midnight."""
    starts_ms = [START_MS + n * DAY_MS - 3000 * (n % 2) for n in (0, 1, 1, 2)]
    return {
        f"s{n}": lines_of(session(12, seed=chance.randrange(99)), f"s{n}", start_ms=start_ms)
        for n, start_ms in enumerate(starts_ms)
    }


def test_counts_follow_late_events_open_sessions_and_who_is_forgotten(store: Store) -> None:
    chance = random.Random(4)
    lines = sessions_across_days(chance)
    held_back: dict[str, list[bytes]] = {}
    for name, theirs in lines.items():
        held_back[name] = chance.sample(theirs, 15)  # the start of the session may be one of them
        store.put(f"{name}-0.jsonl", [line for line in theirs if line not in held_back[name]])
    store.merge()
    assert assert_counts_are_exact(store) > 20
    for name in ("s1", "s2"):  # late, and of a session that is open
        store.put(f"{name}-1.jsonl", held_back[name])
    _, descriptor = open_segment(store.spool, "s3", 1)
    os.write(descriptor, b"".join(held_back["s3"][:9]))
    assert_counts_are_exact(store)
    store.merge()
    before = assert_counts_are_exact(store)
    os.close(descriptor)
    user = store.rows("select user_key from sessions where user_key <> '' order by all limit 1")
    gone = forget(
        [store.spool], store.warehouse, store.clock, user_keys=[row[0] for row in user], wait_s=0
    )
    assert gone is not None
    assert gone.num_sessions > 0
    assert assert_counts_are_exact(store) < before


def test_who_is_to_be_forgotten_is_not_counted_before_the_purge(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(session(5, seed=1), "s"))
    store.put("t-0.jsonl", lines_of(session(5, seed=2), "t"))
    store.merge()
    manifest = store.warehouse.folder / "manifest.json"
    digest = store.rows("select sha256('s')")[0][0]
    table = json.loads(manifest.read_text())
    table |= {"forgotten": {digest: 1}, "is_purge_due": True, "generation": 9}
    manifest.write_text(json.dumps(table))
    publish(store.warehouse, store.warehouse.manifest())
    assert store.rows("select distinct session_id from daily") == [("t",)]
    assert_counts_are_exact(store)


@pytest.mark.parametrize("is_merged", [True, False])
def test_days_of_an_earlier_format_are_counted(store: Store, *, is_merged: bool) -> None:
    """Format 3 had no counts; its requests lacked columns that no metric needs."""
    for name, lines in sessions_across_days(random.Random(1)).items():
        store.put(f"{name}-0.jsonl", lines)
    store.merge()
    expected = store.rows("from daily_facts order by all")
    path = store.warehouse.folder / "manifest.json"
    table = json.loads(path.read_text()) | {"format_version": 3}
    for day in table["days"].values():
        (store.warehouse.folder / Kind.DAILY / day.pop("daily")).unlink()
    path.write_text(json.dumps(table))
    store.warehouse.database.unlink()
    publish(store.warehouse, store.warehouse.manifest())
    if is_merged:
        store.merge()
        assert all(day.daily for day in store.warehouse.manifest().days.values())
    assert_counts_are_exact(store)
    assert store.rows("from daily_facts order by all") == expected != []


def test_a_metric_is_the_same_from_counts_and_from_requests(store: Store) -> None:
    for name, lines in sessions_across_days(random.Random(7)).items():
        store.put(f"{name}-0.jsonl", lines)
    store.merge()
    with reading(store.spool, store.warehouse) as connection:
        for metric in ("acceptance_rate_750", "kept_chars_rate", "kept_chars_per_active_hour"):
            names = ("day", "language", "model", "version")
            question = Question(metric=metric, by=names, min_users=1)
            sql = sql_of(connection, question, of_one=False)
            assert "daily_facts" in sql
            slow = sql.replace("from daily_facts", "from main.facts")
            assert connection.execute(sql).fetchall() == connection.execute(slow).fetchall() != []


def test_what_counts_do_not_tell_is_read_off_the_requests(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(session(9, seed=3), "s"))
    with reading(store.spool, store.warehouse) as connection:
        told = {row[0] for row in connection.execute("describe daily_facts").fetchall()}
        of = {name for name in DIMENSIONS if name not in {"day", "week", "month"}}
        assert {n for n in of if DIMENSIONS[n] not in told} == NOT_DAILY
        for name in NOT_DAILY:
            sql = sql_of(connection, Question(metric="acceptance_rate", by=(name,)))
            assert "daily_facts" not in sql
            assert connection.execute(sql).fetchall() != []


def test_a_published_metric_reads_the_counts_only(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(session(9, seed=3), "s"))
    store.merge()
    with duckdb.connect(store.warehouse.database, read_only=True) as reader:
        plan = str(reader.execute("explain analyze from metrics").fetchall())
        assert plan.count("READ_PARQUET") == 1
        assert reader.execute("select sum(num_requests) from metrics").fetchall() == [(11,)]
