"""`fimble loop`: from sources to a model that learns from what people take, by one recipe."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.files import write_whole
from training.loop.recipe import read_recipe
from training.loop.report import REPORT_NAME, page, summary
from training.loop.run import Loop
from training.waiting import say

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble loop`."""
    parser.description = (
        "Run corpus, vocabulary, pretraining, tuning, gate, export, evaluation, editor sessions, "
        "and turns of learning from them; a loop in DIR goes on where it was left."
    )
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="TOML recipe of the loop")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Run the loop, write its report, and say what came of it."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    loop = Loop(read_recipe(arguments.recipe), arguments.out, clock=SystemClock())
    record = loop.run(say)
    found = summary(record, loop.result)
    write_whole(arguments.out / REPORT_NAME, page(found).encode())
    if arguments.json:
        sys.stdout.write(f"{json.dumps(found, indent=2, ensure_ascii=False)}\n")
    else:
        sys.stdout.write(f"{arguments.out / REPORT_NAME}\n")
    return 0
