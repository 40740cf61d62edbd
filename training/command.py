"""`fimble train RECIPE --out DIR`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.config import read_toml
from training.recipe import PretrainRecipe

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble train`."""
    parser.add_argument("recipe", type=Path, help="TOML recipe of the run")
    parser.add_argument("--out", type=Path, required=True, help="folder; a run in it goes on")


def run(arguments: argparse.Namespace) -> int:
    """Train, and print the folder of the model."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    recipe = read_toml(PretrainRecipe, arguments.recipe)
    from training.pretrain import pretrain

    sys.stdout.write(f"{pretrain(recipe, arguments.out)}\n")
    return 0
