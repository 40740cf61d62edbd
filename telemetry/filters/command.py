"""`fimble telemetry filter`: learn what is worth showing, and check a filter on new events."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fimble.files import write_whole
from fimble.show_filter import NUMBERS, WORDS, read_filter
from telemetry.filters.evidence import Evidence, evidence_of
from telemetry.filters.learn import Wanted, learn
from telemetry.filters.rows import Rows, read_rows
from telemetry.metrics.command import add_span

if TYPE_CHECKING:
    import argparse

    import duckdb

    from fimble.show_filter import ShowFilter

MAX_CHECKED = 100_000
"""A check takes so many of the suggestions, evenly spread: it scores as the server does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs of `fimble telemetry filter`."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    train = verbs.add_parser("train", help="learn a filter from what was accepted")
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="where it goes")
    train.add_argument(
        "--max-lost",
        type=float,
        default=Wanted().max_lost_rate,
        metavar="SHARE",
        help="most accepted suggestions that it may hide (default: %(default)s)",
    )
    train.add_argument(
        "--explore",
        type=float,
        default=Wanted().explore_rate,
        metavar="SHARE",
        help="of what it would hide, how much is shown all the same (default: %(default)s)",
    )
    train.add_argument("--seed", type=int, default=0, help="of the trees (default: %(default)s)")
    check = verbs.add_parser("check", help="say what a filter does on recorded suggestions")
    check.add_argument("file", type=Path, help="of `filter train`")
    for verb in (train, check):
        add_span(verb)
        verb.add_argument("--json", action="store_true", help="print one JSON document")


def wanted_of(arguments: argparse.Namespace) -> Wanted | ShowFilter:
    """Return what the arguments ask for, so that a mistake is told before anything is read.

    Raises:
        InputError: A value is out of its range, or the file is no filter.
    """
    if arguments.verb == "check":
        return read_filter(arguments.file)
    return Wanted(
        max_lost_rate=arguments.max_lost, explore_rate=arguments.explore, seed=arguments.seed
    )


def run(
    connection: duckdb.DuckDBPyConnection,
    arguments: argparse.Namespace,
    wanted: Wanted | ShowFilter,
) -> None:
    """Learn or check.

    Raises:
        InputError: Too little was recorded, or the file cannot be written.
    """
    rows = read_rows(connection, since=arguments.since, until=arguments.until)
    if isinstance(wanted, Wanted):
        learnt = learn(rows, wanted)
        write_whole(arguments.out, learnt.file.encode())
        evidence = learnt.evidence
    else:
        evidence = check(rows, wanted)
    told = json.dumps(dataclasses.asdict(evidence), indent=2) if arguments.json else page(evidence)
    sys.stdout.write(f"{told}\n")


def check(rows: Rows, show_filter: ShowFilter) -> Evidence:
    """Return what a filter does on all these suggestions, scored by the server's own code."""
    step = -(-len(rows) // MAX_CHECKED) or 1
    some = rows.of(np.arange(len(rows)) % step == 0)
    columns = {**some.numbers, **some.words}
    listed = {name: columns[name].tolist() for name in (*NUMBERS, *WORDS)}
    scores = [
        round(show_filter.score(dict(zip(listed, values, strict=True))), 4)
        for values in zip(*listed.values(), strict=True)
    ]
    return evidence_of(some, np.array(scores, dtype=np.float64), show_filter.threshold)


def page(evidence: Evidence) -> str:
    """Return the evidence as lines to read."""
    facts = {
        "suggestions": f"{evidence.num_suggestions}, {evidence.num_taken} of them accepted",
        "AUC": f"{evidence.auc:.3f} (mean log-probability: {evidence.auc_of_mean_logprob:.3f})",
        "calibration": f"scores are off by {evidence.calibration_error:.4f} in the mean",
        "Brier score": f"{evidence.brier:.4f}",
        "hides": f"{evidence.hidden_rate:.1%}: scores below {evidence.threshold:.4f}",
        "loses": f"{evidence.lost_taken_rate:.2%} of what was accepted, and "
        f"{evidence.lost_chars_rate:.2%} of the kept characters",
        "acceptance": f"{evidence.acceptance_before:.1%}, then {evidence.acceptance_after:.1%}",
    }
    lines = [f"{name:<12} {fact}" for name, fact in facts.items()]
    lines += ["", "kept characters lost   hidden   acceptance of the rest"]
    lines += [
        f"{each.lost_chars_rate:>20.1%}   {each.hidden_rate:>6.1%}   {each.acceptance_rate:>6.1%}"
        for each in evidence.trades
    ]
    lines += ["", "score   accepted and kept   suggestions"]
    lines += [
        f"{each.score:.3f}   {each.helped_rate:>17.3f}   {each.num_suggestions:>11}"
        for each in evidence.bins
    ]
    return "\n".join(lines)
