"""Recorded suggestions as arrays, and which of them are for learning, choosing and testing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fimble.show_filter import NOT_KNOWN, NUMBERS, WORDS
from telemetry.texts import query

if TYPE_CHECKING:
    from datetime import date

    import duckdb

MAX_ROWS = 1_000_000
"""Of more suggestions, those of a sample of the users are taken."""
_FEW_USERS = 20
"""With fewer users, sessions are told apart instead."""
PARTS = ("learn", "learn", "stop", "choose", "test")
"""What users are for: growing trees, saying when these are enough, the threshold, the test."""
_MIN_WORD_ROWS = 50
"""A value of a word that is rarer is no feature of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Suggestions; arrays have one value each."""

    numbers: dict[str, np.ndarray]
    words: dict[str, np.ndarray]
    who: np.ndarray
    """Numbers of users, or of sessions where there are few users."""
    part: np.ndarray
    """One of `PARTS`; whole users, so that nobody is tested on himself."""
    is_taken: np.ndarray
    helped: np.ndarray
    chars_kept: np.ndarray
    weight: np.ndarray
    """1 / how likely it was to be shown."""

    def __len__(self) -> int:
        return len(self.is_taken)

    def of(self, chosen: np.ndarray) -> Rows:
        """Return those that a condition chooses."""
        return Rows(
            numbers={name: values[chosen] for name, values in self.numbers.items()},
            words={name: values[chosen] for name, values in self.words.items()},
            who=self.who[chosen],
            part=self.part[chosen],
            is_taken=self.is_taken[chosen],
            helped=self.helped[chosen],
            chars_kept=self.chars_kept[chosen],
            weight=self.weight[chosen],
        )

    def matrix(self, features: tuple[str, ...]) -> np.ndarray:
        """Return features as `fimble.show_filter.vector_of` would, a row a suggestion."""
        columns = []
        for feature in features:
            name, is_word, word = feature.partition("=")
            columns.append(self.words[name] == word if is_word else self.numbers[name])
        return np.column_stack(columns).astype(np.float64)

    def features(self) -> tuple[str, ...]:
        """Return the features that vary here."""
        found = [name for name in NUMBERS if np.ptp(self.numbers[name]) > 0]
        for name in WORDS:
            words, counts = np.unique(self.words[name], return_counts=True)
            often = words[counts >= _MIN_WORD_ROWS].tolist()
            found += [f"{name}={word}" for word in often if len(often) > 1]
        return tuple(found)


def read_rows(
    connection: duckdb.DuckDBPyConnection, *, since: date | None = None, until: date | None = None
) -> Rows:
    """Return what was recorded in a span of days."""
    parameters = {"since": since, "until": until, "sample": 1.0}
    counted = f"select count(*) from ({query('filter_rows')})"  # noqa: S608 - our own query
    (count,) = connection.execute(counted, parameters).fetchone() or (0,)
    parameters["sample"] = min(1.0, MAX_ROWS / max(count, 1))
    table = connection.execute(query("filter_rows"), parameters).fetchnumpy()
    unit = "who" if len(np.unique(_filled(table["who"], ""))) >= _FEW_USERS else "session_id"
    names, who = np.unique(_filled(table[unit], "").astype(str), return_inverse=True)
    of_name = np.array([_part(name) for name in names.tolist()] or [""])
    return Rows(
        numbers={n: _filled(table[n], NOT_KNOWN).astype(np.float64) for n in NUMBERS},
        words={n: _filled(table[n], "").astype(str) for n in WORDS},
        who=who,
        part=of_name[who],
        is_taken=_filled(table["is_taken"], fill_value=False).astype(bool),
        helped=_filled(table["helped"], fill_value=False).astype(bool),
        chars_kept=_filled(table["chars_kept"], 0).astype(np.float64),
        weight=1 / _filled(table["propensity"], 1.0).astype(np.float64),
    )


def _part(name: str) -> str:
    """Return the part of a user, by chance that is the same each time."""
    return PARTS[hashlib.blake2b(name.encode(), digest_size=8).digest()[0] % len(PARTS)]


def _filled(values: object, fill_value: str | float) -> np.ndarray:
    """Return values with those that are not there replaced."""
    return np.ma.filled(np.ma.asarray(values), fill_value)
