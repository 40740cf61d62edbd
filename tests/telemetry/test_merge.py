"""From spool to warehouse: everything once, whatever is in the spool."""

import json
import os
import shutil

import duckdb
import pytest

from fimble.errors import InputError
from fimble.events import Event, SessionEnded, SessionStarted
from telemetry.merge import MergeReport, merge
from telemetry.warehouse import GRACE_MS, DayFile, Manifest
from tests.stand_ins.spool_writer import START_MS, lines_of, open_segment, session
from tests.telemetry.conftest import Store

DAY_MS = 86_400_000
TWO_EVENTS: list[Event] = [
    SessionStarted(
        editor="Neovim 🙂\r\n",
        editor_version="",
        plugin_version="",
        server_version="it's",
        level="metrics",
        user_key="",
        key_epoch=0,
        team="",
    ),
    SessionEnded(num_events_dropped=0),
]


def test_a_segment_moves_from_the_spool_into_the_file_of_its_day(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(session(3, seed=1), "s"))
    num_events = len(session(3, seed=1))
    assert store.merge() == MergeReport(num_segments=1, num_events=num_events)
    assert list(store.spool.iterdir()) == []
    manifest = store.warehouse.manifest()
    day = DayFile(
        name="2026-09-01.1.parquet",
        num_events=num_events,
        sessions="2026-09-01.1.parquet",
        requests="2026-09-01.1.parquet",
        num_requests=5,
        daily="2026-09-01.1.parquet",
        latency="2026-09-01.1.parquet",
    )
    assert manifest.days == {"2026-09-01": day}
    entry = manifest.segments["s-0.jsonl"]
    assert (entry.num_events, entry.days) == (num_events, ("2026-09-01",))
    assert store.seqs() == {"s": list(range(num_events))}


def test_values_come_through_as_they_were_recorded(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(TWO_EVENTS, "s"))
    store.merge()
    assert store.rows(
        "select ev, seq, ts_wall_ms, ts_mono_ms, editor, editor_version, server_version, "
        "num_events_dropped, completion_id from events order by seq"
    ) == [
        ("session_started", 0, START_MS, START_MS, "Neovim 🙂\r\n", "", "it's", None, None),
        ("session_ended", 1, START_MS + 1000, START_MS + 1000, None, None, None, 0, None),
    ]


def test_an_empty_or_missing_spool_is_nothing_to_do(store: Store) -> None:
    assert store.merge() == MergeReport()
    store.spool.rmdir()
    assert store.merge() == MergeReport()
    assert store.rows("select count(*) from events") == [(0,)]
    assert store.rows("from completions union all by name from metrics") == []


def test_a_segment_is_merged_once_however_often_it_comes(store: Store) -> None:
    lines = lines_of(TWO_EVENTS, "s")
    store.put("s-0.jsonl", lines)
    store.merge()
    before = store.warehouse.manifest()
    store.put("s-0.jsonl", lines)
    assert store.merge() == MergeReport()
    assert list(store.spool.iterdir()) == []
    assert store.warehouse.manifest() == before
    store.put("copy-of-s-0.jsonl", [*lines, *lines])
    assert store.merge() == MergeReport(num_segments=1, num_duplicates=4)
    store.put("s-0.jsonl", [*lines, *lines_of([*TWO_EVENTS, *TWO_EVENTS], "s")[2:]])
    assert store.merge() == MergeReport(num_segments=1, num_events=2, num_duplicates=2)
    assert store.seqs() == {"s": [0, 1, 2, 3]}


def test_a_session_across_midnight_is_in_the_files_of_both_days(store: Store) -> None:
    lines = lines_of(session(2, seed=1), "s", start_ms=START_MS + DAY_MS - 2000)
    store.put("s-0.jsonl", lines)
    store.merge()
    manifest = store.warehouse.manifest()
    assert [(day, file.num_events) for day, file in manifest.days.items()] == [
        ("2026-09-01", 2),
        ("2026-09-02", len(lines) - 2),
    ]
    assert manifest.segments["s-0.jsonl"].days == ("2026-09-01", "2026-09-02")
    assert store.rows("select day::varchar, count(*) from events group by day order by day") == [
        ("2026-09-01", 2),
        ("2026-09-02", len(lines) - 2),
    ]


