"""Whether a candidate may take its parent's place: the same held-out cases, compared in pairs.

A candidate must be better in something beyond chance, and must not be worse in anything by more
than the recipe allows, at the pessimistic end of the interval. Too few cases pass nothing.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from fimble.errors import ConfigError
from fimble.files import write_json
from fimble.preferences import Split
from training.origin import ORIGIN_NAME
from training.tuning.data import card_digest, examples_path
from training.tuning.paired import MIN_GROUPS, Change, change
from training.tuning.parent import find_parent
from training.tuning.record import Task, read_examples
from training.tuning.scores import bits_per_byte, held_out_cases, summary
from training.tuning.trainer import measured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.tuning.recipe import GateConfig, GateRecipe
    from training.tuning.scores import CaseScore

DECISION_NAME = "decision.json"
_MIN_CASES = 20
"""Of a task, before a fall in it alone can refuse a candidate."""


class Check(NamedTuple):
    """One condition."""

    name: str
    passed: bool
    found: float
    """The end of the interval that decides, or the value itself."""
    limit: float


class Decision(NamedTuple):
    """What the gate says, with its numbers."""

    passed: bool
    checks: tuple[Check, ...]
    changes: dict[str, Change]
    """`exact`, `stop` and `bits` (per byte of a middle) over all cases; `exact/TASK` of each task;
    `exact/single_line`, `stop/multi_line` and so on of middles within a line and of longer ones."""
    bits_per_byte_rise: float
    """Share, on plain text; NaN where there is none."""

    def to_json(self) -> dict[str, Any]:
        """Return the decision as JSON holds it; what is no number is null."""
        return {
            "passed": self.passed,
            "checks": [_plain(check._asdict()) for check in self.checks],
            "changes": {name: _plain(each._asdict()) for name, each in self.changes.items()},
            "bits_per_byte_rise": _number(self.bits_per_byte_rise),
        }

    def scores(self) -> dict[str, float]:
        """Return the decision as scores of a manifest."""
        scores = {"gate/passed": float(self.passed)}
        for name in ("exact", "stop", "bits"):
            found = self.changes[name]
            scores |= {
                f"gate/{name}_change": found.value,
                f"gate/{name}_low": found.low,
                f"gate/{name}_high": found.high,
            }
        if math.isfinite(self.bits_per_byte_rise):
            scores["gate/bits_per_byte_rise"] = self.bits_per_byte_rise
        return {name: round(value, 6) for name, value in scores.items()}


def run_gate(recipe: GateRecipe, out: Path) -> dict[str, Any]:
    """Compare two models, write the decision, and put it into the candidate's `origin.json`.

    Raises:
        ConfigError: There are no held-out cases.
        ModelFolderError: A model cannot be loaded.
    """
    data_sha256 = card_digest(recipe.data)
    parent = find_parent(recipe.parent, out / "parent")
    candidate = find_parent(recipe.candidate, out / "candidate")
    examples = read_examples(examples_path(recipe.data, Split.HELD_OUT))
    cases = held_out_cases(
        examples,
        parent.encoder,
        per_task=recipe.held_out_cases,
        max_tokens=recipe.parent.max_tokens,
    )
    first = measured(parent.folder, cases, parent.encoder)
    second = measured(candidate.folder, cases, candidate.encoder)
    decision = decide(first, second, recipe.gate)
    record = {
        **decision.to_json(),
        "parent": parent.digest,
        "candidate": candidate.digest,
        "data_card_sha256": data_sha256,
        "before": summary(first),
        "after": summary(second),
    }
    write_json(out / DECISION_NAME, record)
    note(recipe.candidate.path, decision)
    return record


def note(folder: Path, decision: Decision) -> None:
    """Put a decision among the scores of a tuned model; one of another make is left alone."""
    path = folder / ORIGIN_NAME
    if path.is_file():
        origin = json.loads(path.read_text(encoding="utf-8"))
        origin["scores"] = dict(sorted((origin.get("scores", {}) | decision.scores()).items()))
        write_json(path, origin)


def decide(first: Sequence[CaseScore], second: Sequence[CaseScore], config: GateConfig) -> Decision:
    """Return whether the second model may take the place of the first.

    Args:
        first: Scores of the parent.
        second: Scores of the candidate on the same cases, in the same order.
        config: What it must show.

    Raises:
        ConfigError: There is nothing to compare.
    """
    pairs = list(zip(first, second, strict=True))
    asked = [pair for pair in pairs if pair[0].task != Task.PLAIN]
    plain = [pair for pair in pairs if pair[0].task == Task.PLAIN]
    if not asked:
        raise ConfigError("there are no held-out cases to compare two models on")
    changes = {
        "exact": _changed(asked, "is_exact"),
        "stop": _changed(asked, "is_stopped"),
        "bits": _changed_bits(asked),
    }
    for task in sorted({a.task for a, _ in asked}):
        changes[f"exact/{task}"] = _changed([p for p in asked if p[0].task == task], "is_exact")
    for kind, is_line in (("single_line", True), ("multi_line", False)):
        if of := [pair for pair in asked if pair[0].is_line is is_line]:
            changes[f"exact/{kind}"] = _changed(of, "is_exact")
            changes[f"stop/{kind}"] = _changed(of, "is_stopped")
    rise = math.nan
    if plain:
        rise = bits_per_byte([b for _, b in plain]) / bits_per_byte([a for a, _ in plain]) - 1
    checks = tuple(_checks(changes, rise, config))
    return Decision(all(check.passed for check in checks), checks, changes, rise)


def _checks(changes: dict[str, Change], rise: float, config: GateConfig) -> list[Check]:
    gains = {
        "exact": changes["exact"].low,
        "stop": changes["stop"].low,
        "bits": -changes["bits"].high,
    }
    best = max(gains[name] for name in config.better_in)
    num_groups = changes["exact"].num_groups
    checks = [
        Check("enough_groups", num_groups >= MIN_GROUPS, num_groups, MIN_GROUPS),
        Check("better_in_something", best > 0, best, 0.0),
    ]
    for name in ("exact", "stop"):
        low = changes[name].low
        checks.append(Check(f"{name}_no_worse", low >= -config.max_worse, low, -config.max_worse))
    for name, found in changes.items():
        if name.startswith("exact/") and found.num_cases >= _MIN_CASES:
            checks.append(Check(f"{name}_not_lost", found.high >= 0, found.high, 0.0))
    if math.isfinite(rise):
        limit = config.max_bits_per_byte_rise
        checks.append(Check("bits_per_byte", rise <= limit, rise, limit))
    return checks


def _changed(pairs: Sequence[tuple[CaseScore, CaseScore]], name: str) -> Change:
    return change(
        [float(getattr(a, name)) for a, _ in pairs],
        [float(getattr(b, name)) for _, b in pairs],
        [a.group for a, _ in pairs],
    )


def _changed_bits(pairs: Sequence[tuple[CaseScore, CaseScore]]) -> Change:
    """Return the change in bits per byte of all middles; below 0 is better."""
    return change(
        [a.nats / math.log(2) for a, _ in pairs],
        [b.nats / math.log(2) for _, b in pairs],
        [a.group for a, _ in pairs],
        weights=[a.num_bytes for a, _ in pairs],
    )


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _number(value) if isinstance(value, float) else value for name, value in table.items()
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
