"""`make demo`, at a pace no person has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fimble.errors import ModelFolderError
from fimble.paths import model_dir

ROOT = Path(__file__).parents[2]


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


@pytest.mark.e2e
@pytest.mark.slow
def test_ghost_text_is_shown_accepted_and_read_back_from_duckdb() -> None:
    try:
        model_dir()
    except ModelFolderError as error:
        pytest.skip(str(error))
    done = demo("--fast", "--seed", "1")
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    counts = re.search(
        r"^(\d+) suggestions came onto the screen, (\d+) were read, (\d+) accepted, (\d+) in part",
        out,
        re.MULTILINE,
    )
    assert counts is not None
    num_drawn, num_read, num_accepted, num_parts = map(int, counts.groups())
    assert num_drawn >= num_read >= num_accepted + num_parts > 0
    assert out.count("[accepted]") == num_accepted
    first = re.search(r"^first request at a place +(\d+) +\d+\.\d +\d+\.\d$", out, re.MULTILINE)
    assert first is not None
    assert int(first[1]) == 8
    assert re.search(r"^typing on +\d+ +\d+\.\d +\d+\.\d$", out, re.MULTILINE)
    everything = re.search(r"^all +(\d+) +(\d+) +(\d+) +[\d.]+$", out, re.MULTILINE)
    assert everything is not None
    num_served, num_shown, num_recorded = map(int, everything.groups())
    assert num_recorded == num_accepted + num_parts
    assert num_served >= num_shown >= num_recorded
    assert "docs/editors.md" in out
    assert "\x1b" not in out


def test_a_missing_model_is_one_message_and_exit_code_2() -> None:
    done = demo("--model", "no-such-model")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("demo: there is no model folder 'no-such-model'; ")
    assert done.stderr.count("\n") == 1
