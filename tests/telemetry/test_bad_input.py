"""What is broken, too large, too old or out of time: one message at most, and nothing else lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from fimble.events import NEW_IN_VERSIONS, SessionEnded
from telemetry.schema import COLUMNS
from telemetry.segments import MAX_SEGMENT_BYTES
from telemetry.warehouse import FORMAT_VERSION, Kind
from tests.stand_ins.daily_counts import assert_counts_are_exact
from tests.stand_ins.spool_writer import START_MS, lines_of, session

if TYPE_CHECKING:
    from tests.telemetry.conftest import Store

ROOT = Path(__file__).parents[2]
KINDS_OF_VERSION_1 = {"session_started", "session_ended", "served", "shown", "resolved"}
NEW_COLUMNS = {n for kinds in NEW_IN_VERSIONS.values() for names in kinds.values() for n in names}


def version_1(lines: list[bytes]) -> list[bytes]:
    """Return what the first release would have written."""
    records = [json.loads(line) for line in lines]
    old = [r for r in records if r["ev"] in KINDS_OF_VERSION_1]
    return [
        json.dumps(
            {k: v for k, v in ({**r, "v": 1, "seq": n}).items() if k not in NEW_COLUMNS}
        ).encode()
        + b"\n"
        for n, r in enumerate(old)
    ]


def test_segments_of_the_first_release_are_read(store: Store) -> None:
    lines = version_1(lines_of(session(6, seed=1), "s"))
    store.put("s-0.jsonl", lines)
    report = store.merge()
    assert (report.num_events, report.num_damaged, report.num_unknown) == (len(lines), 0, 0)
    assert store.rows("select num_lost, user_key, level from sessions") == [(0, None, None)]
    opportunities = "select count(*), count(distinct opportunity_id) from opportunities"
    assert store.rows(opportunities) == [(6, 6)]


@pytest.mark.parametrize("is_merged", [True, False])
def test_a_warehouse_of_the_first_release_is_read_and_folded(
    store: Store, *, is_merged: bool
) -> None:
    """Where it cannot be written, it is folded for each question."""
    store.put("s-0.jsonl", version_1(lines_of(session(6, seed=1), "s")))
    store.merge()
    expected = store.rows("from opportunities order by all")
    day, files = next(iter(store.warehouse.manifest().days.items()))
    events = store.warehouse.path_of(files, Kind.EVENTS)
    newer = {name for name in COLUMNS if name not in _columns_of_version_1()}
    old = events.with_name("old.parquet")
    duckdb.sql(
        f"from read_parquet($${events}$$) select * exclude ({', '.join(newer)})"
    ).write_parquet(os.fspath(old))
    for kind in Kind:
        if kind is not Kind.EVENTS:
            shutil.rmtree(store.warehouse.folder / kind)
    events.unlink()
    store.warehouse.database.unlink()
    manifest = json.loads((store.warehouse.folder / "manifest.json").read_text())
    manifest |= {
        "format_version": 1,
        "days": {day: {"name": "old.parquet", "num_events": files.num_events}},
    }
    for name in ("forgotten", "forgotten_users", "is_purge_due"):
        del manifest[name]
    (store.warehouse.folder / "manifest.json").write_text(json.dumps(manifest))
    if is_merged:
        store.put("t-0.jsonl", lines_of(session(2, seed=2), "t"))
        store.merge()
        assert store.warehouse.manifest().format_version == FORMAT_VERSION
        assert store.warehouse.manifest().days[day].num_requests >= 8
    mine = "from opportunities where session_id = 's' order by all"
    assert store.rows(mine) == expected != []
    assert_counts_are_exact(store)


@pytest.mark.parametrize("is_merged", [True, False])
def test_a_warehouse_that_was_folded_otherwise_is_folded_anew(
    store: Store, *, is_merged: bool
) -> None:
    """Format 2 had fewer columns; where it cannot be written, it is folded for each question."""
    store.put("s-0.jsonl", lines_of(session(6, seed=1), "s"))
    store.merge()
    expected = store.rows("from opportunities order by all")
    files = next(iter(store.warehouse.manifest().days.values()))
    requests = store.warehouse.path_of(files, Kind.REQUESTS)
    fewer = f"from read_parquet($${requests}$$) select * exclude (is_taken, is_seen, kept_chars)"
    rows = duckdb.sql(fewer).to_arrow_table()
    duckdb.from_arrow(rows).write_parquet(os.fspath(requests))
    store.warehouse.database.unlink()
    path = store.warehouse.folder / "manifest.json"
    manifest = json.loads(path.read_text()) | {"format_version": 2}
    for day in manifest["days"].values():
        del day["daily"]
    path.write_text(json.dumps(manifest))
    if is_merged:
        store.merge()
        assert store.warehouse.manifest().format_version == FORMAT_VERSION
    assert store.rows("from opportunities order by all") == expected != []
    assert_counts_are_exact(store)


def _columns_of_version_1() -> set[str]:
    (start, *rest) = version_1(lines_of(session(6, seed=1), "s"))
    return {name for line in (start, *rest) for name in json.loads(line)} - {"v"}


def test_a_gigabyte_is_refused_and_the_others_are_merged(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(session(2, seed=1), "s"))
    with (store.spool / "huge-0.jsonl").open("wb") as file:
        file.truncate(1 << 30)
    count = store.rows("select count(*) from events")
    report = store.merge()
    assert report.unreadable == (
        f"huge-0.jsonl: {1 << 30} bytes; no session writes more than {MAX_SEGMENT_BYTES}",
    )
    assert [(report.num_events,)] == count == store.rows("select count(*) from events")
    assert [path.name for path in store.spool.iterdir()] == ["huge-0.jsonl"]


def test_a_clock_that_jumps_is_noticed_and_spoils_no_order(store: Store) -> None:
    lines = [json.loads(line) for line in lines_of(session(8, seed=1), "s")]
    for number, record in enumerate(lines):
        record["ts_wall_ms"] += {0: 0, 1: -(10**12), 2: 10**13}[number % 3]
    store.put("s-0.jsonl", [json.dumps(record).encode() + b"\n" for record in lines])
    store.put("t-0.jsonl", lines_of(session(8, seed=1), "t"))
    store.merge()
    assert store.rows("select distinct day::varchar from events") == [("2026-09-01",)]
    jumps = store.rows(
        "select session_id, clock_jump_ms > 60000, num_lost from sessions order by 1"
    )
    assert jumps == [("s", True, 0), ("t", False, 0)]
    same = "outcome, visible_ms, total_ms, accepted_chars, kept_rate_30s, shown_delay_ms"
    found = f"select {same} from opportunities where session_id = '{{}}' order by opportunity_id"
    assert store.rows(found.format("s")) == store.rows(found.format("t")) != []
    assert START_MS in {record["ts_wall_ms"] for record in lines}


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """Return a folder of a disk with a megabyte, in this test's own name space."""
    folder = tmp_path / "small"
    folder.mkdir()
    return folder


