"""`fimble train documents`: what a step was trained on, checked against the rows themselves."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tokenizers import Tokenizer

from fimble.cli import main
from fimble.config import read_toml
from fimble.errors import InputError
from fimble.fim import Mark
from tests.training.toy_run import easy_corpus, write_recipe
from training.examples.build import END_ID, MARK_IDS
from training.examples.shards import EpochRows
from training.pretrain import pretrain
from training.recipe import PretrainRecipe
from training.seen import documents_of_step

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def run(tokenizer_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nine steps, over three epochs."""
    folder = tmp_path_factory.mktemp("seen")
    corpus = easy_corpus(folder / "corpus", num_documents=16)
    recipe = write_recipe(folder / "toy.toml", corpus, tokenizer_path, steps=9)
    pretrain(read_toml(PretrainRecipe, recipe), folder / "run")
    return folder / "run"


def paths_in_rows(run: Path, epoch: int, start: int, tokenizer: Tokenizer) -> set[str]:
    """Read the paths at the start of each example off the tokens of four rows."""
    rows = EpochRows(run / "rows" / f"epoch-{epoch:04}", seed=0, epoch=epoch).rows(start, start + 4)
    found = set()
    for example in " ".join(str(token) for token in rows.flatten()).split(f" {END_ID} "):
        ids = [int(token) for token in example.split()]
        ids = ids[ids.index(MARK_IDS[Mark.FILE]) + 1 :] if MARK_IDS[Mark.FILE] in ids else []
        found.add(tokenizer.decode(ids).partition("\n")[0])
    return found - {""}


def test_the_documents_of_every_step_are_those_in_its_rows(run: Path, tokenizer_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    epochs = []
    for step in range(1, 10):
        seen = documents_of_step(run, step)
        epochs.append(seen.epoch)
        paths = {str(document["path"]) for document in seen.documents}
        assert paths == paths_in_rows(run, seen.epoch, seen.row, tokenizer)
        assert len(paths) >= 4
    assert epochs == sorted(epochs)
    assert set(epochs) == {0, 1, 2}


def test_rows_and_texts_that_were_deleted_are_drawn_again(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    expected = [documents_of_step(run, step) for step in (2, 6)]
    shutil.rmtree(copy / "rows")
    (copy / "rows").mkdir()
    assert [documents_of_step(copy, step) for step in (2, 6)] == expected
    again, before = (
        np.load(folder / "rows" / "epoch-0001" / "shard-0000.tokens.npy") for folder in (copy, run)
    )
    assert np.array_equal(again, before)


def test_another_corpus_in_the_same_place_is_not_taken_for_the_old_one(
    run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("rows"))
    corpus = easy_corpus(tmp_path / "corpus", num_documents=21)
    record = json.loads((copy / "run.json").read_text())
    record["recipe"]["corpus"] = str(corpus)
    (copy / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="is not the corpus that"):
        documents_of_step(copy, 1)


def test_the_command_prints_paths_or_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = documents_of_step(run, 3)
    assert main(["train", "documents", str(run), "--step", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"toy/{d['path']}" for d in seen.documents]
    assert main(["train", "documents", str(run), "--step", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(seen._asdict()))


def test_what_cannot_be_answered_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        (["documents", str(run), "--step", "10"], "it has the steps 1 to 9"),
        (["documents", str(run), "--step", "0"], "there is no step 0"),
        (["documents", str(tmp_path), "--step", "1"], "holds no pretraining run"),
        (["documents", str(run)], "say of which run and step"),
        (["recipe.toml"], "say where the run lies"),
    ):
        assert main(["train", *words]) == 2
        assert message in capsys.readouterr().err
