"""`fimble tune`: instruction data, supervised and preference tuning, the gate before a release."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fimble.config import read_toml

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `fimble tune`."""
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    for name, text in (("data", "mine instruction examples from a corpus"),):
        step = steps.add_parser(name, help=text, description=text)
        step.add_argument("recipe", metavar="RECIPE", type=Path, help="TOML recipe")
        step.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to")
        step.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Do one step, and print what came of it."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    _STEPS[arguments.step](arguments)
    return 0


def _data(arguments: argparse.Namespace) -> None:
    from training.tuning.data import build_data
    from training.tuning.recipe import DataRecipe

    card: dict[str, Any] = build_data(read_toml(DataRecipe, arguments.recipe), arguments.out)
    if arguments.json:
        _print_json(card)
        return
    for split, tasks in card["by_task"].items():
        counts = ", ".join(f"{task} {languages['all']}" for task, languages in tasks.items())
        sys.stdout.write(f"{split}: {counts}\n")


def _print_json(value: Mapping[str, object]) -> None:
    sys.stdout.write(f"{json.dumps(value, indent=2, ensure_ascii=False)}\n")


_STEPS = {"data": _data}
