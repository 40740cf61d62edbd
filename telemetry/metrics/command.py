"""`fimble telemetry metric` and `fimble telemetry metrics`: what is measured, and how much."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.errors import InputError
from fimble.paths import data_dir
from telemetry.answers import write_answer
from telemetry.metrics.definition import definitions
from telemetry.metrics.dictionary import dictionary, means
from telemetry.metrics.question import DIMENSIONS, MIN_USERS, Question, sql_of
from telemetry.tables import Format
from telemetry.texts import quoted

if TYPE_CHECKING:
    from telemetry.warehouse import Warehouse

NOTHING = (
    "fimble: {folder} holds nothing that counts here; write something in an editor first, or let "
    "`fimble telemetry simulate` make people up\n"
)
_LIST_NAMES = ("name", "title", "unit", "better", "means")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fimble telemetry metric`."""
    parser.add_argument("name", help="one of `fimble telemetry metrics`")
    parser.add_argument(
        "--by",
        default="",
        metavar="WHAT,...",
        help=f"a row for each {', '.join(DIMENSIONS)}, or several of them",
    )
    add_span(parser)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WHAT=VALUE",
        help="leave out the rest; an empty value means: not known",
    )
    parser.add_argument(
        "--min-users",
        type=int,
        default=MIN_USERS,
        metavar="N",
        help="withhold groups of fewer users, where there are several",
    )
    add_output(parser)


def add_span(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose days."""
    parser.add_argument(
        "--since", type=date.fromisoformat, metavar="DATE", help="first day that counts, UTC"
    )
    parser.add_argument(
        "--until", type=date.fromisoformat, metavar="DATE", help="last day that counts, UTC"
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a result is written, and where."""
    parser.add_argument("--format", choices=list(Format), default=Format.TABLE, type=str)
    parser.add_argument("--out", type=Path, metavar="FILE", help="there, not to standard output")


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fimble telemetry metrics`."""
    parser.add_argument("--markdown", action="store_true", help="print the dictionary of the docs")
    add_output(parser)


def question_from(words: list[str]) -> Question:
    """Return the question of a command line, such as `["total_ms", "--by", "day"]`."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return question_of(parser.parse_args(words))


def question_of(arguments: argparse.Namespace) -> Question:
    """Return what the options ask.

    Raises:
        InputError: The metric, a dimension or a day is not one.
    """
    only: dict[str, str] = {}
    for text in arguments.only:
        name, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"--only is {text!r}; give WHAT=VALUE, such as language=python")
        only[name] = value
    return Question(
        metric=arguments.name,
        by=tuple(name for name in arguments.by.split(",") if name),
        since=arguments.since,
        until=arguments.until,
        only=only,
        min_users=arguments.min_users,
    )


def answer(warehouse: Warehouse, arguments: argparse.Namespace, question: Question) -> None:
    """Write the answer to a question.

    Raises:
        InputError: The file cannot be written.
    """
    write_answer(
        warehouse,
        lambda connection: sql_of(connection, question),
        fmt=Format(arguments.format),
        out=arguments.out,
        if_empty=NOTHING.format(folder=data_dir()),
    )


def show_list(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    """Write what metrics there are.

    Raises:
        InputError: The file cannot be written.
    """
    if arguments.markdown:
        sys.stdout.write(dictionary())
        return
    rows = ", ".join(
        f"({', '.join(map(quoted, (each.name, each.title, each.unit, each.better, means(each))))})"
        for each in definitions().values()
    )
    query = f"select * from (values {rows}) as metrics ({', '.join(_LIST_NAMES)})"  # noqa: S608 - literals by `quoted`
    write_answer(warehouse, lambda _: query, fmt=Format(arguments.format), out=arguments.out)
