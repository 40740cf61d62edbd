"""Builds as runs of MLflow: a real store in a folder, servers that are gone or never answer."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from training.corpus.card import Card, Clusters, Count, Redactions, SourceCard, StageCount
from training.corpus.tracking import record, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL, KEPT, GONE = (Count(files=f, bytes=b) for f, b in ((10, 1000), (7, 600), (3, 400)))


@pytest.fixture
def card() -> Card:
    source = SourceCard(
        source="pypi:planted==1.0", project="planted", version="1.0", licence="MIT", split="train",
        skipped="", archives=(), read=ALL, kept=KEPT, languages={"python": KEPT},
    )  # fmt: skip
    return Card(
        name="planted",
        digest="ab" * 32,
        libraries={"python": "3.11.7"},
        read=ALL,
        kept=KEPT,
        dropped=GONE,
        languages={"python": {"train": KEPT}},
        licences={"MIT": KEPT},
        projects={"train": 1},
        redactions=Redactions(secrets=0, emails=0, ips=0),
        near_duplicates=Clusters(clusters=0, files=0),
        benchmarks=(),
        stages=(StageCount(stage="lines", read=ALL, kept=KEPT, reasons={"line_too_long": GONE}),),
        sources=(source,),
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("card.json", "report.html", "ATTRIBUTION.md"):
        (folder / name).write_text(f"{name} 😀\r\n", encoding="utf-8", newline="")
    return folder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty MLflow store that the environment names."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", folder.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow prefers databases, by now
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return folder


def values(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


@pytest.mark.slow
def test_a_build_is_one_run_with_its_numbers_and_documents(
    card: Card, out: Path, store: Path
) -> None:
    assert record(card, out, Path("recipes/planted.toml"))

    (meta,) = store.glob("*/*/meta.yaml")
    run = meta.parent
    assert values(run / "params") == {
        "recipe": "recipes/planted.toml",
        "name": "planted",
        "digest": "ab" * 32,
        "version.python": "3.11.7",
    }
    metrics = {name: float(text.split()[1]) for name, text in values(run / "metrics").items()}
    assert metrics == {
        "read_files": 10,
        "read_bytes": 1000,
        "kept_files": 7,
        "kept_bytes": 600,
        "dropped_files": 3,
        "dropped_bytes": 400,
        "stage.lines.dropped_files": 3,
        "stage.lines.dropped_bytes": 400,
        "language.python.train_files": 7,
        "language.python.train_bytes": 600,
    }
    assert (run / "tags" / "fimble.kind").read_text() == "corpus"
    assert (run / "tags" / "mlflow.runName").read_text() == "planted"
    documents = {path.name: path.read_bytes() for path in (run / "artifacts").iterdir()}
    assert documents == {path.name: path.read_bytes() for path in out.iterdir()}
    assert "status: 3\n" in meta.read_text()  # RunStatus.FINISHED
    experiment = (run.parent / "meta.yaml").read_text()
    assert "name: fimble-corpus\n" in experiment


@pytest.mark.slow
def test_more_metrics_and_params_than_one_request_takes_are_all_there(
    card: Card, out: Path, store: Path
) -> None:
    languages = {f"language{number}": {"train": KEPT} for number in range(600)}
    libraries = {f"library{number}": "1.0" for number in range(150)}
    many = replace(card, languages=languages, libraries=libraries)

    assert record(many, out, "planted")

    run = run_of(many, out, "planted")
    (folder,) = (path.parent for path in store.glob("*/*/meta.yaml"))
    assert {path.name for path in (folder / "metrics").iterdir()} == set(run.metrics)
    assert values(folder / "params") == run.params
    assert (len(run.metrics), len(run.params)) == (1208, 153)


def test_a_server_that_is_gone_costs_one_warning(
    card: Card, out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:hunter2@127.0.0.1:{port}")
    with caplog.at_level(logging.WARNING):
        assert not record(card, out, "planted")
    (warning,) = caplog.records
    assert warning.getMessage().startswith("the build is not tracked: ")
    assert f"port={port}" in warning.getMessage()
    assert "hunter2" not in warning.getMessage()


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Return the port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_never_answers_is_given_up(
    card: Card,
    out: Path,
    silent_server: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent_server}")
    with caplog.at_level(logging.WARNING):
        assert not record(card, out, "planted", limit_s=2.0)
    assert [each.getMessage() for each in caplog.records] == [
        "the build is not tracked: MLflow did not answer within 2 s"
    ]


def test_nothing_happens_and_mlflow_is_not_imported_where_it_is_not_set_up(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom training.corpus import tracking\n"
        "assert tracking.record(None, None, 'x') is False\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    environment = {name: v for name, v in os.environ.items() if not name.startswith("MLFLOW")}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**environment, "PYTHONPATH": str(root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_mlflow_is_named_with_what_to_install(
    card: Card,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "mlflow.py").write_text("raise ImportError('planted')\n")
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(root))))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    with caplog.at_level(logging.WARNING):
        assert not record(card, out, "planted")
    assert "pip install 'fimble[tracking]'" in caplog.text
