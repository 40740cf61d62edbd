"""`fimble telemetry ui` in a browser that can reach this machine only."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest

from fimble.cli import main
from fimble.clock import SystemClock
from telemetry.metrics.question import Question, ask_ratio
from telemetry.operations.scrape import Sample
from telemetry.operations.store import OperationsStore
from telemetry.reader import reading
from telemetry.ui.command import NOTEBOOKS
from telemetry.warehouse import Warehouse
from tests.stand_ins.browser import opened, program
from tests.telemetry.experiments.registrations import registered

QUEUE = "tgi_queue_size"


class Notebooks(NamedTuple):
    """A running `fimble telemetry ui`."""

    address: str
    data: Path


@pytest.fixture
def notebooks(tmp_path: Path) -> Iterator[Notebooks]:
    data = tmp_path / "data 🙂"
    (tmp_path / "registered").mkdir()
    registered(tmp_path / "registered")
    few = ["--users", "12", "--days", "3", "--start", "2026-09-01"]
    assert main(["telemetry", "simulate", "--out", str(data), *few]) == 0
    samples = [Sample(SystemClock().wall_ms(), "gpu1", name, {}, 3.0) for name in ("up", QUEUE)]
    OperationsStore(data / "warehouse").add(samples)
    places = {"DATA_DIR": data, "EXPERIMENTS_DIR": tmp_path / "registered"}
    environment = {**os.environ, **{f"FIMBLE_{k}": str(v) for k, v in places.items()}}
    environment |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "fimble", "telemetry", "ui", "--no-browser"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("notebooks at http://127.0.0.1:")
            yield Notebooks(line.split()[-1], data)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=150)
            with socket.socket() as client:  # nobody is left who answers
                assert client.connect_ex(("127.0.0.1", urlsplit(line.split()[-1]).port or 0)) != 0


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(program() is None, reason="needs Chromium")
async def test_every_notebook_answers_in_a_browser_without_a_network(notebooks: Notebooks) -> None:
    name = program()
    assert name is not None
    before = digests(notebooks.data)
    with reading(notebooks.data / "none", Warehouse(notebooks.data / "warehouse")) as connection:
        rows = ask_ratio(connection, Question(metric="acceptance_rate_750", by=("editor",)))
    told = {row.group[0]: row.value for row in rows}
    async with aiohttp.ClientSession() as client:
        plain = notebooks.address.partition("?")[0]
        async with client.get(f"{plain}?file=quality.py") as answer:
            assert "Data quality" not in await answer.text()  # without the token: the login page
            assert "login" in str(answer.url)
    async with opened(name) as page:
        await page.open(notebooks.address)
        await page.wait_for(
            "Acceptance", "Latency", "Retention", "Backends", "Experiment", "Quality"
        )
        found = {}
        for notebook, wanted in zip(
            NOTEBOOKS,
            (
                "Day by day",
                "took no longer",
                "by language",
                "Longest queue",
                "verdict",
                "The doctor says",
            ),
            strict=True,
        ):
            await page.open(f"{plain}?file={notebook}.py")
            found[notebook] = await page.wait_for(wanted)
        assert page.hosts == {"127.0.0.1"}
        assert page.errors == []
    assert "Acceptance of what could be read" in found["acceptance"]
    assert "p95" in found["latency"]
    assert "10 min" in found["retention"]
    assert "gpu1" in found["backends"]
    assert "events lost (0.00%)" in found["experiment"]
    assert "0 lost (0.00%)" in found["quality"]
    assert set(told) == {"Helix", "Neovim", "Visual Studio Code"}
    assert digests(notebooks.data) == before


def test_a_wrong_port_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path))
    assert main(["telemetry", "ui", "--port", "70000"]) == 2
    assert capsys.readouterr().err == "fimble: --port is 70000; it must be 0 to 65535\n"
