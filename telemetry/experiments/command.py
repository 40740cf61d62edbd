"""`fimble telemetry experiment`: plan, check, analyse and list experiments."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.errors import InputError
from fimble.experiments import halted_file, read_experiment
from fimble.files import write_json
from telemetry.experiments.metrics import METRICS, check_metrics
from telemetry.tables import write_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import duckdb

    from fimble.experiments import Experiment
    from telemetry.experiments.analysis import Analysis
    from telemetry.experiments.power import Traffic

MIN_HISTORY_USERS, MIN_HISTORY_DAYS = 10, 5
"""With less history, users are assumed."""
ASSUMED_USERS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs of `fimble telemetry experiment`."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, text in (
        ("plan", "say what can be found, before the start"),
        ("check", "say whether the data can be trusted and no guardrail is broken"),
        ("analyse", "give the result and the verdict"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("file", type=Path, help="where the experiment is registered (TOML)")
        verb.add_argument("--json", action="store_true", help="print one JSON document")
        if name == "plan":
            verb.add_argument("--users", type=int, metavar="N", help="not as many as there were")
        if name == "check":
            verb.add_argument(
                "--roll-back", action="store_true", help="stop it for all where a guardrail broke"
            )
    listing = verbs.add_parser("list", help="show the experiments of a folder")
    listing.add_argument("file", type=Path, metavar="FOLDER", help="folder of registrations")
    listing.add_argument("--json", action="store_true", help="print one JSON document")


def read_checked(path: Path) -> Experiment:
    """Return the experiment that a file registers.

    Raises:
        ConfigError: The file does not fit, or names a metric that does not exist.
    """
    experiment = read_experiment(path)
    check_metrics(experiment, str(path))
    return experiment


def show_plan(
    connection: duckdb.DuckDBPyConnection, arguments: argparse.Namespace, *, now_ms: int
) -> None:
    """Print what an experiment can find.

    Raises:
        InputError: The registration is wrong, or the number of users.
    """
    from telemetry.experiments.power import plan
    from telemetry.experiments.report import plan_lines

    if arguments.users is not None and arguments.users < 2:
        raise InputError(f"--users is {arguments.users}; it must be 2 or more")
    experiment = read_checked(arguments.file)
    traffic, users, source = _traffic(connection, experiment, now_ms=now_ms)
    found = plan(traffic, experiment, num_users=arguments.users or users)
    if arguments.json:
        _print_json({**dataclasses.asdict(found), "source": source})
        return
    _print(plan_lines(found, experiment, traffic, source=source))


def check(
    connection: duckdb.DuckDBPyConnection, arguments: argparse.Namespace, *, now_ms: int
) -> None:
    """Print gates and guardrails, and roll back where that is asked for and needed.

    Raises:
        InputError: The registration is wrong.
    """
    from telemetry.experiments.analysis import analyse
    from telemetry.experiments.report import gate_lines

    experiment = read_checked(arguments.file)
    found = analyse(connection, experiment, now_ms=now_ms)
    halted = _roll_back(arguments.file, found, now_ms) if arguments.roll_back else None
    if arguments.json:
        _print_json(
            {
                "experiment": found.experiment,
                "gates": [dataclasses.asdict(gate) for gate in found.gates],
                "guardrails": [dataclasses.asdict(each) for each in found.guardrails],
                "roll_back": found.verdict.roll_back,
                "halted": str(halted) if halted else None,
            }
        )
        return
    lines = [f"experiment   {found.experiment}: {found.num_users} users", *gate_lines(found.gates)]
    lines += [
        f"guardrail    {each.metric} of {each.arm}: harm {each.harm}, difference "
        f"{each.effect:+.4g} ({each.low:+.4g} to {each.high:+.4g})"
        for each in found.guardrails
    ]
    lines += [f"roll back    {arm}" for arm in found.verdict.roll_back]
    _print([*lines, *([f"halted       {halted}"] if halted else [])])


def _roll_back(path: Path, found: Analysis, now_ms: int) -> Path | None:
    """Stop the experiment for everybody, if an arm breaks a guardrail; say which file does it."""
    if not found.verdict.roll_back:
        return None
    halted = halted_file(path)
    write_json(halted, {"at_ms": now_ms, "arms": list(found.verdict.roll_back)})
    return halted


def show_analysis(
    connection: duckdb.DuckDBPyConnection, arguments: argparse.Namespace, *, now_ms: int
) -> None:
    """Print results and verdict.

    Raises:
        InputError: The registration is wrong.
    """
    from telemetry.experiments.analysis import analyse
    from telemetry.experiments.report import analysis_lines

    found = analyse(connection, read_checked(arguments.file), now_ms=now_ms)
    if arguments.json:
        _print_json(dataclasses.asdict(found))
        return
    _print(analysis_lines(found))


VERBS = {"plan": show_plan, "check": check, "analyse": show_analysis}
"""The verbs that ask the warehouse."""


def show_list(arguments: argparse.Namespace, *, now_ms: int) -> None:
    """Print the experiments of a folder.

    Raises:
        InputError: The folder does not exist, or a registration is wrong.
    """
    folder: Path = arguments.file
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the one that holds registrations")
    names = ["name", "state", "unit", "arms", "main_metric", "start", "stop", "layer"]
    rows: list[tuple[object, ...]] = []
    for path in sorted(folder.glob("*.toml")):
        each = read_checked(path)
        arms = ", ".join(f"{arm.name} {arm.weight:g}" for arm in each.arms)
        state = _state(path, each, now_ms)
        days = (each.start.isoformat(), each.stop.isoformat())
        rows.append((each.name, state, each.unit.value, arms, each.main_metric, *days, each.layer))
    if arguments.json:
        _print_json({"experiments": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    write_table(names, rows, sys.stdout)


def _state(path: Path, experiment: Experiment, now_ms: int) -> str:
    if halted_file(path).exists():
        return "rolled back"
    if now_ms < experiment.start_ms:
        return "planned"
    return "running" if now_ms < experiment.stop_ms else "over"


def _traffic(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, *, now_ms: int
) -> tuple[Traffic, int, str]:
    """Return what users do on a day, how many there are, and how that is known."""
    from telemetry.experiments.days import BEFORE, DAY_MS, Span, read_days
    from telemetry.experiments.power import grid_of, traffic_of

    metric = METRICS[experiment.main_metric]
    span_days = max(14, experiment.before_days)
    until_ms = min(now_ms, experiment.start_ms)
    days = read_days(
        connection, experiment, Span(until_ms - span_days * DAY_MS, until_ms, until_ms)
    )
    rows = days.arm == BEFORE
    num_days = len(set(days.day[rows].tolist()))
    if days.num_users < MIN_HISTORY_USERS or num_days < MIN_HISTORY_DAYS:
        return _assumed(experiment)
    grids = [
        grid_of(days.user[rows], days.day[rows], days.counts[name][rows], num_users=days.num_users)
        for name in (metric.numerator, metric.denominator)
    ]
    if grids[1].sum() == 0:
        return _assumed(experiment)
    found = traffic_of(*grids, is_share=metric.is_share)
    return found, days.num_users, f"what {days.num_users} users did on {num_days} days"


def _assumed(experiment: Experiment) -> tuple[Traffic, int, str]:
    """Return the traffic of a company that does not exist, for want of history.

    Raises:
        InputError: Nothing is known of such a metric.
    """
    import numpy as np

    from telemetry.experiments.power import traffic_of
    from telemetry.simulate.world import World, draw_days, draw_people

    if not METRICS[experiment.main_metric].is_share:
        raise InputError(
            f"{experiment.main_metric}: fewer than {MIN_HISTORY_USERS} users or {MIN_HISTORY_DAYS} "
            "days are recorded, so nothing can be said about its spread yet; record some days at "
            "level keys first, or plan with taken_per_opportunity"
        )
    chance, world = np.random.default_rng(0), World()
    people = draw_people(world, num_runs=1, num_users=20_000, chance=chance)
    drawn = draw_days(world, people, num_days=28, chance=chance)
    traffic = traffic_of(drawn.num_rud[0], drawn.den_rud[0], is_share=True)
    return traffic, ASSUMED_USERS, "assumed, as there is too little history"


def _print(lines: Sequence[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


def _print_json(value: object) -> None:
    sys.stdout.write(f"{json.dumps(_finite(value), indent=2, ensure_ascii=False)}\n")


def _finite(value: object) -> object:
    """Return `value` with null for what JSON has no number for."""
    match value:
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case float():
            return value if math.isfinite(value) else None
        case _:
            return value
