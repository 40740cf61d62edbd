"""What tests that build corpora share: rules that are compiled once, not by every build."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_SCAN = """
from training.corpus.redaction import redact
print(redact("api_key = '" + "k7Fq2Zx9LmP4vT8sWb3N" + "' # 81.92.33.44"))
"""


class ColdScans(NamedTuple):
    """Two processes that started at once, with an empty cache."""

    printed: tuple[bytes, ...]
    rules: Path
    """The folder that they left in the cache."""


@pytest.fixture(scope="session")
def cold_scans(tmp_path_factory: pytest.TempPathFactory) -> ColdScans:
    """Return what the first scans do, which run once for all processes of these tests."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    cache = folder / "cold-cache"
    printed = [folder / f"cold-{number}.txt" for number in range(2)]
    with (folder / "cold.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cache.exists():
            _scan_at_once(cache, printed)
    return ColdScans(tuple(path.read_bytes() for path in printed), cache / "rules")


def _scan_at_once(cache: Path, outputs: list[Path]) -> None:
    environment = {**os.environ, "FIMBLE_CACHE_DIR": str(cache)}
    running = []
    for path in outputs:
        with path.open("wb") as output:
            command = [sys.executable, "-c", _SCAN]
            running.append(subprocess.Popen(command, env=environment, stdout=output))
    assert [process.wait(timeout=170) for process in running] == [0, 0]


@pytest.fixture(scope="session")
def compiled_rules(cold_scans: ColdScans) -> Path:
    """Return a folder of compiled rules, to be copied."""
    return cold_scans.rules


@pytest.fixture
def warm_cache(tmp_path: Path, compiled_rules: Path) -> Path:
    """Return a cache folder of the test's own, `cache`, that holds nothing but compiled rules."""
    shutil.copytree(compiled_rules, tmp_path / "cache" / "rules")
    return tmp_path / "cache"
