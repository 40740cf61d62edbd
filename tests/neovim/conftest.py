"""Neovim, and a server that answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fimble.errors import ModelFolderError
from fimble.paths import SHIPPED_MODEL, model_dir
from tests.neovim.editor import ROOT, Editor, started
from tests.neovim.fetch import CannotFetchError, fetch
from tests.stand_ins.tgi_app import TgiScript, tgi_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = ["return", " a", " +", " b", "\n", "\n", "\n", "def"]


@pytest.fixture(scope="module")
def neovim() -> Path:
    """Return a Neovim that knows inline completion; skip where none can be had."""
    try:
        return fetch(ROOT / "build" / "neovim").absolute()
    except CannotFetchError as error:
        pytest.skip(f"no Neovim 0.12 to test with: {error}")


def _answer(prompt: str) -> list[str]:
    return [] if prompt.endswith("b<|fim_middle|>") else BODY


@pytest.fixture
def tgi() -> Iterator[TgiScript]:
    """Run a TGI server that says the body of a small function."""
    with tgi_server(TgiScript(answer=_answer, delay_s=0.02)) as script:
        yield script


@pytest.fixture
def editor(neovim: Path, tgi: TgiScript, tmp_path: Path) -> Iterator[Editor]:
    """Start Neovim with our configuration, in folders of its own."""
    yield from started(neovim, tmp_path, f'[engine]\ntgi_url = "{tgi.url}"\n')


@pytest.fixture
def editor_with_engine(neovim: Path, tmp_path: Path) -> Iterator[Editor]:
    """The same with the embedded engine and the shipped model."""
    try:
        model = model_dir(SHIPPED_MODEL)
    except ModelFolderError as error:
        pytest.skip(str(error))
    yield from started(neovim, tmp_path, f'[engine]\nmodel = "{model}"\nidle_exit_s = 5\n')
