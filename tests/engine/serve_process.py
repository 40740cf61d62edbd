"""`fimble serve` as a real process, and what its numbers say."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_S = 60


class ServeProcess:
    """A server that has said where it listens."""

    def __init__(self, process: subprocess.Popen[bytes], announce: Path, log: Path) -> None:
        self.process = process
        self.announce = announce
        self.log = log
        announcement = json.loads(announce.read_bytes())
        self.url: str = announcement["url"]
        self.token: str = announcement["token"]
        self.digest: str = announcement["model_digest"]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def metric(self, name: str) -> int:
        """Return one number of `/metrics`; 0 for one that is not there."""
        return self._numbers().get(name, 0)

    def _numbers(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:  # noqa: S310 - loopback
            lines = answer.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: int(float(value)) for name, _, value in samples}

    def since_now(self) -> Callable[[str], int]:
        """Return a function that says by how much a number of `/metrics` has grown."""
        before = self._numbers()
        return lambda name: self.metric(name) - before.get(name, 0)

    def end(self) -> int:
        """Tell it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def command(model: Path, *more: str) -> list[str]:
    return [sys.executable, "-P", "-m", "fimble", "serve", "--model", str(model), *more]


@contextlib.contextmanager
def serving(model: Path, folder: Path, *more: str, **variables: str) -> Iterator[ServeProcess]:
    """Start a server on a free port; kill it if the test has not ended it."""
    announce, log = folder / "engine.json", folder / "engine.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(model, "--port", "0", "--announce", str(announce), "--threads", "1", *more),
            stdout=output,
            stderr=output,
            env={**os.environ, **variables},
        )
    try:
        wait_until(lambda: announce.exists() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield ServeProcess(process, announce, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def refused(*arguments: str) -> tuple[int, str]:
    """Run a server that should not start; return exit code and standard error."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "fimble", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


def wait_until(condition: Callable[[], object]) -> None:
    """Return once `condition` holds; fail when it takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
