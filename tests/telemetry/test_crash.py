"""Kills at every step: what a reader sees is always every event, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from telemetry.compaction import MIN_DAYS
from tests.stand_ins.spool_writer import START_MS, lines_of, session

if TYPE_CHECKING:
    from tests.telemetry.conftest import Store

DAY_MS = 86_400_000
ROOT = Path(__file__).parents[2]
WRITER = ROOT / "tests" / "stand_ins" / "spool_writer.py"

# Kills itself at the n-th thing that Python does to a file (PEP 578), for every so many n, in
# children of one process, so that each start is cheap. Prints the last n that killed.
KILLER = """
import os, shutil, signal, sys
from pathlib import Path
from telemetry.merge import merge
from telemetry.warehouse import Warehouse
from fimble.clock import SystemClock

def attempt(folder, kill_at):
    count = 0
    def hook(event, arguments):
        nonlocal count
        changes = event in {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
        if changes and str(arguments[0]).startswith(str(folder)):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    merge(folder / "spool", Warehouse(folder / "warehouse"), SystemClock(), wait_s=0)
    os._exit(0)

start, work = Path(sys.argv[1]), Path(sys.argv[2])
stride = int(sys.argv[4])
number, status = int(sys.argv[3]) - stride, None
while status != 0:
    number += stride
    folder = work / f"{number:03}"
    shutil.copytree(start, folder)
    child = os.fork()
    if child == 0:
        attempt(folder, number)
    status = os.waitpid(child, 0)[1]
print(number - stride)
"""


def environment(store: Store) -> dict[str, str]:
    """Return an environment in which `fimble` finds the store, the spool within it."""
    return {**os.environ, "FIMBLE_DATA_DIR": os.fspath(store.spool.parent)}


def query(store: Store, sql: str) -> list[str]:
    """Return the lines that `fimble telemetry sql` prints as CSV, without the header."""
    command = [sys.executable, "-m", "fimble", "telemetry", "sql", sql, "--format", "csv"]
    result = subprocess.run(
        command, env=environment(store), capture_output=True, text=True, check=True, timeout=150
    )
    return result.stdout.splitlines()[1:]


@pytest.fixture
def data(store: Store) -> Store:
    """A store whose spool has the name that `fimble` expects."""
    store.spool = store.spool.rename(store.spool.with_name("spool"))
    return store


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_merger_killed_at_any_step_loses_and_doubles_nothing(data: Store, tmp_path: Path) -> None:
    first, second = lines_of(session(4, seed=1), "a"), lines_of(session(4, seed=2), "b")
    data.put("a-0.jsonl", first[:5])
    data.merge()
    data.put("a-1.jsonl", [*first[4:], b"damaged\n"])
    data.put("b-0.jsonl.open", [*second, second[0][:9]])
    expected = {"a": list(range(len(first))), "b": list(range(len(second)))}
    folders = kill_at_each_step(data, tmp_path, stride=2)
    assert len(folders) >= 10
    for folder in folders:
        left = type(data)(folder / "spool", type(data.warehouse)(folder / "warehouse"), data.clock)
        assert left.seqs() == expected, folder
        left.merge()
        assert left.seqs() == expected, folder
        assert list(left.spool.iterdir()) == []
        manifest = left.warehouse.manifest()
        on_disk = {path.name for path in left.warehouse.events.iterdir()}
        retired = {path.removeprefix("events/") for path in manifest.retired if "events/" in path}
        assert on_disk == {d.name for d in manifest.days.values()} | retired
        assert (left.warehouse.aside / "a-1.jsonl").read_bytes() == b"damaged\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_merger_killed_while_it_compacts_loses_and_doubles_nothing(
    data: Store, tmp_path: Path
) -> None:
    for number in range(MIN_DAYS):
        lines = lines_of(session(1, seed=number), f"s{number}", start_ms=START_MS + number * DAY_MS)
        data.put(f"s{number}-0.jsonl", lines)
    data.clock.now_ms = START_MS + MIN_DAYS * DAY_MS
    data.merge()
    expected = data.rows("from opportunities order by all")
    for folder in kill_at_each_step(data, tmp_path, stride=5):
        left = type(data)(folder / "spool", type(data.warehouse)(folder / "warehouse"), data.clock)
        assert left.rows("from opportunities order by all") == expected, folder
        left.clock.now_ms = START_MS + 90 * DAY_MS
        left.merge()
        manifest = left.warehouse.manifest()
        assert left.rows("from opportunities order by all") == expected, folder
        assert len(manifest.blocks["2026-09"].days) == MIN_DAYS
        requests = {f"requests/{path.name}" for path in (folder / "warehouse/requests").iterdir()}
        assert requests - manifest.retired.keys() == requests & manifest.named()


def kill_at_each_step(data: Store, tmp_path: Path, *, stride: int) -> list[Path]:
    """Return folders, each with what a merge leaves that was killed so many steps later."""
    start, work = tmp_path / "start", tmp_path / "killed"
    work.mkdir()
    start.mkdir()
    data.spool.rename(start / "spool")
    data.warehouse.folder.rename(start / "warehouse")
    command = [sys.executable, "-c", KILLER, os.fspath(start), os.fspath(work)]
    first_kill = random.SystemRandom().randint(1, stride)  # so that each step has its turn
    command += [str(first_kill), str(stride)]
    killed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(killed.stdout) >= 10
    return sorted(work.iterdir())


@pytest.mark.slow
@pytest.mark.e2e
def test_writers_and_mergers_killed_all_along_lose_nothing_while_analysts_query(
    data: Store,
) -> None:
    """What is on the disk is there in the end, once, and each query sees all of it."""
    chance = random.Random(7)
    acknowledged: dict[str, int] = {}
    merging = [sys.executable, "-m", "fimble", "telemetry", "merge"]
    for number in range(4):
        name = f"s{number}"
        command = [sys.executable, os.fspath(WRITER), os.fspath(data.spool), name, "100"]
        with (
            subprocess.Popen(
                [*command, str(number)], stdout=subprocess.PIPE, env=environment(data), cwd=ROOT
            ) as writer,
            subprocess.Popen(merging, env=environment(data), stdout=subprocess.DEVNULL) as merger,
        ):
            assert writer.stdout is not None
            first = int(writer.stdout.readline())
            seen = query(data, f"select count(*), max(seq) from events where session_id = '{name}'")
            count, last = map(int, seen[0].split(","))
            assert count == last + 1 >= first
            time.sleep(chance.uniform(0.0, 0.3))
            merger.send_signal(signal.SIGKILL)
            writer.send_signal(signal.SIGKILL)
            acknowledged[name] = int(writer.stdout.read().split()[-1])
    for _ in range(2):
        seqs = data.seqs()
        assert seqs == {name: list(range(len(found))) for name, found in seqs.items()}
        assert all(len(seqs[name]) >= count for name, count in acknowledged.items())
        data.merge()
    assert list(data.spool.iterdir()) == []
    with duckdb.connect(data.warehouse.database, read_only=True) as reader:
        assert reader.execute("select sum(num_lost) from sessions").fetchall() == [(0,)]
