"""SQL as text: query files, literals, and queries for the files of the warehouse."""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from telemetry.schema import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@cache
def query(name: str) -> str:
    """Return the text of `telemetry/queries/<name>.sql`."""
    return files("telemetry.queries").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def quoted(text: str) -> str:
    """Return `text` as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def parquet_query(parquet: Sequence[Path], *, is_uniform: bool = False) -> str:
    """Return a query for the rows of Parquet files, by the names of their columns.

    Args:
        parquet: The files; one or more.
        is_uniform: All have the same columns, so not each must be opened to know them.
    """
    names = ", ".join(quoted(os.fspath(path)) for path in parquet)
    by_name = str(not is_uniform).lower()
    return f"select * from read_parquet([{names}], union_by_name = {by_name})"  # noqa: S608 - literals by `quoted`


def stored_events(parquet: Sequence[Path], *, is_uniform: bool = False) -> str:
    """Return a query for the events in Parquet files.

    It has every column, even without a file and with files of older releases only.

    Args:
        parquet: The files.
        is_uniform: All are of the format that this release writes; as below.
    """
    columns = ", ".join(f"null::{sql_type} as {name}" for name, sql_type in COLUMNS.items())
    none = f"select null::date as day, {columns} where false"
    stored = parquet_query(parquet, is_uniform=is_uniform) if parquet else ""
    return f"{none} union all by name {stored}" if parquet else none


def stored_parts(parquet: Sequence[Path], *, is_uniform: bool = False) -> str:
    """Return a query for the parts of sessions in Parquet files, or an empty one."""
    return parquet_query(parquet, is_uniform=is_uniform) if parquet else _empty("session_parts")


def stored_requests(parquet: Sequence[Path], *, is_uniform: bool = False) -> str:
    """Return a query for the folded requests in Parquet files, or an empty one."""
    return parquet_query(parquet, is_uniform=is_uniform) if parquet else _empty("requests")


def stored_daily(parquet: Sequence[Path]) -> str:
    """Return a query for the counts in Parquet files, or an empty one."""
    return parquet_query(parquet, is_uniform=True) if parquet else daily_of(_empty("requests"))


def stored_latency(parquet: Sequence[Path]) -> str:
    """Return a query for the histograms in Parquet files, or an empty one."""
    return parquet_query(parquet, is_uniform=True) if parquet else latency_of(_empty("requests"))


def latency_of(requests: str) -> str:
    """Return a query for histograms of the rows of the query `requests`, as `histograms.sql` says.

    It calls functions of `telemetry.metrics.histogram`.
    """
    return f"with opportunities as ({requests}) {query('histograms')}"


def daily_of(requests: str) -> str:
    """Return a query that counts the rows of the query `requests`, as `daily.sql` says."""
    rows = f"opportunities as ({requests}), typing as ({_empty('typing')})"
    return f"with {rows}, facts as ({query('facts')}) {query('daily')}"


def _empty(name: str) -> str:
    """Return a query with the columns of a query file, and no rows."""
    no_events = f"with events as ({stored_events(())})"
    if name == "session_parts":
        return f"{no_events} {query('session_parts')}"
    no_parts = f"session_parts as ({query('session_parts')})"
    body = query(name).removeprefix(_comments(query(name)))
    joint = ", " if body.startswith("with ") else " "
    body = body.removeprefix("with ")
    return f"{no_events}, {no_parts}, sessions as ({query('sessions')}){joint}{body}"


def _comments(text: str) -> str:
    """Return the comment lines that a query file starts with."""
    lines = text.splitlines(keepends=True)
    count = next(n for n, line in enumerate(lines) if not line.startswith("--"))
    return "".join(lines[:count])
