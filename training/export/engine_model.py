"""The model folder that the embedded engine runs: manifest, vocabulary, graph and model card."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fimble.config import from_table
from fimble.errors import ConfigError, ModelFolderError
from fimble.files import write_whole
from fimble.fim import FIMBLE, FimOrder
from fimble.manifest import (
    FORMAT_VERSION,
    ONNX_NAME,
    TOKENIZER_NAME,
    Manifest,
    file_entries,
    save_manifest,
)
from training.export.onnx_graph import build_graph
from training.export.quantise import Quantisation, Quantised, as_floats, quantise
from training.export.weights import EMBEDDING
from training.origin import ORIGIN_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from training.export.quantise import Matrix
    from training.export.weights import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a manifest says besides the shape; a checkpoint may bring it as `origin.json`."""

    licence: str = "Apache-2.0"
    """SPDX expression for the weights."""
    fim_format: str = FIMBLE.name
    """Name in `fimble.fim.FORMATS`."""
    fim_order: FimOrder = FimOrder.SPM
    """Order to serve."""
    context: tuple[str, ...] = ()
    """What prompts may hold besides the file, see `fimble.manifest.Manifest`."""
    parent: str = ""
    """Digest of the model this one was tuned from."""
    recipe_sha256: str = ""
    data_card_sha256: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    """Measured values by name."""


def read_origin(folder: Path) -> Origin:
    """Return the origin of the checkpoint in `folder`; the defaults where it has no such file.

    Raises:
        ModelFolderError: The file is broken.
    """
    path = folder / ORIGIN_NAME
    if not path.is_file():
        return Origin()
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(table, dict):
            raise ModelFolderError(f"{path} holds {type(table).__name__}; it must be an object")
        return from_table(Origin, table, where=str(path))
    except ValueError as error:
        raise ModelFolderError(f"{path} is not valid JSON: {error}") from error
    except ConfigError as error:
        raise ModelFolderError(str(error)) from error


def origin_of(manifest: Manifest) -> Origin:
    """Return the origin that a manifest states."""
    names = [each.name for each in dataclasses.fields(Origin)]
    return Origin(**{name: getattr(manifest, name) for name in names})


def quantised_weights(weights: Weights, quantisation: Quantisation) -> Weights:
    """Return the model with its matrices stored as `quantisation` says; norms stay as they are.

    The embedding keeps 8 bits at 4: it is the output projection too, where rounding is most
    visible, and it is read row by row. What is stored that way already is not touched.
    """
    return dataclasses.replace(
        weights,
        tensors={
            name: _stored(tensor, 8 if name == EMBEDDING else quantisation.bits, quantisation)
            for name, tensor in weights.tensors.items()
        },
    )


def write_engine_model(
    weights: Weights,
    folder: Path,
    *,
    quantisation: Quantisation = Quantisation.INT8,
    origin: Origin | None = None,
    documents: tuple[Path, ...] = (),
    all_logits: bool = False,
) -> Manifest:
    """Write the model folder, its manifest last, and return the manifest.

    Args:
        weights: The model.
        folder: Where to write; its name becomes the model's.
        quantisation: How the matrices are stored.
        origin: What the manifest says besides the shape.
        documents: Files to copy beside the weights: model card, attribution.
        all_logits: Return the logits of every position, see `build_graph`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graph = build_graph(quantised_weights(weights, quantisation), all_logits=all_logits)
    write_whole(folder / ONNX_NAME, graph.SerializeToString())
    write_whole(folder / TOKENIZER_NAME, weights.tokenizer.read_bytes())
    copy_documents(documents, folder)
    names = (ONNX_NAME, TOKENIZER_NAME, *(document.name for document in documents))
    stated = dataclasses.asdict(origin or Origin())
    manifest = Manifest(
        name=folder.resolve().name,
        format_version=FORMAT_VERSION,
        architecture=weights.architecture,
        context_tokens=weights.context_tokens,
        quantisation=quantisation.value,
        files=file_entries(folder, names),
        **stated,
    )
    save_manifest(folder, manifest)
    return manifest


def copy_documents(documents: tuple[Path, ...], folder: Path) -> None:
    """Copy model card, attribution and the like into a folder."""
    for document in documents:
        write_whole(folder / document.name, document.read_bytes())


def _stored(tensor: Matrix, bits: int, quantisation: Quantisation) -> Matrix:
    """Return a tensor with the bits it is to have; vectors stay in floating point."""
    if len(tensor.shape) == 1:
        return tensor
    if quantisation is Quantisation.NONE:
        return as_floats(tensor)
    if isinstance(tensor, Quantised) and tensor.bits == bits:
        return tensor
    return quantise(as_floats(tensor), bits=bits)
