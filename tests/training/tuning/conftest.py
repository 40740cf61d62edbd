"""A tiny model and instruction data that it can learn in seconds."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from fimble.config import from_table
from tests.training.tuning.toy_corpus import SHAPES, write_corpus
from training.recipe import ModelShape
from training.tuning.data import build_data
from training.tuning.recipe import DataRecipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = ("size", "cost", "heat", "load", "mass", "cold", "rate", "flow", "rank", "tone")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: at this size, a second one only waits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Instruction data of ten projects that differ in a word, one of them held out."""
    folder = tmp_path_factory.mktemp("instructions")
    files = {
        (f"project-{word}", f"{word}.py"): SHAPES.replace("area", word).replace("width", f"{word}s")
        for word in WORDS
    }
    corpus = write_corpus(folder / "corpus", files, held_out="project-flow")
    mining = {"fim_rate": 1.0, "plain_rate": 1.0, "snippet_rate": 0.0}
    recipe = from_table(DataRecipe, {"corpus": str(corpus), "mining": mining}, where="test")
    build_data(recipe, folder / "data")
    return folder / "data"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tokenizer_path: Path) -> Path:
    """A Hugging Face folder of a Llama with two layers and random weights."""
    import torch

    from training.model import new_model

    folder = tmp_path_factory.mktemp("tiny") / "model"
    shape = ModelShape(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        context_tokens=512,
    )
    model = new_model(shape, 1024, seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder)
    shutil.copyfile(tokenizer_path, folder / "tokenizer.json")
    return folder
