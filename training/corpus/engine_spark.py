"""The same pipeline on Apache Spark: local, on a cluster, or through Spark Connect.

Any session will do (`SPARK_REMOTE`, `spark-submit`, Databricks, Sail). The workers need this
package and must see the output and cache folders under the same paths, as with a network file
system or a Unity Catalog volume.

Source: `mapInArrow` and `spark.sql` as in the reference of PySpark 4.
"""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from fimble.errors import InputError
from training.corpus.engine import empty_folder_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pyspark.sql import SparkSession

Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS = "number bigint, task binary"
_RESULTS = "number bigint, result binary"
_MOST_PARTITIONS = 10_000


class SparkEngine:
    """Runs stages and queries on a Spark session that the caller made."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], *, title: str
    ) -> list[Result]:
        """See `Engine.map`; each task is a row of a frame, and about a partition of its own."""
        del title  # Spark shows its progress in its own user interface
        if not tasks:
            return []
        rows = [(number, pickle.dumps(task)) for number, task in enumerate(tasks)]
        frame = self._session.createDataFrame(rows, _TASKS)
        spread = frame.repartitionByRange(min(len(rows), _MOST_PARTITIONS), "number")
        answers = spread.mapInArrow(_runner(function), _RESULTS).collect()
        results = {answer["number"]: pickle.loads(answer["result"]) for answer in answers}  # noqa: S301 - our own bytes
        return [results[number] for number in range(len(rows))]

    def sql(self, query: str, relations: Mapping[str, Sequence[Path]], out: Path) -> list[Path]:
        """See `Engine.sql`."""
        aside = empty_folder_beside(out)
        for name, paths in relations.items():
            frame = self._session.read.parquet(*(path.resolve().as_uri() for path in paths))
            frame.createOrReplaceTempView(name)
        answer = self._session.sql(query)
        answer.write.mode("overwrite").parquet(aside.resolve().as_uri())
        aside.rename(out)
        return sorted(path for path in out.iterdir() if path.suffix == ".parquet")


def _runner(
    function: Callable[[Task], Result],
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what `mapInArrow` calls for a partition: it runs the tasks one by one."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                result = function(pickle.loads(row["task"]))  # noqa: S301 - our own bytes
                values = [[row["number"]], [pickle.dumps(result)]]
                yield pa.RecordBatch.from_arrays(
                    [pa.array(values[0], pa.int64()), pa.array(values[1], pa.binary())],
                    names=["number", "result"],
                )

    return run


def session() -> SparkSession:
    """Return the session that the environment describes (`SPARK_REMOTE`, `spark-defaults.conf`).

    Raises:
        InputError: PySpark is not installed, or the session cannot be had.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise InputError("the Spark engine needs PySpark: pip install 'fimble[spark]'") from error
    try:
        return SparkSession.builder.appName("fimble corpus build").getOrCreate()
    except PySparkException as error:
        where = os.environ.get("SPARK_REMOTE", "the default master")
        raise InputError(f"no Spark session at {where}: {error}") from error
