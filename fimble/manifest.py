"""The model folder: what `manifest.json` says, and how a folder is checked before use.

A folder holds `manifest.json`, `tokenizer.json`, the weights and `README.md` (the model card). The
manifest lists every file with its size and SHA-256, so that a torn copy is found at start-up.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from fimble.config import from_table
from fimble.errors import ConfigError, ModelFolderError
from fimble.files import sha256_of, write_json
from fimble.fim import FORMATS, FimOrder

MANIFEST_NAME = "manifest.json"
TOKENIZER_NAME = "tokenizer.json"
ONNX_NAME = "model.onnx"
FORMAT_VERSION = 1
SNIPPETS = "snippets"
"""Of `Manifest.context`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Shape of a Llama model; names are those of its `config.json`."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rope_theta: float
    rms_norm_eps: float
    tie_word_embeddings: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a model folder."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a model is, where it comes from, and what it scored."""

    name: str
    format_version: int
    architecture: Architecture
    context_tokens: int
    fim_format: str
    """Name in `fimble.fim.FORMATS`."""
    fim_order: FimOrder
    """Order to serve."""
    quantisation: str
    """`int8-block128` and the like; `none` for floating point."""
    licence: str
    """SPDX expression for the weights."""
    files: dict[str, FileEntry]
    context: tuple[str, ...] = ()
    """What prompts may hold besides the file: `snippets` of other files, where it was trained with
    them."""
    parent: str = ""
    """Digest of the model this one was tuned from; empty for one trained from scratch."""
    recipe_sha256: str = ""
    data_card_sha256: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    """Measured values by name, such as `bits_per_byte/python`."""

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise ConfigError(
                f"format_version is {self.format_version}; this release reads {FORMAT_VERSION}"
            )
        if unknown := sorted(set(self.context) - {SNIPPETS}):
            raise ConfigError(f"context is {', '.join(unknown)}; allowed is {SNIPPETS}")
        if self.fim_format not in FORMATS:
            raise ConfigError(
                f"fim_format is {self.fim_format!r}; allowed are {', '.join(FORMATS)}"
            )

    @property
    def digest(self) -> str:
        """Identity of weights, tokenizer and format: 16 hexadecimal digits."""
        parts = [self.fim_format, self.fim_order.value]
        parts += [
            f"{name}:{entry.sha256}"
            for name, entry in sorted(self.files.items())
            if not name.endswith(".md")  # a corrected model card is no other model
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def load_manifest(folder: Path, *, verify: bool = True) -> Manifest:
    """Return the manifest of a model folder.

    Args:
        folder: The model folder.
        verify: Compare size and SHA-256 of every listed file.

    Raises:
        ModelFolderError: The folder has no manifest, the manifest is broken, or a file is missing
            or differs from what the manifest says.
    """
    path = folder / MANIFEST_NAME
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFolderError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelFolderError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(table, dict):
        raise ModelFolderError(f"{path} holds {type(table).__name__}; it must be an object")
    try:
        manifest = from_table(Manifest, table, where=str(path))
    except ConfigError as error:
        raise ModelFolderError(str(error)) from error
    if verify:
        _verify_files(folder, manifest)
    return manifest


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest` into the folder, whole."""
    write_json(folder / MANIFEST_NAME, dataclasses.asdict(manifest))


def file_entries(folder: Path, names: tuple[str, ...]) -> dict[str, FileEntry]:
    """Return the entries of files that exist in `folder`."""
    return {
        name: FileEntry(sha256=sha256_of(folder / name), size_bytes=(folder / name).stat().st_size)
        for name in names
    }


def _verify_files(folder: Path, manifest: Manifest) -> None:
    for name, entry in manifest.files.items():
        path = folder / name
        if Path(name).name != name:
            raise ModelFolderError(f"{folder}: file name {name!r} leaves the folder")
        if not path.is_file():
            raise ModelFolderError(f"{folder} lacks {name}, which its manifest lists")
        size = path.stat().st_size
        if size != entry.size_bytes or sha256_of(path) != entry.sha256:
            raise ModelFolderError(
                f"{path} differs from its manifest ({size} bytes, {entry.size_bytes} expected): "
                "the file is damaged or incomplete; fetch the model again"
            )
