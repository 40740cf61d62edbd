"""A filter as it is written to a file: what it says, and what is refused."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from fimble.errors import InputError
from fimble.events import EVENT_KINDS, Served, field_types
from fimble.show_filter import NUMBERS, WORDS, read_filter, vector_of
from tests.stand_ins.made_events import served

if TYPE_CHECKING:
    from pathlib import Path

# Below -1.5: 0.1. Above it, in Go: -0.2, else 0.7.
TREE = {
    "feature": [0, -1, 1, -1, -1],
    "limit": [-1.5, 0, 0.5, 0, 0],
    "left": [1, 0, 3, 0, 0],
    "right": [2, 0, 4, 0, 0],
    "value": [0, 0.1, 0, 0.7, -0.2],
}
TABLE: dict[str, Any] = {
    "format_version": 1,
    "features": ["mean_logprob", "language=go"],
    "threshold": 0.55,
    "explore_rate": 0.1,
    "trees": [TREE, {name: [0.25 if name == "value" else -1] for name in TREE}],
    "evidence": {},
}


def written(folder: Path, table: object) -> Path:
    path = folder / "filter 🙂.json"
    path.write_text(table if isinstance(table, str) else json.dumps(table), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("logprob", "language", "margin"),
    [
        (-1.5, "go", 0.35),
        (-1.4, "go", 0.05),
        (-1.4, "python", 0.95),
        (0, "", 0.95),
        (0, None, 0.95),
    ],
)
def test_a_score_is_the_logistic_function_of_the_sum_of_leaves(
    tmp_path: Path, logprob: float, language: str | None, margin: float
) -> None:
    found = read_filter(written(tmp_path, TABLE))
    values = {"mean_logprob": logprob, "language": language}
    assert found.score(values) == pytest.approx(1 / (1 + math.exp(-margin)), abs=1e-12)


def test_what_scores_too_low_is_hidden_but_for_a_share(tmp_path: Path) -> None:
    found = read_filter(written(tmp_path, TABLE))
    event = served("c")  # -1.0, python
    assert found.judge(event, draw=0.99) == (found.digest, 0.7211, 1.0, False)
    strict = read_filter(written(tmp_path, TABLE | {"threshold": 0.8}))
    assert strict.judge(event, draw=0.1) == (strict.digest, 0.7211, 0.1, True)
    assert strict.judge(event, draw=0.0999) == (strict.digest, 0.7211, 0.1, False)
    assert len(strict.digest) == 16
    assert strict.digest != found.digest


def test_features_are_fields_of_the_event_and_what_is_missing_is_not_known() -> None:
    assert {*NUMBERS, *WORDS} <= field_types(Served).keys()
    assert Served in EVENT_KINDS
    names = ("num_chars", "is_in_word", "head_chars", "language=", "cache=miss")
    values = {"num_chars": 3, "is_in_word": True, "head_chars": None, "language": "", "cache": "x"}
    assert vector_of(values, names) == [3.0, 1.0, -1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "is no filter"),
        ("[]", "is no filter"),
        ("[" * 100_000, "is no filter"),
        ({}, "is no filter: 'format_version'"),
        (TABLE | {"format_version": 2}, "format_version is 2; this release reads 1"),
        (TABLE | {"features": ["password", "language=go"]}, "no feature 'password'"),
        (TABLE | {"features": ["mean_logprob=1", "language=go"]}, "no feature 'mean_logprob=1'"),
        (TABLE | {"threshold": 1.5}, "threshold is 1.5; it must be 0 to 1"),
        (TABLE | {"explore_rate": "0"}, "explore_rate is '0'"),
        (TABLE | {"trees": [{**TREE, "left": [0, 0, 3, 0, 0]}]}, "node 0 of a tree"),
        (TABLE | {"trees": [{**TREE, "right": [9, 0, 3, 0, 0]}]}, "node 0 of a tree"),
        (TABLE | {"trees": [{**TREE, "feature": [2, -1, 1, -1, -1]}]}, "node 0 of a tree"),
        (TABLE | {"trees": [{**TREE, "value": [0]}]}, "equally long"),
        (TABLE | {"trees": [{name: [] for name in TREE}]}, "not empty"),
        (TABLE | {"trees": [{**TREE, "limit": [math.nan, 0, 0, 0, 0]}]}, "no number"),
        (TABLE | {"trees": [[]]}, "is no filter"),
    ],
    ids=range(16),
)
def test_what_is_no_filter_is_refused_with_its_name(
    tmp_path: Path, table: object, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_filter(written(tmp_path, table))
    assert "filter 🙂.json" in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the filter .*: No such file"):
        read_filter(tmp_path / "none.json")
