"""A place for a spool and a warehouse, and questions to them."""

from __future__ import annotations

import contextlib
import random
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from telemetry.merge import MergeReport, merge
from telemetry.reader import reading
from telemetry.warehouse import Warehouse
from tests.stand_ins.hand_clock import HandClock
from tests.stand_ins.spool_writer import START_MS


@dataclass
class Store:
    """A spool and its warehouse."""

    spool: Path
    warehouse: Warehouse
    clock: HandClock

    def put(self, name: str, lines: list[bytes]) -> Path:
        """Leave a closed segment in the spool."""
        path = self.spool / name
        path.write_bytes(b"".join(lines))
        return path

    def merge(self) -> MergeReport:
        report = merge(self.spool, self.warehouse, self.clock, wait_s=0)
        assert report is not None
        return report

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query gives, in any order of its own."""
        with reading(self.spool, self.warehouse) as connection:
            return connection.execute(sql).fetchall()

    def seqs(self) -> dict[str, list[int]]:
        """Return the numbers of the events that are there, by session."""
        found: dict[str, list[int]] = {}
        for session_id, seq in self.rows("select session_id, seq from events order by all"):
            found.setdefault(session_id, []).append(seq)
        return found


@pytest.fixture
def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at.

    It is none of those that systems give to clients (32768 and above), so that no client of another
    test has it while a server that was killed is started again.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


@pytest.fixture
def store(tmp_path: Path) -> Store:
    spool = tmp_path / "spool 🙂 it's"
    spool.mkdir()
    return Store(spool, Warehouse(tmp_path / "warehouse"), HandClock(START_MS))
