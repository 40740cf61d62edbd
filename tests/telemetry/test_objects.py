"""Object storage as the home of a warehouse: the same questions, the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from fimble.errors import InputError
from telemetry.collector.intake import Intake, Room, Verdict
from telemetry.collector.objects import (
    MANIFEST,
    ObjectFolder,
    pull,
    push,
    push_operations,
    restore,
)
from telemetry.collector.receipts import RECEIPTS, Receipts
from telemetry.operations.scrape import Sample
from telemetry.operations.store import OperationsStore
from telemetry.privacy.forget import forget
from telemetry.reader import reading
from telemetry.texts import parquet_query
from telemetry.warehouse import Warehouse
from tests.stand_ins.hand_clock import HandClock
from tests.stand_ins.s3_app import Bucket, s3_bucket
from tests.stand_ins.spool_writer import START_MS, lines_of, session
from tests.telemetry.conftest import Store
from tests.telemetry.test_collector import PLAIN, SESSION, upload_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with s3_bucket() as running:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


@pytest.fixture
def objects(bucket: Bucket) -> ObjectFolder:
    assert bucket.objects == {}
    return ObjectFolder.at("s3://bucket/team")


def test_a_warehouse_in_a_bucket_gives_the_same_answers(
    store: Store, bucket: Bucket, objects: ObjectFolder, tmp_path: Path
) -> None:
    copy = Warehouse(tmp_path / "copy")
    with pytest.raises(InputError, match="holds no warehouse/manifest"):
        pull(objects, copy)
    for number in range(3):
        store.put(f"s{number}-0.jsonl", lines_of(session(4, seed=number), f"s{number}"))
        store.merge()
        push(store.warehouse, objects)
        pull(objects, copy)
        with reading(tmp_path / "nothing", copy) as connection:
            for view in ("opportunities", "sessions", "metrics"):
                theirs = connection.execute(f"from {view} order by all").fetchall()
                assert theirs == store.rows(f"from {view} order by all") != []
    assert len([name for name in bucket.objects if "/events/" in name]) == 3  # two wait for readers
    store.clock.now_ms += 10_000_000
    store.merge()
    push(store.warehouse, objects)
    assert sorted(bucket.objects) == [
        f"team/{MANIFEST}".replace("manifest.json", name)
        for name in (
            "daily/2026-09-01.3.parquet",
            "events/2026-09-01.3.parquet",
            "latency/2026-09-01.3.parquet",
            "manifest.json",
            "requests/2026-09-01.3.parquet",
            "sessions/2026-09-01.3.parquet",
        )
    ]


def test_a_segment_is_in_the_bucket_before_it_is_acknowledged(
    bucket: Bucket, objects: ObjectFolder, tmp_path: Path
) -> None:
    receipts = Receipts(tmp_path / "receipts.jsonl")
    room = Room(min_free_bytes=0)
    intake = Intake(tmp_path / "spool", receipts, room, objects=objects)
    upload = upload_of(f"{SESSION}-0.jsonl", PLAIN)
    bucket.refuses = True
    with pytest.raises(OSError, match="object storage"):
        intake.take(upload)
    bucket.refuses = False
    assert (intake.take(upload), intake.take(upload)) == (Verdict.TAKEN, Verdict.KNOWN)
    assert bucket.objects == {f"team/segments/{SESSION}-0.jsonl": PLAIN}
    receipts.close()
    # The machine burns down before it has merged: another one goes on.
    fresh = Warehouse(tmp_path / "fresh" / "warehouse")
    restore(objects, tmp_path / "fresh", fresh)
    after = Store(tmp_path / "fresh" / "spool", fresh, HandClock(START_MS))
    after.merge()
    assert after.seqs() == {SESSION: list(range(PLAIN.count(b"\n")))}
    push(fresh, objects)
    assert not [name for name in bucket.objects if "segments" in name]


def test_what_is_forgotten_leaves_the_bucket(
    store: Store, bucket: Bucket, objects: ObjectFolder
) -> None:
    for number in range(2):
        store.put(f"s{number}-0.jsonl", lines_of(session(4, seed=number), f"s{number}"))
    store.merge()
    push(store.warehouse, objects)
    forget([store.spool], store.warehouse, store.clock, user_keys=["u0"], wait_s=0)
    push(store.warehouse, objects)
    assert store.rows("select session_id, user_key from sessions") == [("s1", "u1")]
    assert not [name for name, data in bucket.objects.items() if b"c0-1" in data]
    assert len(bucket.objects) == 6


def test_what_backends_said_follows_into_the_bucket(
    store: Store, bucket: Bucket, objects: ObjectFolder, tmp_path: Path
) -> None:
    store.put("s-0.jsonl", lines_of(session(1, seed=1), "s"))
    store.merge()
    operations = OperationsStore(store.warehouse.folder)
    copy = Warehouse(tmp_path / "copy")
    for hour in range(3):
        at_ms = START_MS + hour * 3_600_000
        operations.add([Sample(at_ms, "gpu 🙂", "up", {}, float(hour))])
        if hour == 2:
            operations.tidy(now_ms=START_MS + 2 * 86_400_000, keep_days=9)  # hours become a day
        push_operations(store.warehouse, objects)
        push(store.warehouse, objects)
        pull(objects, copy)
        here, there = (
            duckdb.sql(f"{parquet_query(OperationsStore(w.folder).files())} order by at_ms")
            for w in (store.warehouse, copy)
        )
        assert len(here.fetchall()) == hour + 1
        assert here.fetchall() == there.fetchall()
    names = [name for name in bucket.objects if "/operations/" in name]
    assert names == ["team/warehouse/operations/2026-09-01.1.parquet"]


def test_receipts_are_restored_so_that_senders_stay_apart(
    objects: ObjectFolder, tmp_path: Path
) -> None:
    receipts = Receipts(tmp_path / "first" / RECEIPTS)
    intake = Intake(tmp_path / "first" / "spool", receipts, Room(min_free_bytes=0), objects=objects)
    upload = upload_of(f"{SESSION}-0.jsonl", PLAIN)
    assert intake.take(upload._replace(sender="alice")) == Verdict.TAKEN
    receipts.close()
    objects.put(RECEIPTS, (tmp_path / "first" / RECEIPTS).read_bytes())
    restore(objects, tmp_path / "second", Warehouse(tmp_path / "second" / "warehouse"))
    receipts = Receipts(tmp_path / "second" / RECEIPTS)
    intake = Intake(tmp_path / "second" / "spool", receipts, Room(min_free_bytes=0))
    assert intake.take(upload._replace(sender="mallory")) == Verdict.OF_ANOTHER
    assert intake.take(upload._replace(sender="alice")) == Verdict.KNOWN
    receipts.close()


def test_an_address_that_is_none_is_refused() -> None:
    for url in ("nowhere", "xyz://bucket"):
        with pytest.raises(InputError, match=r"allowed are addresses such as s3://"):
            ObjectFolder.at(url)
