"""Ablations: a toy series trained for real, and how its recipes are put together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from psutil import process_iter

from fimble.errors import ConfigError
from tests.training.toy_run import easy_corpus
from training.ablations import COLUMNS, read_series, share_rows
from training.recipe import MatrixOptimiser

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
TOY = """
parallel = 2
[base]
corpus = "{corpus}"
tokenizer = "{tokenizer}"
compile = false
jobs = 1
[base.model]
hidden_size = 64
intermediate_size = 128
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
[base.examples]
chunk_bytes = [600]
spans = {{ node = 0.5, line = 0.5 }}
[base.schedule]
unit = "steps"
total = 1
[base.batch]
rows = 2
[base.validation]
every_s = 1000000.0
bytes_per_language = 1000
cases_per_language = 2
completions_per_language = 1
[arms]
base = {{}}
adamw = {{ optimiser = {{ matrices = "adamw" }} }}
"""
LINES = "lines = { examples = { spans = { node = 0.0 } } }\n"


def write_toy(path: Path, corpus: Path | str, tokenizer: Path | str) -> Path:
    path.write_text(TOY.format(corpus=corpus, tokenizer=tokenizer))
    return path


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_series_trains_every_arm_shares_rows_and_ends_with_a_table(
    tokenizer_path: Path, tmp_path: Path
) -> None:
    corpus = easy_corpus(tmp_path / "corpus", num_documents=40)
    recipe, out = write_toy(tmp_path / "toy.toml", corpus, tokenizer_path), tmp_path / "out"
    command = [sys.executable, "-m", "training.ablations", str(recipe), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def run() -> str:
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout

    table = run().splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == ["| base", "| adamw"]
    assert all(line.count("|") == len(COLUMNS) + 2 for line in table)
    assert (out / "base" / "rows").resolve() == (out / "adamw" / "rows").resolve()
    scores = json.loads((out / "base" / "model" / "origin.json").read_text())["scores"]
    assert f"{scores['middle_bits_per_byte/line/spm/mean']:.4f}" in table[2]
    logs = [(out / arm / "log.jsonl").read_bytes() for arm in ("base", "adamw")]
    assert run().splitlines() == table
    assert [(out / arm / "log.jsonl").read_bytes() for arm in ("base", "adamw")] == logs
    commands = [" ".join(process.info["cmdline"] or []) for process in process_iter(["cmdline"])]
    assert not [command for command in commands if str(out) in command]


def test_arms_with_other_corpora_and_vocabularies_read_other_rows(
    corpus: Path, tokenizer_path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    vocabulary = shutil.copy(tokenizer_path, tmp_path / "tokenizer.json")
    path = write_toy(tmp_path / "toy.toml", corpus, tokenizer_path)
    more = f'corpus = {{ corpus = "{other}" }}\nwords = {{ tokenizer = "{vocabulary}" }}\n'
    path.write_text(path.read_text() + more)
    out = tmp_path / "out"
    series = read_series(path)
    for arm in series.arms:
        share_rows(series.recipe(arm), out, out / arm)
    rows = {arm: (out / arm / "rows").resolve() for arm in series.arms}
    assert rows["base"] == rows["adamw"]
    assert len(set(rows.values())) == 3
    documents = {arm: (rows[arm] / "train.arrow").resolve() for arm in series.arms}
    assert documents["base"] == documents["words"] != documents["corpus"]
    assert documents["corpus"].exists()


def test_an_arm_differs_from_the_base_in_its_own_keys_alone(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.toml", "corpus", "tokenizer.json")
    path.write_text(path.read_text() + LINES)
    series = read_series(path)
    base, adamw, lines = (series.recipe(arm) for arm in ("base", "adamw", "lines"))
    assert adamw.optimiser.matrices is MatrixOptimiser.ADAMW
    assert (adamw.examples, adamw.model, adamw.batch) == (base.examples, base.model, base.batch)
    assert (lines.examples.spans.node, lines.examples.spans.line) == (0.0, 0.5)
    assert (lines.name, lines.examples.chunk_bytes, lines.optimiser) == (
        "lines",
        (600,),
        base.optimiser,
    )


def test_a_misspelt_key_in_an_arm_is_named_before_anything_runs(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.toml", "corpus", "tokenizer.json")
    path.write_text(path.read_text() + 'typo = { optimiser = { muon = "fast" } }\n')
    with pytest.raises(ConfigError, match=r"arm typo: optimiser: unknown key muon;"):
        read_series(path)


def test_the_published_series_are_valid() -> None:
    paths = sorted(RECIPES.glob("ablations-*.toml"))
    assert paths
    for path in paths:
        assert "base" in read_series(path).arms
