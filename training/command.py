"""`fimble train RECIPE --out DIR`, and `fimble train documents DIR --step N`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.config import read_toml
from fimble.errors import InputError
from training.recipe import PretrainRecipe

if TYPE_CHECKING:
    import argparse

_DOCUMENTS = "documents"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble train`."""
    parser.usage = (
        "fimble train [-h] RECIPE --out DIR\n"
        f"       fimble train [-h] {_DOCUMENTS} DIR --step N [--json]"
    )
    parser.description = (
        "Train the model that RECIPE describes, or go on with the run in DIR. "
        f"With the word `{_DOCUMENTS}`: print which documents step N of the run in DIR has seen."
    )
    parser.add_argument(
        "recipe", metavar="RECIPE", type=Path, help=f"TOML recipe of the run, or `{_DOCUMENTS}`"
    )
    parser.add_argument(
        "run", metavar="DIR", type=Path, nargs="?", help=f"with `{_DOCUMENTS}`: folder of a run"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder; a run in it goes on")
    parser.add_argument("--step", metavar="N", type=int, help=f"with `{_DOCUMENTS}`: from 1")
    parser.add_argument(
        "--json", action="store_true", help=f"with `{_DOCUMENTS}`: print one JSON document"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and print the folder of the model; or print what a step has seen."""
    if str(arguments.recipe) == _DOCUMENTS:
        return _print_documents(arguments)
    if arguments.out is None or arguments.run is not None:
        raise InputError("say where the run lies: fimble train RECIPE --out DIR")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    recipe = read_toml(PretrainRecipe, arguments.recipe)
    from training.pretrain import pretrain

    sys.stdout.write(f"{pretrain(recipe, arguments.out)}\n")
    return 0


def _print_documents(arguments: argparse.Namespace) -> int:
    """Print the documents of a step: one a line, or as one JSON document."""
    if arguments.run is None or arguments.step is None:
        raise InputError(f"say of which run and step: fimble train {_DOCUMENTS} DIR --step N")
    from training.seen import documents_of_step

    seen = documents_of_step(arguments.run, arguments.step)
    if arguments.json:
        sys.stdout.write(f"{json.dumps(seen._asdict(), ensure_ascii=False)}\n")
        return 0
    for document in seen.documents:
        sys.stdout.write(f"{document['project']}/{document['path']}\n")
    return 0