def test_a_file_that_is_replaced_stays_for_the_queries_that_read_it(store: Store) -> None:
    store.put("a-0.jsonl", lines_of(TWO_EVENTS, "a"))
    store.merge()
    with duckdb.connect(store.warehouse.database, read_only=True) as reader:
        store.put("b-0.jsonl", lines_of(TWO_EVENTS, "b"))
        store.clock.now_ms += GRACE_MS - 1
        store.merge()
        names = {path.name for path in store.warehouse.events.iterdir()}
        assert names == {"2026-09-01.1.parquet", "2026-09-01.2.parquet"}
        assert reader.execute("select count(*) from events").fetchall() == [(2,)]
    store.clock.now_ms += GRACE_MS
    store.merge()
    assert [path.name for path in store.warehouse.events.iterdir()] == ["2026-09-01.2.parquet"]
    assert store.warehouse.manifest().retired == {}
    assert store.seqs() == {"a": [0, 1], "b": [0, 1]}


def test_any_duckdb_client_can_read_the_published_views(
    store: Store, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("s-0.jsonl", lines_of(session(5, seed=3), "s"))
    store.merge()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with duckdb.connect(store.warehouse.database, read_only=True) as reader:
        for view in ("events", "sessions", "completions", "metrics", "facts", "latency"):
            theirs = reader.execute(f"from {view} order by all").fetchall()
            assert theirs == store.rows(f"from {view} order by all")
            assert theirs != []


def test_what_is_no_event_is_counted_and_kept_aside(store: Store) -> None:
    good, last = lines_of(TWO_EVENTS, "s")
    record = json.loads(last)
    flawed = [
        b"\n",
        b"not json \xf0\x9f\x99\x82\r\n",
        b"\xff\xfe\n",
        b"[1]\n",
        b'{"v": 1}\n',
        b"[" * 100_000 + b"\n",
        *(
            json.dumps({**record, **change}).encode() + b"\n"
            for change in (
                {"seq": -1},
                {"seq": 1.5},
                {"seq": True},
                {"seq": 2**63},
                {"ts_wall_ms": 10**18},
                {"ts_mono_ms": float("nan")},
                {"ts_mono_ms": 10**400},
                {"session_id": ""},
                {"session_id": "\ud83d"},
                {"ev": ["served"]},
                {"num_events_dropped": "0"},
                {"num_events_dropped": None},
            )
        ),
    ]
    unknown = [
        json.dumps({**record, "v": 4}).encode() + b"\n",
        json.dumps({**record, "ev": "dreamt"}).encode() + b"\n",
    ]
    torn = good[: len(good) // 2]
    store.put("s-0.jsonl", [good, *flawed, *unknown, last, torn])
    assert store.merge() == MergeReport(
        num_segments=1,
        num_events=2,
        num_torn=1,
        num_damaged=len(flawed),
        num_unknown=len(unknown),
    )
    kept = (store.warehouse.aside / "s-0.jsonl").read_bytes()
    assert kept == b"".join([*flawed, *unknown, torn, b"\n"])
    assert store.seqs() == {"s": [0, 1]}


def test_a_field_that_we_do_not_know_is_not_stored(store: Store) -> None:
    (line, _) = lines_of(TWO_EVENTS, "s")
    store.put("s-0.jsonl", [json.dumps({**json.loads(line), "secret": "code"}).encode()])
    assert store.merge().num_events == 1
    assert not any("secret" in str(row) for row in store.rows("describe events"))


def test_lines_kept_aside_can_be_merged_by_a_release_that_knows_them(store: Store) -> None:
    first, last = lines_of(TWO_EVENTS, "s")
    store.put("s-0.jsonl", [first, last.replace(b'"v": 3', b'"v": 4')])
    assert store.merge().num_unknown == 1
    aside = store.warehouse.aside / "s-0.jsonl"
    aside.write_bytes(aside.read_bytes().replace(b'"v": 4', b'"v": 3'))
    shutil.move(aside, store.spool)
    assert store.merge() == MergeReport(num_segments=1, num_events=1)
    assert store.seqs() == {"s": [0, 1]}


def test_a_segment_of_a_living_writer_stays_and_is_read_where_it_is(store: Store) -> None:
    lines = lines_of(session(4, seed=2), "s")
    path, descriptor = open_segment(store.spool, "s", 0)
    os.write(descriptor, b"".join(lines[:5]) + lines[5][:40])
    assert store.merge() == MergeReport()
    assert path.exists()
    assert store.seqs() == {"s": [0, 1, 2, 3, 4]}
    os.write(descriptor, lines[5][40:])
    assert store.seqs() == {"s": [0, 1, 2, 3, 4, 5]}
    os.close(descriptor)
    assert store.merge() == MergeReport(num_segments=1, num_events=6, num_adopted=1)
    assert list(store.spool.iterdir()) == []
    assert store.seqs() == {"s": [0, 1, 2, 3, 4, 5]}


def test_a_segment_that_is_closed_and_one_that_is_open_are_read_together(store: Store) -> None:
    lines = lines_of(session(9, seed=2), "s")
    store.put("s-0.jsonl", lines[:10])
    _, descriptor = open_segment(store.spool, "s", 1)
    os.write(descriptor, b"".join(lines[8:12]))
    assert store.seqs() == {"s": list(range(12))}
    store.merge()
    assert store.seqs() == {"s": list(range(12))}
    os.close(descriptor)


def test_a_segment_that_cannot_be_read_stops_no_other(store: Store) -> None:
    (store.spool / "folder-0.jsonl").mkdir()
    (store.spool / "gone-0.jsonl").symlink_to("nowhere")
    (store.spool / "gone-1.jsonl.open").symlink_to("nowhere")
    store.put("s-0.jsonl", lines_of(TWO_EVENTS, "s"))
    assert store.seqs() == {"s": [0, 1]}
    assert store.merge() == MergeReport(
        num_segments=1,
        num_events=2,
        unreadable=(
            "folder-0.jsonl: Is a directory",
            "gone-0.jsonl: No such file or directory",
        ),
    )
    assert store.seqs() == {"s": [0, 1]}


def test_only_one_process_merges_at_a_time(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(TWO_EVENTS, "s"))
    with store.warehouse.merging(wait_s=0) as is_ours:
        assert is_ours
        assert merge(store.spool, store.warehouse, store.clock, wait_s=0) is None
        assert store.seqs() == {"s": [0, 1]}
    assert store.merge().num_events == 2


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"format_version": 6}', '{"generation": "x"}', '{"days": {"x": 1}}'],
)
def test_a_damaged_manifest_is_refused_and_nothing_is_lost(store: Store, text: str) -> None:
    store.put("s-0.jsonl", lines_of(TWO_EVENTS, "s"))
    (store.warehouse.folder).mkdir()
    manifest = store.warehouse.folder / "manifest.json"
    manifest.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"manifest\.json"):
        store.merge()
    assert [path.name for path in store.spool.iterdir()] == ["s-0.jsonl"]
    manifest.unlink()
    assert store.merge().num_events == 2


