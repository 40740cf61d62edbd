"""`fimble telemetry pairs`: write examples for preference tuning from consented content."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.context import WindowBudget
from fimble.errors import InputError
from fimble.fim import FORMATS
from fimble.paths import content_dir, spool_dir
from telemetry.answers import one_message
from telemetry.pairs.folder import check_target, write_folder
from telemetry.pairs.gather import HoldOut, gather
from telemetry.pairs.judge import Terms
from telemetry.reader import reading

if TYPE_CHECKING:
    from fimble.clock import Clock
    from telemetry.warehouse import Warehouse

_SYSTEM_CLOCK = SystemClock()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fimble telemetry pairs`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to")
    parser.add_argument(
        "--content",
        type=Path,
        action="append",
        metavar="DIR",
        help="a store of content; more than once for several; else that of this user",
    )
    parser.add_argument(
        "--held-out", type=_share, default=0.1, metavar="SHARE", help="of the users, whole"
    )
    parser.add_argument("--seed", default="0", help="decides which users are held out")
    parser.add_argument(
        "--per-user", type=_count, default=1000, metavar="N", help="most examples of a kind"
    )
    parser.add_argument(
        "--min-visible-ms",
        type=_count,
        default=750,
        metavar="MS",
        help="a suggestion that was rejected sooner was not read",
    )
    parser.add_argument(
        "--fim-format", choices=sorted(FORMATS), default="fimble", help="layout of the prompts"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest")


def write(
    warehouse: Warehouse, arguments: argparse.Namespace, *, clock: Clock = _SYSTEM_CLOCK
) -> None:
    """Write the examples, all files or none.

    Raises:
        InputError: A store does not exist, or the folder cannot be written.
    """
    check_target(arguments.out)
    folders = arguments.content or [content_dir()]
    missing = [str(folder) for folder in arguments.content or [] if not folder.is_dir()]
    if missing:
        raise InputError(f"--content must name folders; {', '.join(missing)} is none")
    budget = WindowBudget()
    terms = Terms(
        fim_format=FORMATS[arguments.fim_format],
        budget=budget,
        min_visible_ms=arguments.min_visible_ms,
        now_ms=clock.wall_ms(),
    )
    hold_out = HoldOut(
        seed=arguments.seed, held_out_share=arguments.held_out, per_user=arguments.per_user
    )
    parameters: dict[str, object] = {
        "held_out_share": hold_out.held_out_share,
        "seed": hold_out.seed,
        "per_user": hold_out.per_user,
        "min_visible_ms": terms.min_visible_ms,
        "fim_format": terms.fim_format.name,
        "prefix_bytes": budget.prefix_bytes,
        "suffix_bytes": budget.suffix_bytes,
        "step_lines": budget.step_lines,
    }
    with one_message():
        with reading(spool_dir(), warehouse, clock=clock) as connection:
            gathered = gather(connection, folders, terms=terms, hold_out=hold_out)
        manifest = write_folder(arguments.out, gathered, parameters)
    if arguments.json:
        sys.stdout.write(f"{json.dumps(manifest, indent=2, ensure_ascii=False)}\n")
        return
    pairs, labels = gathered.pairs, gathered.labels
    sys.stdout.write(
        f"wrote {arguments.out}: of {gathered.num_suggestions} suggestions "
        f"{len(pairs.train)} pairs and {len(labels.train)} labels, "
        f"{len(pairs.held_out)} and {len(labels.held_out)} of users held out\n"
    )


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share, 0 to 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value
