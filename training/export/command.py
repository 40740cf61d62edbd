"""`fimble export`: write a model in a release format."""

from __future__ import annotations

import json
import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from fimble import paths
from fimble.errors import InputError
from training.export.engine_model import (
    origin_of,
    read_origin,
    write_engine_model,
)
from training.export.gguf import GgufType, write_gguf
from training.export.hf import write_hf_folder
from training.export.quantise import Quantisation
from training.export.weights import Weights, load_weights

if TYPE_CHECKING:
    import argparse


class Format(StrEnum):
    """A release format."""

    ENGINE = "engine"
    HF = "hf"
    GGUF = "gguf"


QUANTISATIONS: dict[Format, dict[str, Quantisation | GgufType]] = {
    Format.ENGINE: {
        "int8": Quantisation.INT8,
        "int4": Quantisation.INT4,
        "none": Quantisation.NONE,
    },
    Format.HF: {},
    Format.GGUF: {"q8_0": GgufType.Q8_0, "f16": GgufType.F16},
}
"""What each format may store, by the words of the command line; the first is the default."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble export`."""
    parser.add_argument(
        "model", help="model folder, Hugging Face folder, or the name of a shipped model"
    )
    parser.add_argument("--format", required=True, choices=[str(each) for each in Format])
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write; for gguf the file to write"
    )
    words = [word for allowed in QUANTISATIONS.values() for word in allowed]
    parser.add_argument(
        "--quantisation", choices=words, help="engine: int8, int4, none; gguf: q8_0, f16"
    )
    parser.add_argument(
        "--all-logits",
        action="store_true",
        help="engine: return the logits of every position, to measure bits per byte",
    )


def run(arguments: argparse.Namespace) -> int:
    """Export, and print what was written as one JSON document."""
    format_, out = Format(arguments.format), arguments.out
    _stored(format_, arguments.quantisation)
    if arguments.all_logits and format_ is not Format.ENGINE:
        raise InputError(f"--all-logits belongs to --format engine; the format is {format_}")
    folder = paths.model_dir(arguments.model)
    _check_out(out, folder, format_)
    weights = load_weights(folder)
    try:
        _write(weights, folder, arguments)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error
    print(json.dumps(_report(out, format_, weights)))  # noqa: T201 - the command's result
    return 0


def _write(weights: Weights, folder: Path, arguments: argparse.Namespace) -> None:
    """Write `weights`, which were read from `folder`, as the arguments say."""
    stored = _stored(Format(arguments.format), arguments.quantisation)
    documents = tuple(sorted(folder.glob("*.md")))
    if isinstance(stored, GgufType):
        name = weights.manifest.name if weights.manifest else folder.name
        write_gguf(weights, arguments.out, name=name, stored=stored)
    elif isinstance(stored, Quantisation):
        write_engine_model(
            weights,
            arguments.out,
            quantisation=stored,
            origin=origin_of(weights.manifest) if weights.manifest else read_origin(folder),
            documents=documents,
            all_logits=arguments.all_logits,
        )
    else:
        write_hf_folder(weights, arguments.out, documents=documents)


def _stored(format_: Format, word: str | None) -> Quantisation | GgufType | None:
    """Return how to store the matrices; None where the format leaves no choice.

    Raises:
        InputError: The format does not know the quantisation.
    """
    allowed = QUANTISATIONS[format_]
    if word is None:
        return next(iter(allowed.values()), None)
    if word not in allowed:
        raise InputError(
            f"--quantisation is {word!r}; --format {format_} allows "
            f"{', '.join(allowed) or 'none to be chosen'}"
        )
    return allowed[word]


def _check_out(out: Path, source: Path, format_: Format) -> None:
    """Refuse a place that cannot be written, before the work starts."""
    if format_ is Format.GGUF and out.is_dir():
        raise InputError(f"--out is the folder {out}; --format gguf writes one file")
    if format_ is not Format.GGUF and out.exists() and not out.is_dir():
        raise InputError(f"--out is the file {out}; --format {format_} writes a folder")
    if out.resolve() == source:
        raise InputError(f"--out is {out}, the folder that is read; give another one")


def _report(out: Path, format_: Format, weights: Weights) -> dict[str, object]:
    files = [out] if out.is_file() else sorted(path for path in out.iterdir() if path.is_file())
    return {
        "format": format_.value,
        "out": str(out),
        "parameters": sum(math.prod(tensor.shape) for tensor in weights.tensors.values()),
        "bytes": {path.name: path.stat().st_size for path in files},
    }