def on_small_disk(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a disk of a megabyte at a folder, which is gone afterwards."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, to mount a small disk")
    mount = f"mount -t tmpfs -o size=1m none '{folder}' && exec \"$@\""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh"]
    environment = {**os.environ, "PYTHONPATH": os.fspath(ROOT), "SMALL": os.fspath(folder)}
    done = subprocess.run(
        [*command, sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode and "mount" in done.stderr.partition("\n")[0]:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
    return done


def test_a_full_disk_costs_what_does_not_fit_and_says_how_much(small_disk: Path) -> None:
    code = """
import os
import time
from pathlib import Path
from fimble.clock import SystemClock
from lsp_server.outbox import Outbox
from telemetry.merge import merge
from telemetry.reader import reading
from telemetry.warehouse import Warehouse
from tests.stand_ins.daily_counts import assert_counts_are_exact
from tests.stand_ins.spool_writer import session

small = Path(os.environ["SMALL"])
box = Outbox(small / "spool", session_id="s", clock=SystemClock(), segment_bytes=100_000)
events = session(2000, seed=1)[:-1]
for event in events:
    box.put(event)
while box.num_dropped + box.num_written < len(events):
    time.sleep(0.01)
box.close()
assert 0 < box.num_written < len(events), box.num_written
assert box.num_dropped + box.num_written == len(events) + 1, (box.num_dropped, box.num_written)
warehouse = Warehouse(small / "warehouse")
try:
    merge(small / "spool", warehouse, SystemClock(), wait_s=0)
except Exception as error:
    print(type(error).__name__)
with reading(small / "spool", warehouse) as connection:
    print(connection.execute("select count(*) = %d from events" % box.num_written).fetchall())
"""
    done = on_small_disk(small_disk, code)
    lines = done.stdout.splitlines()
    assert lines[-1:] == ["[(True,)]"], done.stderr
    assert lines[:-1] in ([], ["OSError"], ["IOException"], ["OutOfMemoryException"])


def test_a_read_only_warehouse_still_answers(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(session(2, seed=1), "s"))
    store.merge()
    store.put("t-0.jsonl", lines_of([SessionEnded(num_events_dropped=0)], "t"))
    environment = {
        **os.environ,
        "FIMBLE_DATA_DIR": os.fspath(store.spool.parent),
        "PYTHONPATH": os.fspath(ROOT),
    }
    store.spool.rename(store.spool.with_name("spool"))
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    readonly = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    ask = "select count(distinct session_id) from events"
    done = subprocess.run(
        [*command, readonly, store.spool.parent, sys.executable, "-P", "-m", "fimble",
         "telemetry", "sql", ask, "--format", "csv"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode and "mount" in done.stderr.partition("\n")[0]:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["2"]), done.stderr
