"""`fimble telemetry report`: the page about what was recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.errors import InputError
from fimble.files import write_whole
from fimble.paths import experiments_dir, spool_dir
from telemetry.answers import one_message
from telemetry.doctor import examine
from telemetry.metrics.command import add_span
from telemetry.operations.views import SHOWN_DAYS, Days, asking
from telemetry.report.gather import Span

if TYPE_CHECKING:
    import argparse

    from telemetry.warehouse import Warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fimble telemetry report`."""
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE")
    add_span(parser)
    parser.add_argument(
        "--experiments", type=Path, metavar="FOLDER", help="registrations; else the configured ones"
    )


def span_of(arguments: argparse.Namespace) -> Span:
    """Return which days count.

    Raises:
        InputError: The last one is before the first.
    """
    since, until = arguments.since, arguments.until
    if since and until and since > until:
        raise InputError(f"the days from {since} to {until} are none")
    return Span(since=since, until=until)


def registrations(folder: Path | None) -> list[Path]:
    """Return the files of registered experiments.

    Args:
        folder: Where they are; None means the folder of the configuration, which may be missing.

    Raises:
        InputError: The folder that was named does not exist.
    """
    if folder is not None and not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the one that holds registrations")
    return sorted((folder or experiments_dir()).glob("*.toml"))


def write(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: An option is wrong, or the file cannot be written.
    """
    from telemetry.report.page import page

    span, files = span_of(arguments), registrations(arguments.experiments)
    findings = examine(spool_dir(), warehouse)
    days = Days.until(span.until, SHOWN_DAYS)
    with one_message(), asking(warehouse, days) as connection:
        text = page(
            connection,
            span=span,
            experiments=files,
            findings=findings,
            now_ms=SystemClock().wall_ms(),
        )
        write_whole(arguments.out, text.encode())
    sys.stdout.write(f"wrote {arguments.out}\n")
