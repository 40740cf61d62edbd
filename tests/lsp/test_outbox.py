"""Events on their way to the disk, with disks that are slow, full or gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from fimble.events import SCHEMA_VERSION, Event, Shown, Source
from fimble.spool import CLOSED_SUFFIX, OPEN_SUFFIX
from lsp_server.outbox import AWAKE_S, CLOSE_TIMEOUT_S, Outbox
from tests.stand_ins.hand_clock import HandClock
from tests.stand_ins.lsp_client import events_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


NOW_MS = 1_700_000_000_000


def outbox(folder: Path | None, **more: int) -> Outbox:
    return Outbox(folder, session_id="s", clock=HandClock(NOW_MS), **more)


def event(number: int = 0) -> Event:
    return Shown(completion_id=f"c{number}", source=Source.EDITOR, shown_delay_ms=1.0)


def test_a_line_is_the_shared_record(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.put(event())
    box.close()
    [path] = tmp_path.iterdir()
    assert path.name == f"s-0{CLOSED_SUFFIX}"
    first, last = path.read_text().splitlines()
    assert json.loads(first) == {
        "v": SCHEMA_VERSION,
        "ev": "shown",
        "session_id": "s",
        "seq": 0,
        "ts_wall_ms": NOW_MS,
        "ts_mono_ms": NOW_MS,
        "completion_id": "c0",
        "source": "editor",
        "shown_delay_ms": 1.0,
    }
    assert (json.loads(last)["ev"], json.loads(last)["seq"]) == ("session_ended", 1)
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_event_reaches_the_disk_whether_its_thread_looks_or_sleeps(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.put(event(0))
    wait_until(lambda: box.num_written == 1)
    box.put(event(1))  # the thread looks for more
    wait_until(lambda: box.num_written == 2)
    wait_until(lambda: box._is_asleep)
    box.put(event(2))
    wait_until(lambda: box.num_written == 3)
    started_s = time.monotonic()
    box.close()
    assert time.monotonic() - started_s < CLOSE_TIMEOUT_S / 2
    assert [e["seq"] for e in events_in(tmp_path)] == [0, 1, 2, 3]


def wait_until(is_so: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + 2 * AWAKE_S
    while not is_so():
        assert time.monotonic() < limit_s
        time.sleep(0.01)


def test_nothing_is_created_before_the_first_event(tmp_path: Path) -> None:
    outbox(tmp_path / "spool").close()
    assert list(tmp_path.iterdir()) == []


def test_switched_off_nothing_is_created(tmp_path: Path) -> None:
    box = outbox(None)
    box.put(event())
    box.close()
    assert list(tmp_path.iterdir()) == []
    assert box.num_dropped == 0


def test_segments_are_closed_before_they_grow_too_large(tmp_path: Path) -> None:
    box = outbox(tmp_path, segment_bytes=400)
    for number in range(20):
        box.put(event(number))
    box.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert all(size <= 400 for size in sizes.values())
    assert sorted(sizes) == sorted(f"s-{n}{CLOSED_SUFFIX}" for n in range(len(sizes)))
    assert [e["seq"] for e in events_in(tmp_path)] == list(range(21))


def test_a_disk_that_hangs_never_makes_the_session_wait(tmp_path: Path) -> None:
    # Opening a FIFO for writing waits until somebody reads it: a disk that hangs.
    fifo = tmp_path / f".s-0{OPEN_SUFFIX}.part"
    os.mkfifo(fifo)
    box = outbox(tmp_path, queue_events=3)
    box.put(event(0))
    while box._waiting:
        pass
    for number in range(1, 10):
        box.put(event(number))
    assert box.num_dropped == 6
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(fifo.read_text().splitlines()))
    reader.start()
    box.close()
    reader.join(10)
    written = [json.loads(line) for line in lines]
    assert [record["seq"] for record in written] == [0, 1, 2, 3, 10]
    assert written[-1]["num_events_dropped"] == 6


def test_a_full_disk_leaves_whole_lines_and_a_count(tmp_path: Path) -> None:
    code = f"""
import resource
from pathlib import Path
from tests.lsp.test_outbox import event, outbox
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
box = outbox(Path({str(tmp_path)!r}))
for number in range(50):
    box.put(event(number))
box.close()
print(box.num_dropped)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    events = events_in(tmp_path)
    assert 0 < len(events) < 10
    assert [e["seq"] for e in events] == list(range(len(events)))
    assert int(out.stdout) == 51 - len(events)


def test_a_disk_that_is_full_from_the_first_line_on_leaves_no_segment(tmp_path: Path) -> None:
    code = f"""
import resource
from pathlib import Path
from tests.lsp.test_outbox import event, outbox
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
box = outbox(Path({str(tmp_path)!r}))
box.put(event())
box.close()
print(box.num_dropped)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_cannot_be_made_drops_and_counts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    box = outbox(tmp_path / "file" / "spool")
    box.put(event())
    box.close()
    assert box.num_dropped == 2


def test_a_spool_deleted_under_the_session_is_no_error(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    box = outbox(spool, segment_bytes=300)
    box.put(event(0))
    while not spool.exists() or not list(spool.glob("*.open")):
        pass
    for path in spool.iterdir():
        path.unlink()
    for number in range(1, 5):
        box.put(event(number))
    box.close()
    assert [e["seq"] for e in events_in(spool)] == [1, 2, 3, 4, 5]
