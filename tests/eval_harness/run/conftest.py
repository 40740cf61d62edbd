"""Runs keep within the test's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eval_harness.sandbox.tiers import available_tiers
from tests.eval_harness.run.toy import answer_to, write_toy_suite
from tests.stand_ins.tgi_app import TgiScript, tgi_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the variables that keep a process within the test's folder; they are set here, too."""
    (tmp_path / "fimble.toml").write_text("[engine]\nidle_exit_s = 5\n")
    variables = {
        "FIMBLE_STATE_DIR": str(tmp_path / "state"),
        "FIMBLE_CACHE_DIR": str(tmp_path / "cache"),
        "FIMBLE_CONFIG": str(tmp_path / "fimble.toml"),
        "TMPDIR": str(tmp_path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def isolation() -> None:
    """Skip where nothing isolates programs."""
    if all(available_tiers().values()):
        pytest.skip(f"no tier of isolation here: {available_tiers()}")


@pytest.fixture
def suite(tmp_path: Path, places: dict[str, str]) -> str:
    """Return the TOML file of the toy suite."""
    del places
    return str(write_toy_suite(tmp_path / "suite"))


@pytest.fixture
def tgi() -> Iterator[TgiScript]:
    """Run a TGI server that knows every other answer of the toy suite."""
    with tgi_server(TgiScript(answer=answer_to)) as script:
        yield script
