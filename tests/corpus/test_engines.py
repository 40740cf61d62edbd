"""One pipeline, two scales: the embedded engine and Spark give the same files, byte for byte."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpus.planted import bytes_of, plant_family, write_recipe
from training.corpus.command import build
from training.corpus.engine import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.corpus.engine import Engine
    from training.corpus.engine_spark import SparkEngine

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    # PySpark warns of the pandas that other packages of the test environment bring along.
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
]


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkEngine]:
    """A session on Sail, which speaks Spark Connect without a JVM, or else on Spark itself."""
    pytest.importorskip("pyspark", reason="no Spark client is installed")
    from training.corpus.engine_spark import SparkEngine, session

    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        if find_spec("pysail") is not None:
            patch.setenv("SPARK_REMOTE", stack.enter_context(sail()))
        elif shutil.which("java") is None:
            pytest.skip("neither Sail nor Java is installed")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        # PySpark takes a main module without a file, as pytest-xdist has, for a run of doctests.
        patch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
        patch.setenv("PYTHONPATH", str(Path.cwd()))  # as workers need this package
        spark_session = session()
        yield SparkEngine(spark_session)
        spark_session.stop()


@contextmanager
def sail() -> Iterator[str]:
    """Run a Sail server on a free port; yield its address."""
    command = [sys.executable, "-m", "pysail", "spark", "server", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    try:
        line = next(line for line in server.stdout if " on 127." in line)
        yield f"sc://{re.search(r'127[0-9.]+:[0-9]+', line)[0]}"
    finally:
        server.terminate()
        server.communicate()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEngine]:
    with LocalEngine(jobs=2, spill_dir=tmp_path_factory.mktemp("spill")) as engine:
        yield engine


@pytest.fixture(params=["local", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue(request.param)


def double(value: int) -> int:
    return 2 * value


def test_map_keeps_the_order_of_many_tasks(engine: Engine) -> None:
    assert engine.map(double, list(range(300)), title="double") == list(range(0, 600, 2))
    assert engine.map(double, [], title="double") == []


def test_sql_reads_several_files_and_writes_a_folder(engine: Engine, tmp_path: Path) -> None:
    for part in range(3):
        table = pa.table({"id": [f"{part}🙂", "b"], "size": [part, 10], "sig": [b"\0\xff", None]})
        pq.write_table(table, tmp_path / f"{part}.parquet")
    written = engine.sql(
        "select id, cast(sum(size) as bigint) as total, max(sig) as sig from files group by id",
        {"files": [tmp_path / f"{part}.parquet" for part in range(3)]},
        tmp_path / "out",
    )
    assert all(path.parent == tmp_path / "out" for path in written)
    found = pq.read_table(written)
    assert found.schema.field("total").type == pa.int64()
    assert sorted(found.to_pylist(), key=lambda row: row["id"]) == [
        {"id": "0🙂", "total": 0, "sig": b"\0\xff"},
        {"id": "1🙂", "total": 1, "sig": b"\0\xff"},
        {"id": "2🙂", "total": 2, "sig": b"\0\xff"},
        {"id": "b", "total": 30, "sig": None},
    ]
    assert not list(tmp_path.glob(".*.part"))


def test_an_empty_answer_can_be_read(engine: Engine, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "a.parquet")
    written = engine.sql(
        "select id from files where id = 'b'", {"files": [tmp_path / "a.parquet"]}, tmp_path / "out"
    )
    assert pq.read_table(written).num_rows == 0


def test_both_engines_build_the_same_corpus_byte_for_byte(
    tmp_path: Path, spark: SparkEngine, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_CACHE_DIR", str(warm_cache))
    benchmark = plant_family(tmp_path)
    recipe = write_recipe(
        tmp_path,
        f"""
sources = [
    {{ directory = "one", licence = "MIT" }},
    {{ directory = "two", licence = "Apache-2.0" }},
    {{ directory = "held_out", licence = "ISC", split = "validation" }},
]
[decontamination]
benchmarks = ["{benchmark.name}"]
[caps]
project_bytes = 30000
""",
    )
    card = build(recipe, tmp_path / "local", jobs=2)
    assert build(recipe, tmp_path / "spark", engine=spark) == card
    first = bytes_of(tmp_path / "local")
    assert len(first) == 9
    assert bytes_of(tmp_path / "spark") == first
    dropped = {stage.stage for stage in card.stages if stage.reasons}
    assert dropped >= {
        "decode", "licence", "lines", "origin", "syntax", "decontamination", "exact_duplicates",
        "near_duplicates", "balance",
    }  # fmt: skip
