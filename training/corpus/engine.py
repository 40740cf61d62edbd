"""The embedded engine: a process pool for Arrow stages, DuckDB for relations between files."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

Task = TypeVar("Task")
Result = TypeVar("Result")

SQL_MEMORY = "1GB"


class LocalEngine:
    """Runs stages on this machine; its processes live until the end of the `with` block."""

    def __init__(self, *, jobs: int, spill_dir: Path) -> None:
        self._jobs = jobs
        self._spill_dir = spill_dir
        context = multiprocessing.get_context("spawn")
        # No `max_tasks_per_child`: with it, Python 3.11 hangs when the workers retire.
        self._pool = ProcessPoolExecutor(jobs, context, initializer=_end_with_parent)

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], *, title: str
    ) -> list[Result]:
        """Return the results of a function over tasks, in their order, on `jobs` processes.

        Args:
            function: A function of a module, so that it can travel to a process.
            tasks: Its arguments.
            title: Name of the progress bar, which only a terminal shows.
        """
        from tqdm import tqdm

        results = self._pool.map(function, tasks)
        return list(tqdm(results, title, len(tasks), disable=None, leave=False))

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


def _end_with_parent() -> None:
    """Make this worker end when the build is killed; by itself it would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
