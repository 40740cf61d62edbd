"""`fimble telemetry`: merge what editors recorded, query it, and run experiments on it."""

from __future__ import annotations

import dataclasses
import errno
import json
import sys
from typing import TYPE_CHECKING

import duckdb

from fimble.clock import SystemClock
from fimble.errors import InputError
from fimble.paths import spool_dir, warehouse_dir
from fimble.settings import load_settings
from telemetry.answers import one_message, write_answer
from telemetry.collector import command as collector
from telemetry.compaction import ROWS_BESIDE_A_QUESTION
from telemetry.doctor import examine, report_lines
from telemetry.experiments import command as experiment
from telemetry.filters import command as filters
from telemetry.merge import WAIT_S, MergeReport, merge
from telemetry.metrics import command as metrics
from telemetry.operations import command as operations
from telemetry.pairs import command as pairs
from telemetry.privacy import command as privacy
from telemetry.reader import reading, single_query
from telemetry.report import command as report
from telemetry.simulate import command as simulate
from telemetry.tables import Format
from telemetry.ui import command as ui
from telemetry.warehouse import Warehouse

if TYPE_CHECKING:
    import argparse

_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs of `fimble telemetry`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    merging = verbs.add_parser("merge", help="move recorded events from the spool to the warehouse")
    merging.add_argument("--json", action="store_true", help="print one JSON document")
    sql = verbs.add_parser("sql", help="query events, sessions, completions and metrics")
    sql.add_argument("query", help="one statement of SQL that only reads")
    metrics.add_output(sql)
    metrics.add_arguments(verbs.add_parser("metric", help="tell a metric, with its interval"))
    metrics.add_list_arguments(verbs.add_parser("metrics", help="list the metrics"))
    report.add_arguments(verbs.add_parser("report", help="write a page about what was recorded"))
    ui.add_arguments(verbs.add_parser("ui", help="serve notebooks over it to your own browser"))
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
    filters.add_arguments(
        verbs.add_parser("filter", help="learn which suggestions are worth showing")
    )
    operations.add_arguments(
        verbs.add_parser("operations", help="fetch backends' metrics, and ask about them")
    )
    pairs.add_arguments(
        verbs.add_parser("pairs", help="write examples for preference tuning from content")
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
        merge(
            spool_dir(),
            warehouse,
            SystemClock(),
            wait_s=0.0,
            max_compacted_rows=ROWS_BESIDE_A_QUESTION,
        )
    except (OSError, duckdb.Error) as error:
        problem = f"cannot merge into {warehouse.folder}: {error}"
        if isinstance(error, OSError) and error.errno not in _READ_ONLY | _FULL:
            raise InputError(problem) from error
        if not isinstance(error, OSError) or error.errno in _FULL:
            sys.stderr.write(f"fimble: {problem}; reading what is there\n")


def _sql(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    write_answer(
        warehouse,
        lambda connection: single_query(connection, arguments.query),
        fmt=Format(arguments.format),
        out=arguments.out,
    )


def _metric(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    question = metrics.question_of(arguments)  # a wrong question is told before anything is merged
    _merge_if_possible(warehouse)
    metrics.answer(warehouse, arguments, question)


def _experiment(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    """Do what the verb of `fimble telemetry experiment` says."""
    now_ms = SystemClock().wall_ms()
    if arguments.verb == "list":
        experiment.show_list(arguments, now_ms=now_ms)
        return
    experiment.read_checked(arguments.file)  # a wrong file is told before anything is merged
    _merge_if_possible(warehouse)
    with one_message(), reading(spool_dir(), warehouse) as connection:
        experiment.VERBS[arguments.verb](connection, arguments, now_ms=now_ms)


def _filter(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    """Do what the verb of `fimble telemetry filter` says."""
    wanted = filters.wanted_of(arguments)
    _merge_if_possible(warehouse)
    with one_message(), reading(spool_dir(), warehouse) as connection:
        filters.run(connection, arguments, wanted)


def _doctor(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    findings = examine(spool_dir(), warehouse)
    as_text = json.dumps(dataclasses.asdict(findings), indent=2)
    _say(as_text if arguments.json else "\n".join(report_lines(findings)))


def _simulate(_: Warehouse, arguments: argparse.Namespace) -> None:
    simulate.run(arguments)


def _ui(_: Warehouse, arguments: argparse.Namespace) -> None:
    ui.run(arguments)


def _collect(_: Warehouse, arguments: argparse.Namespace) -> None:
    collector.run(arguments)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


_READING = frozenset({"sql", "doctor", "report", "ui", "pairs"})
"""These merge first."""
_ACTIONS = {
    "merge": _merge,
    "sql": _sql,
    "metric": _metric,
    "metrics": metrics.show_list,
    "report": report.write,
    "ui": _ui,
    "doctor": _doctor,
    "experiment": _experiment,
    "filter": _filter,
    "operations": operations.run,
    "pairs": pairs.write,
    "simulate": _simulate,
    "show": privacy.show,
    "forget": privacy.forget_user,
    "collect": _collect,
}
