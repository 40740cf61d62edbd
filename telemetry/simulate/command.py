"""`fimble telemetry simulate`: data with a known truth, for demonstrations, tests and benches."""

from __future__ import annotations

import calendar
import dataclasses
import json
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.errors import InputError
from fimble.experiments import read_experiment
from fimble.files import write_json

if TYPE_CHECKING:
    import argparse

    from telemetry.simulate.company import Simulation

TRUTH_NAME = "truth.json"
START_HELP = "first day, UTC; without one, the last day is the last workday before today"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fimble telemetry simulate`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new data folder")
    parser.add_argument("--users", type=int, default=200, metavar="N")
    parser.add_argument("--days", type=int, default=28, metavar="D", help="days in all")
    parser.add_argument("--requests-per-day", type=float, default=43.0, metavar="N")
    parser.add_argument("--experiment", type=Path, metavar="FILE", help="its registration (TOML)")
    parser.add_argument(
        "--effect", type=float, default=0.0, help="of its other arms, on acceptance_rate"
    )
    parser.add_argument(
        "--slowdown", type=float, default=1.0, help="of its other arms, factor on latency"
    )
    parser.add_argument("--start", type=date.fromisoformat, metavar="DATE", help=START_HELP)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--format",
        choices=("segments", "parquet"),
        default="segments",
        help="as servers write, to be merged; or a warehouse at once, for large numbers",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Write the data and their truth; return 0.

    Raises:
        InputError: An option is out of its range, or the folder holds data already.
    """
    simulation = _simulation(arguments)
    out: Path = arguments.out
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty; simulated data need a folder of their own")
    if arguments.format == "parquet":
        from telemetry.simulate.bulk import write_warehouse
        from telemetry.warehouse import Warehouse

        found = {"num_requests": write_warehouse(simulation, Warehouse(out / "warehouse"))}
    else:
        from telemetry.simulate.sessions import write_sessions

        found = write_sessions(simulation, out / "spool")._asdict()
    truth = {
        "world": dataclasses.asdict(simulation.world),
        "num_users": simulation.num_users,
        "num_days": simulation.num_days,
        "start": simulation.start.isoformat(),
        "seed": simulation.seed,
        "experiment": simulation.experiment.name if simulation.experiment else None,
        "effect": simulation.truth(),
        "slowdown": simulation.slowdown,
        **found,
    }
    write_json(out / TRUTH_NAME, truth)
    if arguments.json:
        sys.stdout.write(f"{json.dumps(truth, indent=2)}\n")
    else:
        numbers = ", ".join(f"{count} {name.removeprefix('num_')}" for name, count in found.items())
        sys.stdout.write(f"wrote {numbers} to {out}; the truth is in {out / TRUTH_NAME}\n")
    return 0


def last_workday(today: date) -> date:
    """Return the last day before today on which people work.

    Few days that end with a weekend would hold next to nothing.
    """
    day = today - timedelta(days=1)
    return day - timedelta(days=max(0, day.weekday() - calendar.FRIDAY))


def _simulation(arguments: argparse.Namespace) -> Simulation:
    """Return what the options ask for.

    Raises:
        InputError: An option is out of its range.
    """
    from telemetry.simulate.company import Simulation
    from telemetry.simulate.world import World

    for name, least, most in (
        ("users", 1, 1_000_000),
        ("days", 1, 3660),
        ("requests_per_day", 0.1, 100_000),
        ("effect", -0.5, 0.5),
        ("slowdown", 0.1, 100),
        ("seed", 0, 2**31),
    ):
        value = getattr(arguments, name)
        if not least <= value <= most:
            option = name.replace("_", "-")
            raise InputError(f"--{option} is {value}; it must be {least} to {most}")
    experiment = read_experiment(arguments.experiment) if arguments.experiment else None
    if experiment is not None and arguments.format == "parquet":
        raise InputError("--format parquet holds no exposures; leave out --experiment or --format")
    if experiment is None and (arguments.effect or arguments.slowdown != 1.0):
        raise InputError("--effect and --slowdown need an --experiment whose arms have them")
    today = datetime.fromtimestamp(SystemClock().wall_ms() / 1000, UTC).date()
    start = arguments.start or last_workday(today) - timedelta(days=arguments.days - 1)
    if arguments.start is None and experiment is not None:
        start = experiment.start - timedelta(days=experiment.before_days)
    if start + timedelta(days=arguments.days) > today:
        raise InputError(
            f"{arguments.days} days from {start} on end after today, {today}; events of the future "
            "are not believed. Give an earlier --start, an experiment that is over, or fewer --days"
        )
    return Simulation(
        num_users=arguments.users,
        num_days=arguments.days,
        start=start,
        seed=arguments.seed,
        experiment=experiment,
        effect=arguments.effect,
        slowdown=arguments.slowdown,
        world=World(requests_per_day=arguments.requests_per_day),
    )
