"""What tests that build corpora share: rules that are compiled once, not by every build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def compiled_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that a first scan leaves in a cache."""
    cache = tmp_path_factory.mktemp("rules")
    command = [sys.executable, "-c", "from training.corpus.redaction import redact; redact('x')"]
    environment = {**os.environ, "FIMBLE_CACHE_DIR": str(cache)}
    subprocess.run(command, check=True, env=environment, timeout=170)
    return cache / "rules"


@pytest.fixture
def warm_cache(tmp_path: Path, compiled_rules: Path) -> Path:
    """Return a cache folder of the test's own, `cache`, that holds nothing but compiled rules."""
    shutil.copytree(compiled_rules, tmp_path / "cache" / "rules")
    return tmp_path / "cache"
