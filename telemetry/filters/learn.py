"""Learning a filter: boosted trees by LightGBM, written as plain JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fimble.errors import InputError
from fimble.show_filter import FORMAT_VERSION
from telemetry.filters.evidence import Evidence, evidence_of, safe_threshold
from telemetry.filters.rows import PARTS

if TYPE_CHECKING:
    from telemetry.filters.rows import Rows

MIN_TAKEN = 300
"""Accepted suggestions in each part of the users; with fewer, a loss of 1% cannot be ruled out."""
_MAX_TREES = 150
_PATIENCE = 10
"""So many trees without a gain on other users are the last."""
_LEARNING = {
    "objective": "binary",
    "learning_rate": 0.1,
    "num_leaves": 8,
    "min_data_in_leaf": 200,
    "lambda_l2": 10.0,
    "use_missing": False,  # what is not known is a number like others
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a filter is to be."""

    max_lost_rate: float = 0.01
    """Most accepted suggestions that it may hide, 0 to 0.5."""
    explore_rate: float = 0.05
    """Share of what it would hide that is shown all the same, 0.01 to 0.5."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.max_lost_rate <= 0.5:
            raise InputError(f"max-lost is {self.max_lost_rate}; it must be above 0, up to 0.5")
        if not 0.01 <= self.explore_rate <= 0.5:
            raise InputError(f"explore is {self.explore_rate}; it must be 0.01 to 0.5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """A filter as it is written, and what it does on the users that are for testing."""

    file: str
    evidence: Evidence


def learn(rows: Rows, wanted: Wanted) -> Learnt:
    """Return a filter.

    Raises:
        InputError: Too little was recorded, or LightGBM is not installed.
    """
    parts = {name: rows.of(rows.part == name) for name in sorted(set(PARTS))}
    for name, part in parts.items():
        if part.is_taken.sum() < MIN_TAKEN or not part.helped.any():
            raise InputError(
                f"too little was recorded to learn from: {int(part.is_taken.sum())} accepted "
                f"suggestions among the users to {name} by; needed are {MIN_TAKEN}"
            )
    features = parts["learn"].features()
    if not features:
        raise InputError("the recorded suggestions are all alike; nothing tells them apart")
    trees, scores = _boosted(parts, features, wanted.seed)
    threshold = safe_threshold(parts["choose"], scores["choose"], wanted.max_lost_rate)
    evidence = evidence_of(parts["test"], scores["test"], threshold)
    table = {
        "format_version": FORMAT_VERSION,
        "features": list(features),
        "threshold": threshold,
        "explore_rate": wanted.explore_rate,
        "trees": trees,
        "evidence": {
            **dataclasses.asdict(wanted),
            "num_learnt_from": len(parts["learn"]),
            **dataclasses.asdict(evidence),
            "bins": [each._asdict() for each in evidence.bins],
            "trades": [each._asdict() for each in evidence.trades],
        },
    }
    return Learnt(file=f"{json.dumps(table)}\n", evidence=evidence)


def _boosted(
    parts: dict[str, Rows], features: tuple[str, ...], seed: int
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return trees, and the scores that they give to each part, as the server rounds them."""
    try:
        import lightgbm
    except ModuleNotFoundError as error:
        raise InputError("learning a filter needs the extra `filter`: fimble[filter]") from error
    data, others = (
        lightgbm.Dataset(
            parts[name].matrix(features),
            label=parts[name].helped.astype(np.float64),
            weight=parts[name].weight,
            params=_LEARNING,
        )
        for name in ("learn", "stop")
    )
    booster = lightgbm.train(
        {**_LEARNING, "seed": seed},
        data,
        num_boost_round=_MAX_TREES,
        valid_sets=[others],
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
    )
    dumped = booster.dump_model(num_iteration=booster.best_iteration)
    trees = [_flat(each["tree_structure"]) for each in dumped["tree_info"]]
    scores = {
        name: np.round(np.asarray(booster.predict(rows.matrix(features))), 4)
        for name, rows in parts.items()
    }
    return trees, scores


def _flat(root: dict[str, Any]) -> dict[str, list[float]]:
    """Return a tree as arrays, in which children come after their parents."""
    tree: dict[str, list[float]] = {n: [] for n in ("feature", "limit", "left", "right", "value")}
    waiting: list[tuple[dict[str, Any], int, str]] = [(root, -1, "")]
    while waiting:
        node, parent, side = waiting.pop()
        number = len(tree["feature"])
        if side:
            tree[side][parent] = number
        is_leaf = "leaf_value" in node
        tree["feature"].append(-1 if is_leaf else node["split_feature"])
        tree["limit"].append(0.0 if is_leaf else node["threshold"])
        tree["value"].append(node["leaf_value"] if is_leaf else 0.0)
        tree["left"].append(0)
        tree["right"].append(0)
        if not is_leaf:
            waiting += [
                (node["right_child"], number, "right"),
                (node["left_child"], number, "left"),
            ]
    return tree
