from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fimble.paths import model_dir
from tests.export.elsewhere.probe import texts
from tests.stand_ins.tiny_model import llama_config, write_checkpoint
from training.vocabulary.learn import Unit, learn

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["released", "words", "lines"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The released model, and random ones with the two kinds of vocabulary."""
    if request.param == "released":
        return model_dir(None)
    folder = write_checkpoint(tmp_path / "checkpoint", config=llama_config())
    if request.param == "lines":
        learn(texts(), size=512, unit=Unit.LINE_WITH_END).save(str(folder / "tokenizer.json"))
    return folder
