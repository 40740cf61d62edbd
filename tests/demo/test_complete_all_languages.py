"""`fimble complete` with the shipped model, in a file it has never seen of each language."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bench.demo.sources import SourceFile, read_sources
from eval_harness.sessions.engine import end_engine
from eval_harness.sessions.places import places_in, without
from fimble.errors import ModelFolderError
from fimble.manifest import load_manifest
from fimble.paths import model_dir
from fimble.stops import StopReason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TYPES = {
    "text": str,
    "model": str,
    "latency_ms": float,
    "prompt_tokens": int,
    "generated_tokens": int,
    "finish_reason": str,
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return variables with which all runs share one engine, which ends with the module."""
    try:
        model_dir()
    except ModelFolderError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("complete")
    config = folder / "fimble.toml"
    config.write_text("[engine]\nidle_exit_s = 120\n")
    places = {f"FIMBLE_{name}_DIR": str(folder / name) for name in ("DATA", "STATE", "CACHE")}
    yield {**places, "FIMBLE_CONFIG": str(config)}
    end_engine(folder / "STATE")


@pytest.mark.e2e
@pytest.mark.parametrize("source", read_sources(), ids=lambda source: source.language.name)
def test_an_answer_has_every_field_with_its_type(
    source: SourceFile, environment: dict[str, str], tmp_path: Path
) -> None:
    place = places_in(source.text, source.language, random.Random(source.path.name))[0]
    file = tmp_path / source.path.name
    file.write_text(without(source.text, place), encoding="utf-8")
    cursor = f"{file}:{place.line + 1}:{place.column + 1}"
    done = subprocess.run(
        [sys.executable, "-m", "fimble", "complete", cursor, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert {name: type(value) for name, value in answer.items()} == TYPES
    assert answer["model"] == load_manifest(model_dir(), verify=False).name
    assert answer["finish_reason"] in set(StopReason)
    assert 100 < answer["prompt_tokens"] < 2048
    assert 0 < answer["generated_tokens"] <= 64
    assert answer["latency_ms"] > 0
    assert "<|" not in answer["text"]
