"""Reading the warehouse: what was merged, and on top what open sessions have recorded so far.

The connection can read these events and nothing else: no file, no network, no setting.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fimble.errors import InputError
from telemetry.segments import read_all_now
from telemetry.views import connect, create_views, load_records, new_events, quoted, stored_events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from telemetry.warehouse import Warehouse

READING_STATEMENTS = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""`MULTI` is what DuckDB calls `pivot`."""


@contextlib.contextmanager
def reading(
    spool: Path, warehouse: Warehouse, *, output: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the views `events`, `sessions`, `completions` and `metrics`.

    Args:
        spool: Where open sessions write.
        warehouse: Where merged events are.
        output: The one file that a result may be written to.

    Raises:
        InputError: The manifest of the warehouse is damaged.
    """
    segments = read_all_now(spool)  # before the manifest: what is merged meanwhile is in that
    manifest = warehouse.manifest()
    parquet = warehouse.files(manifest)
    with TemporaryDirectory(prefix="fimble-") as work, connect(work) as connection:
        live = Path(work) / "live.parquet"  # a file like the others: there is no table to change
        load_records(connection, segments, work)
        unmerged = f"from ({new_events(parquet)}) select * exclude (segment)"
        connection.execute(f"copy ({unmerged}) to {quoted(os.fspath(live))}")
        connection.execute("drop table loaded")
        create_views(connection, stored_events([*parquet, live]))
        _lock_down(connection, [*parquet, live, *([output] if output else [])])
        yield connection


def _lock_down(connection: duckdb.DuckDBPyConnection, allowed: Sequence[Path]) -> None:
    """Allow files to be read by name only, and no other change of settings."""
    names = ", ".join(quoted(os.fspath(path)) for path in allowed)
    connection.execute(f"set allowed_paths = [{names}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def single_query(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the one statement in `sql` if it only reads.

    Raises:
        InputError: There is no statement, more than one, or one that would change something.
        duckdb.Error: It is no SQL.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise InputError(f"give one statement of SQL; this holds {len(statements)}")
    kind = statements[0].type.name
    if kind not in READING_STATEMENTS:
        raise InputError(
            f"`fimble telemetry sql` only reads; this is a statement of the kind {kind}, "
            "allowed are select (also with, from, values, show, describe, summarize), pivot "
            "and explain"
        )
    return statements[0].query
