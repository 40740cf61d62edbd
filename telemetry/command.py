"""`fimble telemetry`: merge what editors recorded, query it, and run experiments on it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import duckdb

from fimble.clock import SystemClock
from fimble.errors import InputError
from fimble.paths import spool_dir, warehouse_dir
from fimble.settings import load_settings
from telemetry.collector import command as collector
from telemetry.doctor import examine, report_lines
from telemetry.experiments import command as experiment
from telemetry.merge import WAIT_S, MergeReport, merge
from telemetry.privacy import command as privacy
from telemetry.reader import reading, single_query
from telemetry.simulate import command as simulate
from telemetry.tables import Format, write_csv, write_json, write_table
from telemetry.texts import quoted
from telemetry.warehouse import Warehouse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from telemetry.tables import Row

_ROWS_AT_ONCE = 1000
_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_WRITERS = {Format.TABLE: write_table, Format.CSV: write_csv, Format.JSON: write_json}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs of `fimble telemetry`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    merging = verbs.add_parser("merge", help="move recorded events from the spool to the warehouse")
    merging.add_argument("--json", action="store_true", help="print one JSON document")
    sql = verbs.add_parser("sql", help="query events, sessions, completions and metrics")
    sql.add_argument("query", help="one statement of SQL that only reads")
    sql.add_argument("--format", choices=list(Format), default=Format.TABLE, type=str)
    sql.add_argument("--out", type=Path, metavar="FILE", help="write there, not to standard output")
    doctor = verbs.add_parser("doctor", help="say what was recorded and what is missing")
    doctor.add_argument("--json", action="store_true", help="print one JSON document")
    privacy.add_show_arguments(
        verbs.add_parser("show", help="print exactly what is stored, an event a line")
    )
    privacy.add_forget_arguments(
        verbs.add_parser("forget", help="delete what was recorded of a user, everywhere")
    )
    collector.add_arguments(
        verbs.add_parser("collect", help="take segments from other machines, and merge them")
    )
    experiment.add_arguments(
        verbs.add_parser("experiment", help="plan, check and analyse experiments")
    )
    simulate.add_arguments(verbs.add_parser("simulate", help="make data with a known truth"))


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says; return 0.

    Raises:
        InputError: The SQL is wrong or would change something, or a file cannot be written.
    """
    warehouse = Warehouse(warehouse_dir())
    if arguments.action in _READING:
        _merge_if_possible(warehouse)
    _ACTIONS[arguments.action](warehouse, arguments)
    return 0


def _merge(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    if url := load_settings().telemetry.collector_url:
        raise InputError(
            f"segments of this machine go to {url} (telemetry.collector_url), which merges them; "
            "`fimble telemetry sql` shows those that wait"
        )
    try:
        report = merge(spool_dir(), warehouse, SystemClock(), wait_s=WAIT_S)
    except (OSError, duckdb.Error) as error:
        raise InputError(f"cannot merge into {warehouse.folder}: {error}") from error
    if report is None:
        raise InputError(f"another process has been merging into {warehouse.folder} for {WAIT_S} s")
    as_text = json.dumps(dataclasses.asdict(report), indent=2)
    _say(as_text if arguments.json else _summary(report))


def _summary(report: MergeReport) -> str:
    """Return what a merge did, in a line, and a line for each thing to know."""
    lines = [f"merged {report.num_events} events of {report.num_segments} segments"]
    facts = {
        "events were there already": report.num_duplicates,
        "events of forgotten users were left out": report.num_forgotten,
        "segments of processes that died were closed": report.num_adopted,
        "torn last lines were left out": report.num_torn,
        "damaged lines were kept aside": report.num_damaged,
        "events of another release were kept aside": report.num_unknown,
    }
    lines += [f"{count} {fact}" for fact, count in facts.items() if count]
    return "\n".join([*lines, *(f"cannot read {problem}" for problem in report.unreadable)])


def _merge_if_possible(warehouse: Warehouse) -> None:
    """Merge, unless another process does or nothing can be written: reading works anyway.

    Where segments go to a collector, they wait for that.

    Raises:
        InputError: The warehouse is no folder, or the configuration does not fit.
    """
    if load_settings().telemetry.collector_url:
        return
    try:
        merge(spool_dir(), warehouse, SystemClock(), wait_s=0.0)
    except (OSError, duckdb.Error) as error:
        problem = f"cannot merge into {warehouse.folder}: {error}"
        if isinstance(error, OSError) and error.errno not in _READ_ONLY | _FULL:
            raise InputError(problem) from error
        if not isinstance(error, OSError) or error.errno in _FULL:
            sys.stderr.write(f"fimble: {problem}; reading what is there\n")


@contextlib.contextmanager
def _one_message() -> Iterator[None]:
    """Turn errors of SQL and of the output file into one message each."""
    try:
        yield
    except duckdb.Error as error:
        raise InputError(str(error).rstrip()) from error
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise InputError(f"cannot write the result: {error}") from error


def _sql(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    with _one_message():
        _answer(warehouse, arguments.query, Format(arguments.format), arguments.out)


def _answer(warehouse: Warehouse, text: str, fmt: Format, out: Path | None) -> None:
    """Run a query and write its result."""
    if fmt is Format.PARQUET and out is None:
        raise InputError("--format parquet needs --out FILE")
    part = out.absolute().with_name(f".{out.name}.{os.getpid()}.part") if out else None
    with reading(spool_dir(), warehouse, output=part) as connection:
        query = single_query(connection, text)
        if out is None or part is None:
            _write_rows(connection, query, fmt, sys.stdout)
            return
        try:
            _write_file(connection, query, fmt, part)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)


def _experiment(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    """Do what the verb of `fimble telemetry experiment` says."""
    now_ms = SystemClock().wall_ms()
    if arguments.verb == "list":
        experiment.show_list(arguments, now_ms=now_ms)
        return
    experiment.read_checked(arguments.file)  # a wrong file is told before anything is merged
    _merge_if_possible(warehouse)
    with _one_message(), reading(spool_dir(), warehouse) as connection:
        experiment.VERBS[arguments.verb](connection, arguments, now_ms=now_ms)


def _write_file(connection: duckdb.DuckDBPyConnection, query: str, fmt: Format, path: Path) -> None:
    if fmt is Format.PARQUET:
        options = "(format parquet, compression zstd, use_tmp_file false)"
        connection.execute(f"copy ({query}\n) to {quoted(os.fspath(path))} {options}")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        _write_rows(connection, query, fmt, file)


def _write_rows(
    connection: duckdb.DuckDBPyConnection, query: str, fmt: Format, out: IO[str]
) -> None:
    result = connection.execute(query)
    names = [column[0] for column in result.description or []]
    _WRITERS[fmt](names, _rows(result), out)


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def _doctor(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    findings = examine(spool_dir(), warehouse)
    as_text = json.dumps(dataclasses.asdict(findings), indent=2)
    _say(as_text if arguments.json else "\n".join(report_lines(findings)))


def _simulate(_: Warehouse, arguments: argparse.Namespace) -> None:
    simulate.run(arguments)


def _collect(_: Warehouse, arguments: argparse.Namespace) -> None:
    collector.run(arguments)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


_READING = frozenset({"sql", "doctor"})
"""These merge first."""
_ACTIONS = {
    "merge": _merge,
    "sql": _sql,
    "doctor": _doctor,
    "experiment": _experiment,
    "simulate": _simulate,
    "show": privacy.show,
    "forget": privacy.forget_user,
    "collect": _collect,
}
