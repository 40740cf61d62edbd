"""Which suggestions are worth showing: boosted trees that were learnt from what users accepted.

`fimble telemetry filter train` writes the file, `completion.show_filter` names it, and the server
asks it about each suggestion that nobody asked for. A filter sees the fields of the event `served`
and nothing else, so what it decides by is what was recorded. Some of what it would hide is shown
all the same, by chance, and events say with which probability: without that, the next filter could
never learn that this one was wrong.

    {"format_version": 1, "features": ["mean_logprob", "language=go", ...], "threshold": 0.04,
     "explore_rate": 0.05, "trees": [{"feature": [0, -1, -1], "limit": [-1.2, 0, 0],
     "left": [1, 0, 0], "right": [2, 0, 0], "value": [0, 0.1, -0.7]}, ...], "evidence": {...}}

The score is the logistic function of the sum of the trees' values; a node whose feature is -1 is a
leaf. A suggestion goes left where its value is not above the limit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fimble.events import Served

FORMAT_VERSION = 1
NUMBERS = (
    "mean_logprob",
    "num_chars",
    "num_lines",
    "generated_tokens",
    "prefix_chars",
    "suffix_chars",
    "num_snippets",
    "snippet_bytes",
    "total_ms",
    "head_chars",
    "behind_chars",
    "is_in_word",
    "since_taken_ms",
    "since_rejected_ms",
)
"""Fields of the event `served` that are features as they are."""
WORDS = ("language", "scope", "cache", "stop_reason")
"""Fields of which each value is a feature, 0 or 1: `language=go`."""
NOT_KNOWN = -1.0
"""Stands for a number that an older event does not have."""
_LEAF = -1
_MAX_NODES = 200_000
_ARRAYS = ("feature", "limit", "left", "right", "value")


class Tree(NamedTuple):
    """One tree; node 0 is its root, and children come after their parents."""

    feature: tuple[int, ...]
    limit: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]

    def value_of(self, vector: Sequence[float]) -> float:
        """Return the value of the leaf that a suggestion falls into."""
        node = 0
        while (feature := self.feature[node]) != _LEAF:
            is_left = vector[feature] <= self.limit[node]
            node = self.left[node] if is_left else self.right[node]
        return self.value[node]


class Verdict(NamedTuple):
    """What a filter says about a suggestion."""

    digest: str = ""
    """Of the filter's file: the first 16 digits of its SHA-256; empty where none was asked."""
    score: float = 0.0
    """How likely the user accepts it and keeps it, 0 to 1."""
    propensity: float = 1.0
    """How likely it was to be shown before chance decided."""
    is_hidden: bool = False


NOT_ASKED = Verdict()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ShowFilter:
    """A filter, ready to be asked."""

    features: tuple[str, ...]
    trees: tuple[Tree, ...]
    threshold: float
    """Suggestions of a lower score are hidden."""
    explore_rate: float
    """Share of those that are shown all the same, 0 to 1."""
    digest: str = ""

    def score(self, values: Mapping[str, object]) -> float:
        """Return how likely a suggestion with these fields is accepted and kept, 0 to 1."""
        vector = vector_of(values, self.features)
        margin = sum(tree.value_of(vector) for tree in self.trees)
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, margin))))

    def judge(self, served: Served, *, draw: float) -> Verdict:
        """Return whether a suggestion is shown.

        Args:
            served: What would be recorded of it.
            draw: A random number, 0 to 1: below `explore_rate` it is shown, whatever its score.
        """
        score = round(self.score(_values_of(served)), 4)
        if score >= self.threshold:
            return Verdict(self.digest, score)
        return Verdict(self.digest, score, self.explore_rate, draw >= self.explore_rate)


def _values_of(served: Served) -> dict[str, object]:
    return {name: getattr(served, name) for name in (*NUMBERS, *WORDS)}


def vector_of(values: Mapping[str, object], features: Sequence[str]) -> list[float]:
    """Return the features of a suggestion as numbers."""
    vector = []
    for feature in features:
        name, is_word, word = feature.partition("=")
        value = values.get(name)
        if is_word:
            vector.append(float(value == word))
        else:
            vector.append(float(value) if isinstance(value, int | float) else NOT_KNOWN)
    return vector


def read_filter(path: Path) -> ShowFilter:
    """Return the filter in a file.

    Raises:
        InputError: The file cannot be read, or is no filter of this release.
    """
    try:
        data = path.read_bytes()
        table = json.loads(data)
        return _checked(table, hashlib.sha256(data).hexdigest()[:16])
    except OSError as error:
        raise InputError(f"cannot read the filter {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError, InputError) as error:
        raise InputError(f"{path} is no filter: {error}") from error


def _checked(table: Mapping[str, object], digest: str) -> ShowFilter:
    """Return the filter in a table.

    Raises:
        InputError: A value is out of its range.
        ValueError, TypeError, KeyError: It is of another shape.
    """
    version = table["format_version"]
    if version != FORMAT_VERSION:
        raise InputError(f"format_version is {version}; this release reads {FORMAT_VERSION}")
    features, trees = table["features"], table["trees"]
    if not isinstance(features, list) or not isinstance(trees, list):
        raise InputError("features and trees must be lists")
    for feature in features:
        if str(feature).partition("=")[0] not in (WORDS if "=" in str(feature) else NUMBERS):
            raise InputError(f"this release has no feature {feature!r}")
    return ShowFilter(
        features=tuple(map(str, features)),
        trees=tuple(_tree(each, len(features)) for each in trees),
        threshold=_share(table, "threshold"),
        explore_rate=_share(table, "explore_rate"),
        digest=digest,
    )


def _share(table: Mapping[str, object], name: str) -> float:
    value = table[name]
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}; it must be 0 to 1")
    return float(value)


def _tree(table: Mapping[str, list[float]], num_features: int) -> Tree:
    """Return a tree in which every way ends in a leaf."""
    lengths = {len(table[name]) for name in _ARRAYS}
    if len(lengths) != 1 or not 1 <= min(lengths) <= _MAX_NODES:
        raise InputError("the arrays of a tree must be equally long, and not empty")
    (count,) = lengths
    tree = Tree(
        tuple(map(int, table["feature"])),
        tuple(map(float, table["limit"])),
        tuple(map(int, table["left"])),
        tuple(map(int, table["right"])),
        tuple(map(float, table["value"])),
    )
    for node, feature in enumerate(tree.feature):
        is_split = 0 <= feature < num_features
        follows = node < tree.left[node] < count and node < tree.right[node] < count
        if feature != _LEAF and not (is_split and follows):
            raise InputError(f"node {node} of a tree names a feature or a child that is not there")
    if not all(map(math.isfinite, (*tree.limit, *tree.value))):
        raise InputError("a limit or a value of a tree is no number")
    return tree
