"""Simulated people work as people do: by day, each in their own rhythm, with the shipped model."""

from collections.abc import Iterator
from datetime import date

import duckdb
import numpy as np
import pytest

from fimble.cli import main
from fimble.paths import SHIPPED_MODEL
from telemetry.reader import reading
from telemetry.simulate.command import last_workday
from telemetry.simulate.world import World
from telemetry.warehouse import Warehouse


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = tmp_path_factory.mktemp("company")
    some = ["--users", "120", "--days", "4", "--start", "2026-09-01", "--seed", "2"]
    assert main(["telemetry", "simulate", *some, "--out", str(folder)]) == 0
    with reading(folder / "spool", Warehouse(folder / "warehouse")) as connection:
        yield connection


def test_people_ask_by_day_and_eat_at_noon(company: duckdb.DuckDBPyConnection) -> None:
    sql = (
        "select hour(make_timestamp(at_ms::bigint * 1000)), count(*) from opportunities group by 1"
    )
    counts = dict(company.execute(sql).fetchall())
    total = sum(counts.values())
    assert total > 10_000
    assert sum(counts.get(hour, 0) for hour in range(10, 18)) / total > 2 / 3
    assert sum(counts.get(hour, 0) for hour in range(4)) == 0
    assert counts[12] < 0.9 * min(counts[10], counts[14])


def test_everybody_has_a_rhythm(company: duckdb.DuckDBPyConnection) -> None:
    sql = "select avg(at_ms % 86400000) / 3600000 from opportunities group by user_key"
    middles_h = np.array([middle for (middle,) in company.execute(sql).fetchall()])
    assert np.std(middles_h) == pytest.approx(World().shift_sd_h, rel=0.25)


def test_requests_per_active_hour_differ_between_people_and_days(
    company: duckdb.DuckDBPyConnection,
) -> None:
    sql = """
        select sum(requests) / sum(active_hours), user_key, day
        from hourly_facts group by user_key, day having sum(requests) >= 10
    """
    found = company.execute(sql).fetchall()
    rates = np.log([rate for rate, _, _ in found])
    world = World()
    assert np.std(rates) == pytest.approx(np.hypot(world.pace_sd, world.day_pace_sd), rel=0.2)
    sql = "select sum(requests) / sum(active_hours) from hourly_facts"
    assert company.execute(sql).fetchall()[0][0] == pytest.approx(
        3600 / world.active_s_per_request, rel=0.15
    )


def test_they_use_the_shipped_model(company: duckdb.DuckDBPyConnection) -> None:
    sql = "select distinct model from opportunities"
    assert company.execute(sql).fetchall() == [(SHIPPED_MODEL,)]


@pytest.mark.parametrize(
    ("today", "last"),
    [
        (date(2026, 11, 20), date(2026, 11, 19)),  # a Friday
        (date(2026, 11, 21), date(2026, 11, 20)),
        (date(2026, 11, 22), date(2026, 11, 20)),
        (date(2026, 11, 23), date(2026, 11, 20)),
        (date(2027, 1, 4), date(2027, 1, 1)),
    ],
)
def test_two_days_end_with_one_of_work_whatever_today_is(today: date, last: date) -> None:
    """Else who tries the simulator on a Monday finds nothing in it."""
    assert last_workday(today) == last
