"""Runs that continue each other: stable phase, stable phase, decay on another corpus."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from fimble.config import read_toml
from fimble.errors import ConfigError, InputError
from tests.training.toy_run import easy_corpus, losses, write_recipe
from training.compact import PIECE_BYTES, Stored, read_compact, write_compact
from training.compact import main as compact_command
from training.export.engine_model import write_engine_model
from training.export.weights import load_weights
from training.pretrain import pretrain
from training.progress import load_checkpoint
from training.recipe import PretrainRecipe
from training.run_record import read_record
from training.seen import documents_of_step

if TYPE_CHECKING:
    from pathlib import Path


class Runs:
    """A stable phase of four steps, and a way to begin others with it."""

    def __init__(self, folder: Path, tokenizer: Path) -> None:
        self.folder, self.tokenizer = folder, tokenizer
        self.corpus = easy_corpus(folder / "corpus", num_documents=25)
        self.stable = self.run("stable", steps=4)

    def recipe(self, name: str, *, steps: int, corpus: Path | None = None, **keys: object) -> Path:
        tables = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        return write_recipe(
            self.folder / f"{name}.toml",
            corpus or self.corpus,
            self.tokenizer,
            steps=steps,
            decay_share=0.0,
            tables=f"[start]\n{tables}" if tables else "",
        )

    def run(self, name: str, *, steps: int, corpus: Path | None = None, **keys: object) -> Path:
        path = self.recipe(name, steps=steps, corpus=corpus, **keys)
        pretrain(read_toml(PretrainRecipe, path), self.folder / name)
        return self.folder / name


@pytest.fixture(scope="module")
def runs(tokenizer_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"), tokenizer_path)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoint.pt", "cpu").snapshot.weights


@pytest.mark.slow
def test_two_runs_that_continue_each_other_are_one_run_in_two(runs: Runs) -> None:
    one = runs.run("one", steps=10)
    second = runs.recipe("second", steps=6, run=str(runs.stable))
    second.write_text(second.read_text().replace("warmup_steps = 3", "warmup_steps = 0"))
    pretrain(read_toml(PretrainRecipe, second), runs.folder / "second")
    halves = losses(runs.stable) + [(step + 4, x) for step, x in losses(runs.folder / "second")]
    assert halves == losses(one)
    expected, actual = weights(one), weights(runs.folder / "second")
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    steps = [(runs.stable, step) for step in (1, 2, 3, 4)] + [(runs.folder / "second", 1)]
    seen = [documents_of_step(*step) for step in steps]
    assert [(each.epoch, each.row) for each in seen] == [(0, row) for row in (0, 4, 8, 12, 16)]
    parent = read_record(runs.folder / "second").parent
    assert parent is not None
    assert (parent.name, parent.step, parent.num_tokens) == ("toy", 4, 4 * 4 * 128)
    log = (runs.folder / "second" / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-2])["tokens"] == 10 * 4 * 128
    origin = json.loads((runs.folder / "second" / "model" / "origin.json").read_text())
    assert origin["parent"] == parent.recipe_sha256


@pytest.mark.slow
def test_a_decay_on_another_corpus_begins_at_its_beginning(runs: Runs) -> None:
    best = easy_corpus(runs.folder / "best", num_documents=30)
    recipe = runs.recipe("decay", steps=4, corpus=best, run=str(runs.stable))
    recipe.write_text(recipe.read_text().replace("decay_share = 0.0", "decay_share = 1.0"))
    out = runs.folder / "decay"
    pretrain(read_toml(PretrainRecipe, recipe), out)
    first = documents_of_step(out, 1)
    assert (first.epoch, first.row) == (0, 0)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    factors = [line["lr_factor"] for line in lines if "loss" in line]
    assert factors == pytest.approx([1 / 3, 2 / 3, 0.5, 0.25])
    assert losses(out)[0][1] < losses(runs.stable)[0][1] - 1


@pytest.mark.slow
def test_the_same_corpus_drawn_otherwise_begins_its_next_epoch(runs: Runs) -> None:
    recipe = read_toml(PretrainRecipe, runs.recipe("mix", steps=1, run=str(runs.stable)))
    mixed = replace(recipe, examples=replace(recipe.examples, fim_rate=0.5))
    pretrain(mixed, runs.folder / "mix")
    first = documents_of_step(runs.folder / "mix", 1)
    assert (first.epoch, first.row) == (1, 0)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_its_own_weights_not_with_those_it_began_with(
    runs: Runs,
) -> None:
    out = runs.run("resumed", steps=3, run=str(runs.stable))
    before, parent = weights(out), read_record(out).parent
    assert runs.run("resumed", steps=3, run=str(runs.stable)) == out
    assert all(torch.equal(before[name], weight) for name, weight in weights(out).items())
    assert read_record(out).parent == parent
    assert [step for step, _ in losses(out)] == [1, 2, 3]


@pytest.mark.parametrize(("stored", "tolerance"), [(Stored.BF16, 2**-8), (Stored.INT8, 1 / 127)])
def test_a_compact_folder_holds_weights_and_place(
    runs: Runs, tmp_path: Path, stored: Stored, tolerance: float
) -> None:
    num_bytes = write_compact(runs.stable, tmp_path, stored)
    pieces = sorted(tmp_path.glob("piece-*.bin"))
    assert sum(piece.stat().st_size for piece in pieces) == num_bytes
    assert all(piece.stat().st_size <= PIECE_BYTES for piece in pieces)
    snapshot, ledger = read_compact(tmp_path, "cpu")
    original = load_checkpoint(runs.stable / "checkpoint.pt", "cpu")
    assert snapshot.position == original.snapshot.position
    assert (ledger.skips, snapshot.optimisers) == (original.ledger.skips, {})
    for name, weight in original.snapshot.weights.items():
        if weight.ndim == 1:
            assert torch.equal(snapshot.weights[name], weight)
        largest = float(weight.abs().max())
        torch.testing.assert_close(
            snapshot.weights[name], weight, atol=tolerance * largest, rtol=tolerance
        )


@pytest.mark.slow
def test_a_run_begins_with_a_compact_folder(runs: Runs, tmp_path: Path) -> None:
    compact_command([str(runs.stable), str(tmp_path / "compact"), "--weights", "int8"])
    out = runs.run("from-compact", steps=1, run=str(tmp_path / "compact"))
    exact = runs.run("from-run", steps=1, run=str(runs.stable))
    assert losses(out) == [(1, pytest.approx(losses(exact)[0][1], rel=0.01))]
    assert documents_of_step(out, 1) == documents_of_step(exact, 1)


@pytest.mark.slow
def test_a_run_begins_with_a_released_model(runs: Runs, tmp_path: Path) -> None:
    checkpoint, released = runs.stable / "model", tmp_path / "released"
    manifest = write_engine_model(load_weights(checkpoint), released)
    other = easy_corpus(runs.folder / "other-corpus", num_documents=20)
    exact = runs.run("from-its-run", steps=1, corpus=other, run=str(runs.stable), optimiser=False)
    expected = losses(exact)[0][1]
    for name, folder in (("from-model-folder", released), ("from-checkpoint", checkpoint)):
        out = runs.run(name, steps=1, corpus=other, run=str(folder))
        assert losses(out) == [(1, pytest.approx(expected, rel=0.01))]
        first = documents_of_step(out, 1)
        assert (first.epoch, first.row) == (0, 0)
        parent = read_record(out).parent
        assert parent is not None
        assert (parent.name, parent.step) == (folder.name, 0)
        # A finished run is left alone.
        assert runs.run(name, steps=1, corpus=other, run=str(folder)) == out
    assert manifest.name == "released"


def test_a_released_model_of_another_shape_is_refused(runs: Runs, tmp_path: Path) -> None:
    folder = str(runs.stable / "model")
    recipe = read_toml(PretrainRecipe, runs.recipe("shape", steps=1, run=folder))
    deeper = replace(recipe, model=replace(recipe.model, num_hidden_layers=3))
    with pytest.raises(ConfigError, match=r"whose num_hidden_layers is 2; the recipe's is 3"):
        pretrain(deeper, tmp_path / "deeper")
    longer = replace(recipe, model=replace(recipe.model, context_tokens=256))
    with pytest.raises(ConfigError, match=r"whose context_tokens is 128; the recipe's is 256"):
        pretrain(longer, tmp_path / "longer")


def test_a_compact_folder_that_was_cut_short_is_refused(runs: Runs, tmp_path: Path) -> None:
    write_compact(runs.stable, tmp_path, Stored.BF16)
    piece = tmp_path / "piece-00.bin"
    piece.write_bytes(piece.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="bytes, not"):
        read_compact(tmp_path, "cpu")
    piece.unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        read_compact(tmp_path, "cpu")


def test_weights_that_do_not_fit_are_refused(runs: Runs, tmp_path: Path) -> None:
    recipe = read_toml(PretrainRecipe, runs.recipe("other", steps=1, run=str(runs.stable)))
    larger = replace(recipe, model=replace(recipe.model, num_hidden_layers=3))
    with pytest.raises(ConfigError, match=r"start.run is .*num_hidden_layers=2"):
        pretrain(larger, tmp_path / "larger")
    nowhere = read_toml(PretrainRecipe, runs.recipe("nowhere", steps=1, run=str(tmp_path)))
    with pytest.raises(InputError, match="it holds neither run"):
        pretrain(nowhere, tmp_path / "out")
