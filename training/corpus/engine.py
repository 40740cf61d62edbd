"""The two things a build asks of an engine, and the engine that is embedded in the product.

A task reads files and writes files, so `map` may run it on any machine that sees the same folders;
a query reads Parquet files and writes Parquet files. Everything else of the pipeline is the same
code on every engine; `engine_spark.py` is the one for a cluster.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Task = TypeVar("Task")
Result = TypeVar("Result")

SQL_MEMORY = "1GB"


class Engine(Protocol):
    """What a build needs, whatever runs it."""

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], *, title: str
    ) -> list[Result]:
        """Return the results of a function over tasks, in their order.

        Args:
            function: A function of a module, so that it can travel to a process.
            tasks: Its arguments.
            title: Name of the progress bar, which only a terminal shows.
        """

    def sql(self, query: str, relations: Mapping[str, Sequence[Path]], out: Path) -> list[Path]:
        """Write the answer of a query over Parquet files into a folder, whole or not at all.

        Args:
            query: SQL in the subset that DuckDB and Spark share.
            relations: Name of a relation and its Parquet files, at least one each.
            out: Folder that does not exist yet.

        Returns:
            The Parquet files of the answer. Readers must not depend on the order of its rows.
        """


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
        """See `Engine.map`; runs on `jobs` processes."""
        from tqdm import tqdm

        results = self._pool.map(function, tasks)
        return list(tqdm(results, title, len(tasks), disable=None, leave=False))

    def sql(self, query: str, relations: Mapping[str, Sequence[Path]], out: Path) -> list[Path]:
        """See `Engine.sql`; runs in DuckDB, which spills to disk beyond `SQL_MEMORY`."""
        import duckdb

        aside = empty_folder_beside(out)
        settings = {"memory_limit": SQL_MEMORY, "temp_directory": str(self._spill_dir)}
        with duckdb.connect(config={**settings, "threads": self._jobs}) as connection:
            for name, paths in relations.items():
                connection.register(name, connection.read_parquet([str(path) for path in paths]))
            answer = connection.sql(query.removesuffix(";"))
            # A row group is a unit of work where a stage follows.
            answer.write_parquet(str(aside / "part-0.parquet"), row_group_size=122_880)
        aside.rename(out)
        return [out / "part-0.parquet"]


def empty_folder_beside(out: Path) -> Path:
    """Return an empty folder that becomes `out` by one rename."""
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    return aside


def _end_with_parent() -> None:
    """Make this worker end when the build is killed; by itself it would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
