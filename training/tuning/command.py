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
    from collections.abc import Callable, Iterator, Mapping


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `fimble tune`."""
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    for name, (text, _) in _STEPS.items():
        step = steps.add_parser(name, help=text, description=text)
        step.add_argument("recipe", metavar="RECIPE", type=Path, help="TOML recipe")
        step.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to")
        step.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Do one step, and print what came of it: its record as JSON, or a few lines."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    _, step = _STEPS[arguments.step]
    record = step(arguments.recipe, arguments.out)
    if arguments.json:
        sys.stdout.write(f"{json.dumps(record, indent=2, ensure_ascii=False)}\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(record)))
    return 0


def _data(recipe: Path, out: Path) -> dict[str, Any]:
    from training.tuning.data import build_data
    from training.tuning.recipe import DataRecipe
    from training.waiting import say

    return build_data(read_toml(DataRecipe, recipe), out, tell=say)


def _sft(recipe: Path, out: Path) -> dict[str, Any]:
    from training.tuning.outcome import read_run
    from training.tuning.recipe import SftRecipe
    from training.tuning.sft import tune

    tune(read_toml(SftRecipe, recipe), out)
    return read_run(out)


def _pairs(recipe: Path, out: Path) -> dict[str, Any]:
    from training.tuning.pairs import build_pairs
    from training.tuning.preference_recipe import PairsRecipe

    return build_pairs(read_toml(PairsRecipe, recipe), out)


def _prefer(recipe: Path, out: Path) -> dict[str, Any]:
    from training.tuning.outcome import read_run
    from training.tuning.preference import prefer
    from training.tuning.preference_recipe import PreferenceRecipe

    prefer(read_toml(PreferenceRecipe, recipe), out)
    return read_run(out)


def _gate(recipe: Path, out: Path) -> dict[str, Any]:
    from training.tuning.gate import run_gate
    from training.tuning.recipe import GateRecipe

    return run_gate(read_toml(GateRecipe, recipe), out)


def _company(recipe: Path, out: Path) -> dict[str, Any]:
    from training.tuning.company import adapt
    from training.tuning.recipe import CompanyRecipe

    return adapt(read_toml(CompanyRecipe, recipe), out)


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a person wants to know of a record."""
    for split, tasks in record.get("by_task", {}).items():
        counts = ", ".join(f"{task} {languages['all']}" for task, languages in tasks.items())
        yield f"{split}: {counts}"
    for split, whys in record.get("texts_by_fault", {}).items():
        yield f"{split}: " + ", ".join(f"{why} {count}" for why, count in whys.items())
    if reason := record.get("stopped_because"):
        yield f"stopped: {reason}; the weights are those of step {record['kept_step']}"
    if (share := record.get("kept_share", 1.0)) < 1:
        yield f"{share:.0%} of the change is kept: all of it would forget more than is allowed"
    if "passed" in record:
        yield from _decision_lines(record)
    before, after = record.get("before", {}), record.get("after", {})
    for name in sorted(set(before) & set(after)):
        yield f"{name}: {before[name]:.4f} -> {after[name]:.4f}"


def _decision_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences of two models, and what the gate says to them."""
    for name in ("exact", "stop", "bits"):
        found = record["changes"][name]
        yield f"{name}: {found['value']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"
    failed = [check["name"] for check in record["checks"] if not check["passed"]]
    yield f"refused: {', '.join(failed)}" if failed else "passed"


_STEPS: dict[str, tuple[str, Callable[[Path, Path], dict[str, Any]]]] = {
    "data": ("mine instruction examples from a corpus", _data),
    "sft": ("tune a model on instruction examples", _sft),
    "pairs": ("make preferences of a model's own texts and the project's code", _pairs),
    "company": ("tune a model on one's own repository, and measure what it brings", _company),
    "gate": ("decide whether a tuned model may take its parent's place", _gate),
    "prefer": ("tune a model on preferences, by DPO, KTO or GRPO", _prefer),
}
