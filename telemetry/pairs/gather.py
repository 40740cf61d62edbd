"""All examples of some stores of content: judged, folded, capped, and split by user.

The same stores and events give the same examples in the same order, whatever the order of files.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Generic, TypeVar

from fimble.preferences import Label, Pair, Split
from telemetry.pairs.judge import Facts, judge
from telemetry.pairs.left import Left
from telemetry.pairs.store import read_session, sessions_in
from telemetry.texts import query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import duckdb

    from telemetry.pairs.judge import Terms
    from telemetry.pairs.store import Stored

E = TypeVar("E", Pair, Label)
Said = tuple[tuple[str, ...], str | bool]
"""Texts, and which of them was preferred or whether it was wanted."""
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOut:
    """Which users' examples are kept apart, and how many of each user count."""

    seed: str
    held_out_share: float
    """Of the users, 0 to 1; each is held out whole."""
    per_user: int
    """Most pairs, and most labels, of one user."""

    def split_of(self, user_key: str) -> Split:
        """Return what a user's examples are for."""
        return Split.of(user_key, seed=self.seed, held_out_share=self.held_out_share)


@dataclass(slots=True, kw_only=True)
class Examples(Generic[E]):
    """The examples of one kind, and why there are no more."""

    train: list[E] = field(default_factory=list)
    held_out: list[E] = field(default_factory=list)
    left_out: Counter[Left] = field(default_factory=Counter)


@dataclass(slots=True, kw_only=True)
class Gathered:
    """Everything that was found."""

    pairs: Examples[Pair]
    labels: Examples[Label]
    num_suggestions: int
    bad_lines: Counter[str]


def gather(
    db: duckdb.DuckDBPyConnection, folders: Sequence[Path], *, terms: Terms, hold_out: HoldOut
) -> Gathered:
    """Return the examples that stores of content give.

    Args:
        db: A connection with the views; what is forgotten is not in them.
        folders: Stores of content.
        terms: What examples must fulfil.
        hold_out: How users are told apart.
    """
    pairs, labels = _Pool[Pair](), _Pool[Label]()
    num_suggestions = 0
    bad_lines: Counter[str] = Counter()
    for stored, facts in _joined(db, folders):
        bad_lines.update({kind.value: count for kind, count in stored.bad.items()})
        num_suggestions += len(stored.suggestions)
        for name, suggestion in stored.suggestions.items():
            pair, label = judge(suggestion, facts.get(name), terms)
            pairs.add(pair)
            labels.add(label)
    return Gathered(
        pairs=pairs.divided(
            lambda p: ((p.asked.prompt, *sorted((p.chosen, p.rejected))), p.chosen), hold_out
        ),
        labels=labels.divided(lambda e: ((e.asked.prompt, e.completion), e.label), hold_out),
        num_suggestions=num_suggestions,
        bad_lines=+bad_lines,
    )


def _joined(
    db: duckdb.DuckDBPyConnection, folders: Sequence[Path]
) -> Iterator[tuple[Stored, dict[str, Facts]]]:
    """Yield what is stored of each session with what became of it; one session at a time."""
    rows = groupby(_facts(db), key=lambda row: row.session_id)
    current = next(rows, None)
    for session_id, paths in sessions_in(folders).items():
        while current is not None and current[0] < session_id:
            current = next(rows, None)
        is_known = current is not None and current[0] == session_id
        facts = {row.completion_id: row for row in current[1]} if current and is_known else {}
        yield read_session(session_id, paths), facts


def _facts(db: duckdb.DuckDBPyConnection) -> Iterator[Facts]:
    result = db.execute(query("consented"))
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield from (Facts(*row) for row in rows)


class _Pool(Generic[E]):
    """Examples of one kind, before they are compared with one another."""

    def __init__(self) -> None:
        self._examples: list[E] = []
        self._left_out: Counter[Left] = Counter()

    def add(self, example: E | Left) -> None:
        """Take an example, or count why there is none."""
        if isinstance(example, Left):
            self._left_out[example] += 1
        else:
            self._examples.append(example)

    def divided(self, said_by: Callable[[E], Said], hold_out: HoldOut) -> Examples[E]:
        """Return the examples without those that repeat or contradict others.

        Args:
            said_by: Gives the texts of an example, and what it says about them.
            hold_out: How users are told apart.
        """
        by_text: defaultdict[tuple[str, ...], list[E]] = defaultdict(list)
        for example in self._examples:
            by_text[said_by(example)[0]].append(example)
        by_user: defaultdict[str, list[E]] = defaultdict(list)
        for group in by_text.values():
            if len({said_by(each)[1] for each in group}) > 1:
                self._left_out[Left.CONTRADICTED] += len(group)
                continue
            self._left_out[Left.DUPLICATE] += len(group) - 1
            best = min(group, key=_surest_first)
            by_user[best.origin.owner].append(best)
        found = Examples[E](left_out=self._left_out)
        for user_key, theirs in sorted(by_user.items()):
            self._left_out[Left.OVER_CAP] += max(0, len(theirs) - hold_out.per_user)
            chosen = sorted(theirs, key=lambda each: _drawn(each, hold_out.seed))[
                : hold_out.per_user
            ]
            split = hold_out.split_of(user_key)
            apart = found.held_out if split is Split.HELD_OUT else found.train
            for each in sorted(chosen, key=_by_time):
                apart.append(replace(each, origin=replace(each.origin, split=split)))
        found.left_out = +self._left_out
        return found


def _surest_first(example: Pair | Label) -> tuple[float, str]:
    return (-example.origin.weight, example.origin.example_id)


def _by_time(example: Pair | Label) -> tuple[str, str]:
    return (example.origin.day, example.origin.example_id)


def _drawn(example: Pair | Label, seed: str) -> bytes:
    """Return where an example comes in a draw that depends on the seed and its name only."""
    text = f"{seed}\0{example.origin.example_id}".encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def num_users(examples: Iterable[Pair | Label]) -> int:
    """Return how many users examples are of."""
    return len({each.origin.owner for each in examples})
