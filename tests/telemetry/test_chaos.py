"""Everything is killed at random: no acknowledged event is lost or doubled, and no query fails."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from telemetry.merge import merge
from telemetry.warehouse import Warehouse
from tests.stand_ins.hand_clock import HandClock
from tests.stand_ins.spool_writer import START_MS
from tests.telemetry.conftest import Store
from tests.telemetry.test_collector import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
STAND_INS = ROOT / "tests" / "stand_ins"
NUM_SERVERS = 8
MIN_KILLS = 10
"""However long they take."""
QUIET_S = 120.0
"""The time for what is left to arrive, once nobody is killed any more."""


@dataclass
class Company:
    """Eight servers and a shipper on one machine; collector, merger and analyst on another."""

    folder: Path
    port: int
    seeds: count[int] = field(default_factory=lambda: count(1))
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    outputs: list[Path] = field(default_factory=list)
    num_kills: int = 0

    def __post_init__(self) -> None:
        self.spool = self.folder / "editors" / "spool"
        self.data = self.folder / "central"
        tokens = self.folder / "tokens"
        tokens.write_text(f"{TOKEN}\n")
        config = self.folder / "fimble.toml"
        config.write_text(f'[telemetry]\ncollector_url = "http://127.0.0.1:{self.port}"\n')
        fimble = [sys.executable, "-P", "-m", "fimble"]
        collect = ["--port", str(self.port), "--token-file", os.fspath(tokens)]
        self.editors = {
            "FIMBLE_DATA_DIR": os.fspath(self.folder / "editors"),
            "FIMBLE_CONFIG": os.fspath(config),
            "FIMBLE_COLLECTOR_TOKEN": TOKEN,
        }
        central = {"FIMBLE_DATA_DIR": os.fspath(self.data)}
        loop = "while True:\n    subprocess.run(sys.argv[1:])\n    time.sleep(0.3)\n"
        again = [sys.executable, "-c", f"import subprocess, sys, time\n{loop}"]
        self.starts: dict[str, Callable[[], None]] = {
            "collector": lambda: self._start(
                "collector",
                [*fimble, "telemetry", "collect", *collect, "--merge-every-s", "0"],
                central,
            ),
            "shipper": lambda: self._start(
                "shipper",
                [*again, *fimble, "ship", "--once"],
                self.editors,
            ),
            "merger": lambda: self._start(
                "merger",
                [*again, *fimble, "telemetry", "merge"],
                central,
            ),
            "analyst": lambda: self._start(
                "analyst", [sys.executable, os.fspath(STAND_INS / "analyst.py"), self.data], {}
            ),
            **{f"server {n}": self._server(f"server {n}") for n in range(NUM_SERVERS)},
        }

    def start_all(self) -> None:
        for start in self.starts.values():
            start()

    def kill(self, name: str) -> None:
        """Kill a part and all that it has started."""
        process = self.running[name]
        assert process.poll() is None, f"{name} ended by itself"
        os.killpg(process.pid, 9)
        process.wait()
        self.num_kills += 1

    def kill_at_random(self, seconds: float, chance: random.Random) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until or self.num_kills < MIN_KILLS:
            time.sleep(chance.uniform(0.05, 0.6))
            name = chance.choice([*self.running, "collector", "merger", "shipper"])
            self.kill(name)
            self.starts[name]()

    def stop(self, *names: str) -> None:
        for name in names:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.running[name].pid, 9)
            self.running.pop(name).wait()

    def acknowledged(self) -> dict[str, int]:
        """Return how many events each session was told that the disk has."""
        found: dict[str, int] = {}
        for path in self.outputs:
            lines = path.read_bytes().split(b"\n")[:-1]
            if path.name.startswith("server") and lines:
                found[lines[0].decode()] = int(lines[-1]) if len(lines) > 1 else 0
        return found

    def answers(self) -> list[str]:
        """Return what the analyst was told."""
        texts = [p.read_text() for p in self.outputs if p.name.startswith("analyst")]
        return [line for text in texts for line in text.split("\n")[:-1]]

    def _server(self, name: str) -> Callable[[], None]:
        def start() -> None:
            command = [sys.executable, os.fspath(STAND_INS / "outbox_writer.py")]
            self._start(name, [*command, self.spool, str(next(self.seeds))], {})

        return start

    def _start(self, name: str, command: list[str | Path], variables: dict[str, str]) -> None:
        path = self.folder / "outputs" / f"{name}-{len(self.outputs)}.txt"
        path.parent.mkdir(exist_ok=True)
        self.outputs.append(path)
        scratch = self.folder / "scratch"  # of those who are killed before they clean up
        scratch.mkdir(exist_ok=True)
        own = {"PYTHONPATH": os.fspath(ROOT), "TMPDIR": os.fspath(scratch)}
        environment = {**os.environ, **own, **variables}
        with path.open("wb") as out:
            self.running[name] = subprocess.Popen(
                command, stdout=out, stderr=out, env=environment, start_new_session=True
            )


def survives(folder: Path, port: int, *, seconds: float, seed: int) -> Company:
    """Run a company, kill its parts at random, and check what is left."""
    company = Company(folder, port)
    company.start_all()
    try:
        company.kill_at_random(seconds, random.Random(seed))
        _wait_until(lambda: sum(company.acknowledged().values()) > 0, "no server recorded")
        company.stop("shipper", *(f"server {n}" for n in range(NUM_SERVERS)))
        _wait_until(lambda: _is_shipped(company), "the spool is not empty")
        num_answers = len(company.answers())
        _wait_until(lambda: len(company.answers()) > num_answers, "the analyst has no answer")
    finally:
        company.stop(*company.running)
    assert [path.name for path in company.spool.iterdir() if path.name[0] != "."] == []
    store = Store(
        company.data / "spool", Warehouse(company.data / "warehouse"), HandClock(START_MS)
    )
    assert merge(store.spool, store.warehouse, store.clock, wait_s=QUIET_S) is not None
    seqs, acknowledged = store.seqs(), company.acknowledged()
    assert seqs == {name: list(range(len(found))) for name, found in seqs.items()}
    lost = {n: (acked, len(seqs.get(n, []))) for n, acked in acknowledged.items()}
    assert {name: pair for name, pair in lost.items() if pair[1] < pair[0]} == {}
    answers = company.answers()
    assert set(answers) == {"ok"}
    return company


def _is_shipped(company: Company) -> bool:
    """Send what is left, and return whether all was sent."""
    command = [sys.executable, "-P", "-m", "fimble", "ship", "--once"]
    environment = {**os.environ, **company.editors}
    return not subprocess.run(command, env=environment, check=False, capture_output=True).returncode


def _wait_until(is_so: Callable[[], bool], trouble: str) -> None:
    until = time.monotonic() + QUIET_S
    while not is_so():
        assert time.monotonic() < until, trouble
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_whoever_is_killed_no_acknowledged_event_is_lost_or_doubled(
    tmp_path: Path, free_port: int
) -> None:
    survives(tmp_path, free_port, seconds=8, seed=7)


@pytest.mark.benchmarks
@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_a_minute_of_kills_loses_and_doubles_nothing(tmp_path: Path, free_port: int) -> None:
    company = survives(tmp_path, free_port, seconds=60, seed=11)
    events = sum(company.acknowledged().values())
    print(  # noqa: T201 - the figures of docs/telemetry.md
        f"{company.num_kills} kills, {events} acknowledged events, 0 lost, 0 doubled, "
        f"{len(company.answers())} queries, 0 failed"
    )
