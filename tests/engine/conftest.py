"""Models for the tests of the engine: a tiny one, and one that takes its time over a prompt."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from safetensors.torch import load_file, save_file

from fimble.fim import SPECIAL_TOKENS
from lsp_server.engines.embedded import EmbeddedEngine
from tests.engine.serve_process import ServeProcess, serving
from tests.stand_ins.tiny_model import llama_config, tiny_model_folder, write_checkpoint
from training.export.engine_model import write_engine_model
from training.export.quantise import Quantisation
from training.export.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from transformers import LlamaConfig


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 2 layers and 512 tokens that never ends by itself."""
    return endless_model(llama_config(), Quantisation.NONE, tmp_path_factory)


@pytest.fixture(scope="session")
def slow_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads a full prompt for a second or two, and never ends by itself."""
    config = llama_config(
        hidden_size=512, intermediate_size=1536, num_hidden_layers=6, heads=(8, 4)
    )
    return endless_model(config, Quantisation.INT8, tmp_path_factory)


def endless_model(
    config: LlamaConfig, quantisation: Quantisation, folders: pytest.TempPathFactory
) -> Path:
    """Return the folder of a random model that never writes a special token."""
    checkpoint = write_checkpoint(folders.mktemp("checkpoint"), config=config)
    weights = load_file(checkpoint / "model.safetensors")
    # Special tokens all score 0, and some of the other 448 tokens always scores more.
    weights["model.embed_tokens.weight"][: len(SPECIAL_TOKENS)] = 0
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    folder = folders.mktemp("endless")
    write_engine_model(load_weights(checkpoint), folder, quantisation=quantisation)
    return folder


@pytest.fixture(scope="session")
def exact_model_folder() -> Path:
    """A model in floating point: a token's scores hardly depend on what is read with it."""
    return tiny_model_folder(Quantisation.NONE)


@pytest.fixture
def engine(exact_model_folder: Path) -> EmbeddedEngine:
    """The exact model with an empty cache."""
    return EmbeddedEngine(exact_model_folder, num_threads=1)


@pytest.fixture(scope="module")
def server(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server that wants its token; all tests of a module share it."""
    with serving(model_folder, tmp_path_factory.mktemp("server")) as process:
        yield process


@pytest.fixture(scope="module")
def slow_server(
    slow_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    """A server with the slow model; all tests of a module share it."""
    with serving(slow_model_folder, tmp_path_factory.mktemp("slow-server")) as process:
        yield process


@pytest.fixture
async def http(server: ServeProcess) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that knows the token."""
    async with aiohttp.ClientSession(server.url, headers=server.headers) as session:
        yield session


@pytest.fixture
def damaged(model_folder: Path, tmp_path: Path) -> DamagedFolder:
    """A copy of the tiny model to break."""
    return DamagedFolder(shutil.copytree(model_folder, tmp_path / "damaged"))


class DamagedFolder:
    """A model folder that a test may change, with a manifest that keeps up if asked to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rewrite(self, name: str, content: bytes, *, in_manifest: bool) -> None:
        """Replace a file, and its hash too if the manifest is to agree."""
        (self.path / name).write_bytes(content)
        if in_manifest:
            entry = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
            self.edit_manifest(lambda table: table["files"].update({name: entry}))

    def edit_manifest(self, edit: Callable[[dict[str, Any]], object]) -> None:
        """Apply `edit` to the manifest's table."""
        path = self.path / "manifest.json"
        table = json.loads(path.read_text())
        edit(table)
        path.write_text(json.dumps(table))
