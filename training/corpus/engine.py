"""The embedded engine: a process pool for Arrow stages, DuckDB for relations between files."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import pyarrow as pa

Task = TypeVar("Task")
Result = TypeVar("Result")

SQL_MEMORY = "1GB"


class LocalEngine:
    """Runs stages on this machine."""

    def __init__(self, *, jobs: int, spill_dir: Path) -> None:
        self._jobs = jobs
        self._spill_dir = spill_dir

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
        """Return the results of a function over tasks, in their order, on `jobs` processes."""
        context = multiprocessing.get_context("spawn")
        # No `max_tasks_per_child`: with it, Python 3.11 hangs when the workers retire.
        with ProcessPoolExecutor(self._jobs, context) as pool:
            return list(pool.map(function, tasks))

    def sql(self, query: str, relations: Mapping[str, list[str]]) -> pa.Table:
        """Return the answer of a query over Parquet files.

        Args:
            query: SQL in the subset that DuckDB and Spark share.
            relations: Name of a relation and the paths of its Parquet files.
        """
        import duckdb

        settings = {"memory_limit": SQL_MEMORY, "temp_directory": str(self._spill_dir)}
        with duckdb.connect(config={**settings, "threads": self._jobs}) as connection:
            for name, paths in relations.items():
                connection.register(name, connection.read_parquet(paths))
            return connection.sql(query).to_arrow_table()