def test_a_manifest_comes_back_as_it_was_saved(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(TWO_EVENTS, "s"))
    store.merge()
    manifest = store.warehouse.manifest()
    store.warehouse.save(manifest)
    assert store.warehouse.manifest() == manifest
    assert manifest != Manifest()


def test_views_are_published_again_where_somebody_deleted_or_broke_them(store: Store) -> None:
    store.put("s-0.jsonl", lines_of(TWO_EVENTS, "s"))
    store.merge()
    store.warehouse.database.write_bytes(b"no database")
    store.merge()
    with duckdb.connect(store.warehouse.database, read_only=True) as reader:
        assert reader.execute("select count(*) from events").fetchall() == [(2,)]
    store.warehouse.database.unlink()
    store.merge()
    assert store.warehouse.database.exists()


@pytest.mark.slow
def test_a_hundred_thousand_events_are_merged_and_folded(store: Store) -> None:
    template = b"".join(lines_of(session(350, seed=5), "SESSION", step_ms=60_000))
    num_events = template.count(b"\n")
    for number in range(100):
        name = f"s{number}"
        store.put(f"{name}-0.jsonl", [template.replace(b"SESSION", name.encode())])
    assert store.merge() == MergeReport(num_segments=100, num_events=100 * num_events)
    assert num_events * 100 >= 100_000
    totals = "select count(*), sum(num_events), sum(num_lost) from sessions"
    assert store.rows(totals) == [(100, 100 * num_events, 0)]
    assert store.rows("select count(*) from completions") == [(35_000,)]
