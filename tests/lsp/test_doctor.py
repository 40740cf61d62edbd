"""`fimble doctor`, on machines where something is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from fimble.settings import Settings, TelemetryLevel, TelemetrySettings
from lsp_server.doctor import Fact, State, _extras, _missing, _neovim, _recording

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stand_ins.tgi_app import TgiScript


def doctor(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fimble", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_where_completions_work_it_says_so_and_exits_with_0(
    environment: dict[str, str], tgi: TgiScript, tmp_path: Path
) -> None:
    (tmp_path / "fimble.toml").write_text(f'[engine]\ntgi_url = "{tgi.url}"\n')
    done = doctor(environment, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    facts = {fact["name"]: fact for fact in report["facts"]}
    assert report["works"] is True
    assert facts["completion"]["detail"].startswith("scripted answered in ")
    assert facts["model"]["detail"] == f"whatever {tgi.url} serves"
    assert facts["spool"]["state"] == "ok"
    assert facts["telemetry"]["detail"].startswith("level metrics: ")
    assert set(facts) >= {"install", "configuration", "extra train", "extra corpus", "editor"}
    assert not {"extra dev", "extra docs"} & set(facts)
    assert list((tmp_path / "data" / "spool").iterdir()) == []


def test_without_a_model_it_says_what_helps_and_exits_with_1(
    environment: dict[str, str],
) -> None:
    done = doctor({**environment, "FIMBLE_MODEL": "no-such-model"})
    assert (done.returncode, done.stderr) == (1, "")
    broken = [line for line in done.stdout.splitlines() if line.startswith("broken")]
    assert len(broken) == 2
    assert "there is no model folder 'no-such-model'" in broken[0]
    assert broken[0].endswith("-> export FIMBLE_MODEL=/path/to/model/folder")


def test_a_broken_configuration_is_named_once_and_the_rest_is_still_told(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "fimble.toml").write_text("[engine]\nmodell = 1\n")
    done = doctor({**environment, "FIMBLE_MODEL": "no-such-model"})
    assert done.returncode == 1
    lines = [line.split()[:2] for line in done.stdout.splitlines()]
    assert ["broken", "configuration"] in lines
    assert ["ok", "telemetry"] in lines


@pytest.mark.parametrize("level", TelemetryLevel)
def test_every_level_of_recording_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, level: TelemetryLevel
) -> None:
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path))
    fact, *spool = _recording(Settings(telemetry=TelemetrySettings(level=level)))
    assert fact.state is State.OK
    assert fact.detail.startswith(f"level {level.value}: ")
    assert bool(spool) is (level is not TelemetryLevel.OFF)


def test_what_is_missing_is_installed_for_this_python(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not for that of another `pip` on the PATH; environments of pipx have no such program."""
    ours = metadata.distribution("fimble")
    alone = tmp_path / "fimble-0.dist-info"
    alone.mkdir()
    (alone / "METADATA").write_text(ours.read_text("METADATA") or ours.read_text("PKG-INFO") or "")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "executable", "/home/é b/bin/python")
    remedies = [fact.remedy for fact in _extras()]
    assert "'/home/é b/bin/python' -m pip install 'fimble[analyst]'" in remedies


def test_a_spool_that_cannot_be_written_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path / "file"))
    _, fact = _recording(Settings())
    assert fact.state is State.ABSENT
    assert "Not a directory; completions work, unrecorded" in fact.detail


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("NVIM v0.11.4", State.ABSENT),
        ("NVIM v0.12.4", State.OK),
        ("NVIM v1.0.0-dev+1", State.OK),
        ("?", State.ABSENT),
    ],
)
def test_a_neovim_is_judged_by_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, state: State
) -> None:
    program = tmp_path / "nvim"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _neovim().state is state


def test_no_neovim_is_a_fact_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _neovim() == Fact(
        name="editor",
        state=State.ABSENT,
        detail="Neovim: not found; 0.12 or later shows inline completions by itself",
    )


def test_the_editor_install_is_whole_here() -> None:
    assert _missing("") == []
