"""The answer to a question in SQL, written as people or programs want it."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from typing import IO, TYPE_CHECKING

import duckdb

from fimble.errors import InputError
from fimble.paths import spool_dir
from telemetry.reader import reading
from telemetry.tables import Format, write_csv, write_json, write_table
from telemetry.texts import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry.tables import Row
    from telemetry.warehouse import Warehouse

_ROWS_AT_ONCE = 1000
_WRITERS = {Format.TABLE: write_table, Format.CSV: write_csv, Format.JSON: write_json}


@contextlib.contextmanager
def one_message() -> Iterator[None]:
    """Turn errors of SQL and of the output file into one message each."""
    try:
        yield
    except duckdb.Error as error:
        raise InputError(str(error).rstrip()) from error
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise InputError(f"cannot write the result: {error}") from error


def write_answer(
    warehouse: Warehouse,
    query_on: Callable[[duckdb.DuckDBPyConnection], str],
    *,
    fmt: Format,
    out: Path | None,
    if_empty: str = "",
) -> None:
    """Run a query and write its result.

    Args:
        warehouse: What it is asked of.
        query_on: Gives the query for a connection with the views.
        fmt: How it is written.
        out: Where to, whole or not at all; None is standard output.
        if_empty: For standard error, when the result on standard output has no row.

    Raises:
        InputError: The query is wrong, or the file cannot be written.
    """
    if fmt is Format.PARQUET and out is None:
        raise InputError("--format parquet needs --out FILE")
    part = out.absolute().with_name(f".{out.name}.{os.getpid()}.part") if out else None
    with one_message(), reading(spool_dir(), warehouse, output=part) as connection:
        query = query_on(connection)
        if out is None or part is None:
            if _write_rows(connection, query, fmt, sys.stdout) == 0:
                sys.stderr.write(if_empty)
            return
        try:
            _write_file(connection, query, fmt, part)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)


def _write_file(connection: duckdb.DuckDBPyConnection, query: str, fmt: Format, path: Path) -> None:
    if fmt is Format.PARQUET:
        options = "(format parquet, compression zstd, use_tmp_file false)"
        connection.execute(f"copy ({query}\n) to {quoted(os.fspath(path))} {options}")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        _write_rows(connection, query, fmt, file)


def _write_rows(
    connection: duckdb.DuckDBPyConnection, query: str, fmt: Format, out: IO[str]
) -> int:
    """Write the result, and return how many rows it has."""
    result = connection.execute(query)
    names = [column[0] for column in result.description or []]
    counted = itertools.count()
    _WRITERS[fmt](names, (row for row, _ in zip(_rows(result), counted, strict=False)), out)
    return next(counted)


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield from rows
