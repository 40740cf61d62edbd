"""The files that define metrics, the dictionary made of them, and the histogram."""

import math
import random
from importlib.resources import files
from pathlib import Path

import duckdb
import pytest

from telemetry.experiments.metrics import METRICS
from telemetry.metrics.definition import definitions, header, parse
from telemetry.metrics.dictionary import dictionary
from telemetry.metrics.histogram import MACROS, bucket_of, percentile_ms, told_ms
from telemetry.reader import reading
from tests.telemetry.conftest import Store

ROOT = Path(__file__).parents[3]
NAMES = list(definitions())


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_says_all_that_a_reader_needs_and_can_be_explained(
    store: Store, name: str
) -> None:
    path = files("telemetry.metrics").joinpath("definitions", f"{name}.sql")
    text = path.read_text(encoding="utf-8")
    title, fields = header(text)
    found = definitions()[name]
    assert title == found.title
    assert fields["grain"].startswith("one row per ")
    assert fields["params"] == "none"
    assert all(line == line.lower() for line in found.sql.splitlines())
    assert all(len(text) > 10 for text in (*found.means, found.good_for, found.misleads))
    with reading(store.spool, store.warehouse) as connection:
        assert connection.execute(f"explain {found.sql}").fetchall()
        columns = {row[0] for row in connection.execute(f"describe {found.sql}").fetchall()}
    assert columns >= {"who", "day", "language", "model", "editor", "server_version", "team"}


def test_the_dictionary_in_the_docs_is_that_of_the_definitions() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == dictionary(), (
        "run `fimble telemetry metrics --markdown > docs/metrics.md`"
    )


def test_a_file_that_defines_nothing_is_refused() -> None:
    whole = files("telemetry.metrics").joinpath("definitions", "served_rate.sql").read_text()
    assert parse("served_rate", whole).numerator == "served"
    for broken in ("", whole.replace("-- source:", "-- sauce:"), whole.replace("as numerator", "")):
        with pytest.raises(ValueError, match=r"x\.sql lacks"):
            parse("x", broken)


def test_experiments_decide_by_the_same_definitions() -> None:
    shared = METRICS.keys() & definitions().keys()
    assert len(shared) == 9
    for name in shared:
        found, metric = definitions()[name], METRICS[name]
        assert (metric.numerator, metric.denominator) == (found.numerator, found.denominator)
        assert metric.is_higher_better == (found.better != "lower")


def test_a_bucket_tells_its_values_within_one_percent_in_python_and_in_sql() -> None:
    chance = random.Random(1)
    values = [0.001, 1.0, 1.0202, 100.0, *(10 ** chance.uniform(-3, 7) for _ in range(2000))]
    with duckdb.connect() as db:
        for signature, text in MACROS.items():
            db.execute(f"create macro {signature} as {text}")
        sql = "select unnest($values) as ms, bucket_of(ms), told_ms(bucket_of(ms)), "
        sql += "bucket_ms(bucket_of(ms)), bucket_ms(bucket_of(ms) - 1)"
        rows = db.execute(sql, {"values": [*values, 0.0]}).fetchall()
    for value, (_, bucket, told, high, low) in zip([*values, 0.001], rows, strict=True):
        assert bucket == bucket_of(value)
        assert told == pytest.approx(told_ms(bucket))
        assert low * (1 - 1e-8) < value <= high * (1 + 1e-8)
        assert abs(told - value) <= 0.0100001 * value


def test_histograms_of_parts_add_up_to_that_of_all() -> None:
    chance = random.Random(2)
    parts = [[chance.lognormvariate(5, 1) for _ in range(size)] for size in (1, 10, 1000)]
    counts: dict[int, int] = {}
    for part in parts:
        for value in part:
            counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    together = sorted(value for part in parts for value in part)
    for share in (0.0, 0.01, 0.5, 0.95, 0.999, 1.0):
        exact = together[max(math.ceil(share * len(together)), 1) - 1]
        assert percentile_ms(counts, share) == pytest.approx(exact, rel=0.01001)
    assert percentile_ms({}, 0.5) is None
