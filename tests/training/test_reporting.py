"""A run in TensorBoard and MLflow: real files, written by the real trackers, read back here."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

from fimble.config import read_toml
from fimble.errors import ConfigError
from tests.training.toy_run import easy_corpus, lines_of, write_recipe
from training.pretrain import pretrain
from training.recipe import PretrainRecipe
from training.reporting import check_trackers, values_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MLflow store that the environment names."""
    folder = tmp_path / "mlruns"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", folder.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow prefers databases, by now
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "MLFLOW_TAGS"):
        monkeypatch.delenv(name, raising=False)
    return folder


def tensorboard_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return step and value by tag, from the event files in a folder.

    A record is its length (8 bytes), a checksum (4), the event, a checksum (4).
    Source: TensorFlow's `tfrecord` format.
    """
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def mlflow_metric(store: Path, name: str) -> list[tuple[int, float]]:
    """Return step and value of a metric of the only run in a store."""
    (path,) = store.glob(f"*/*/metrics/{name}")
    rows = [line.split() for line in path.read_text().splitlines()]
    return [(int(step), float(value)) for _time, value, step in rows]


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_run_and_its_continuation_are_one_run_in_tensorboard_and_in_mlflow(
    tokenizer_path: Path, tmp_path: Path, store: Path
) -> None:
    corpus, out = easy_corpus(tmp_path / "corpus", num_documents=21), tmp_path / "out"
    for steps in (4, 8):  # the second goes on at step 4
        recipe = write_recipe(
            tmp_path / "toy.toml",
            corpus,
            tokenizer_path,
            steps=steps,
            decay_share=0.0,
            top='report_to = ["tensorboard", "mlflow"]',
        )
        pretrain(read_toml(PretrainRecipe, recipe), out)
    lines = lines_of(out / "log.jsonl")
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    assert [step for step, _ in losses] == list(range(1, 9))
    scalars = tensorboard_scalars(out / "tensorboard" / "toy")
    assert scalars["train/loss"] == [(step, pytest.approx(x, rel=1e-6)) for step, x in losses]
    assert mlflow_metric(store, "train/loss") == losses
    scores = [(line["step"], line["scores"]) for line in lines if "scores" in line]
    expected = [(step, pytest.approx(x["bits_per_byte/mean"])) for step, x in scores]
    assert scalars["eval/bits_per_byte/mean"][-1:] == expected[-1:]
    (params,) = store.glob("*/*/params")
    assert (params / "model.hidden_size").read_text() == "64"
    assert (params / "guard.snapshot_steps").read_text() == "4"
    (meta,) = store.glob("*/*/meta.yaml")
    assert "status: 3\n" in meta.read_text()  # RunStatus.FINISHED


def test_trackers_that_cannot_be_had_are_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match=r"report_to has 'neptune'; allowed are tensorboard, "):
        check_trackers(("neptune",))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI does not say where runs go"):
        check_trackers(("tensorboard", "mlflow"))


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_store_that_cannot_be_written_costs_a_warning_not_the_run(
    tokenizer_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    corpus = easy_corpus(tmp_path / "corpus", num_documents=21)
    top = 'report_to = ["mlflow"]'
    recipe = write_recipe(tmp_path / "toy.toml", corpus, tokenizer_path, steps=1, top=top)
    assert (pretrain(read_toml(PretrainRecipe, recipe), tmp_path / "out") / "config.json").exists()
    assert "reporting to mlflow failed; see" in caplog.text
    assert "127.0.0.1" in (tmp_path / "out" / "trackers.txt").read_text()


def test_only_numbers_are_reported_under_the_names_of_trackers() -> None:
    line = {"step": 3, "loss": 1.5, "mfu": None, "scores": {"bits_per_byte/mean": 0.7}}
    assert values_of(json.loads(json.dumps(line))) == {
        "train/loss": 1.5,
        "eval/bits_per_byte/mean": 0.7,
    }
