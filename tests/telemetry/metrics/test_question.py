"""Metrics against a slow computation of their own, the known truth, and what is withheld."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest
from scipy.stats import t

from fimble.cli import main
from fimble.errors import InputError
from fimble.events import Outcome
from telemetry.merge import merge
from telemetry.metrics.definition import definitions
from telemetry.metrics.histogram import PERCENTILES
from telemetry.metrics.question import Question, ask_ratio, ask_spread
from telemetry.reader import reading
from telemetry.simulate.company import SERVED_SHARE, SHOWN_SHARE, UNDONE_SHARE
from telemetry.simulate.world import World
from telemetry.warehouse import Warehouse
from tests.stand_ins.hand_clock import HandClock
from tests.stand_ins.made_events import ENDED, STARTED, resolved, served, shown
from tests.stand_ins.spool_writer import START_MS, lines_of
from tests.telemetry.conftest import Store
from tests.telemetry.metrics import naive

RATIOS = [each.name for each in definitions().values() if each.is_ratio]
PERCENTILE_METRICS = [each.name for each in definitions().values() if not each.is_ratio]
BYS = [(), ("language", "editor"), ("team",)]


Company = tuple[list[naive.Thing], duckdb.DuckDBPyConnection, Path]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A simulated company: what was recorded, the views over it, and the data folder."""
    folder = tmp_path_factory.mktemp("company")
    few = ["--users", "40", "--days", "4", "--start", "2026-09-01", "--seed", "3"]
    assert main(["telemetry", "simulate", *few, "--out", str(folder)]) == 0
    things = list(naive.things(folder / "spool"))
    warehouse = Warehouse(folder / "warehouse")
    merge(folder / "spool", warehouse, HandClock(START_MS), wait_s=0)
    with reading(folder / "spool", warehouse) as connection:
        yield things, connection, folder


@pytest.mark.parametrize("metric", RATIOS)
def test_a_ratio_is_what_plain_python_counts(company: Company, metric: str) -> None:
    things, connection, _ = company
    for by in BYS:
        rows = ask_ratio(connection, Question(metric=metric, by=by, min_users=1))
        expected = naive.ratio(things, metric, by)
        assert {row.group for row in rows} == set(expected)
        for row in rows:
            count, num, den, value, error = expected[row.group]
            assert (row.num_users, row.is_withheld) == (count, False)
            assert (row.numerator, row.denominator) == pytest.approx((num, den))
            assert row.value == (None if math.isnan(value) else pytest.approx(value, rel=1e-12))
            if math.isnan(error):
                assert (row.low, row.high) == (None, None)
                continue
            reach = error * t.isf(0.025, count - 1)
            top = 1 if definitions()[metric].unit == "share" else math.inf
            ends = (max(value - reach, 0), min(value + reach, top))
            assert (row.low, row.high) == pytest.approx(
                ends, rel=1e-7, abs=1e-9
            )  # sums of squares cancel


@pytest.mark.parametrize("metric", PERCENTILE_METRICS)
def test_percentiles_of_merged_histograms_are_within_one_percent(
    company: Company, metric: str
) -> None:
    things, connection, _ = company
    for by in BYS:
        rows = ask_spread(connection, Question(metric=metric, by=by, min_users=1))
        for place, share in enumerate(PERCENTILES):
            exact = naive.percentile(things, metric, by, share)
            assert {row.group for row in rows} == set(exact)
            for row in rows:
                assert row.percentiles[place] == pytest.approx(exact[row.group], rel=0.01001)


def test_metrics_find_the_truth_of_the_simulator(company: Company) -> None:
    _, connection, _ = company
    world = World()
    truth = {
        "acceptance_rate": world.mean_rate,
        "taken_per_opportunity": world.mean_rate * SERVED_SHARE * SHOWN_SHARE,
        "served_rate": SERVED_SHARE,
        "shown_rate": SHOWN_SHARE,
        "undone_rate": UNDONE_SHARE,
        "unresolved_rate": 0.0,
    }
    for metric, true in truth.items():
        [found] = ask_ratio(connection, Question(metric=metric))
        assert found.low is not None
        assert found.high is not None
        assert found.low <= true <= found.high, metric


def test_a_ratio_of_several_groups_is_the_ratio_of_their_sums(
    company: Company,
) -> None:
    _, connection, _ = company
    [whole] = ask_ratio(connection, Question(metric="acceptance_rate"))
    parts = ask_ratio(connection, Question(metric="acceptance_rate", by=("day", "model")))
    wide = connection.execute(
        "select sum(num_taken), sum(num_shown), sum(num_taken) / sum(num_shown) from metrics"
    ).fetchone()
    sums = (sum(p.numerator or 0 for p in parts), sum(p.denominator or 0 for p in parts))
    assert wide == (whole.numerator, whole.denominator, whole.value)
    assert sums == (whole.numerator, whole.denominator)


def test_days_and_values_leave_out_the_rest(company: Company) -> None:
    _, connection, _ = company
    by_day = ask_ratio(connection, Question(metric="served_rate", by=("day", "team")))
    some = Question(
        metric="served_rate",
        since=date(2026, 9, 2),
        until=date(2026, 9, 3),
        only={"team": "apps", "editor": "Neovim"},
        by=("day", "editor"),
        min_users=1,
    )
    rows = ask_ratio(connection, some)
    nobody = Question(metric="served_rate", since=date(2027, 1, 1))
    spread = Question(metric="total_ms", since=date(2027, 1, 1))
    assert (ask_ratio(connection, nobody), ask_spread(connection, spread)) == ([], [])
    unknown = Question(metric="served_rate", only={"team": ""}, by=("team",))
    assert [row.group for row in ask_ratio(connection, unknown)] == [(None,)]
    assert {row.group for row in rows} == {
        (date(2026, 9, 2), "Neovim"),
        (date(2026, 9, 3), "Neovim"),
    }
    assert {row.group[0] for row in by_day} == {date(2026, 9, day) for day in range(1, 5)}


def one_in_go(store: Store, num_others: int) -> None:
    """Record a completion of one user in Go, and one of each of the others in Python."""
    for number in range(num_others + 1):
        each = replace(served("a"), language="python" if number else "go")
        done = resolved("a", Outcome.ACCEPTED, chars=10)
        events = [replace(STARTED, user_key=f"u{number}"), each, shown("a"), done, ENDED]
        store.put(f"s{number}-0.jsonl", lines_of(events, f"s{number}"))
    store.merge()


def test_what_one_of_several_users_does_is_withheld(store: Store) -> None:
    one_in_go(store, 5)
    with reading(store.spool, store.warehouse) as connection:
        assert ask_ratio(connection, Question(metric="acceptance_rate", by=("language",))) == [
            (("go",), 1, None, None, None, None, None, True),
            (("python",), 5, 5, 5, 1.0, 1.0, 1.0, False),
        ]
        [go, python] = ask_spread(connection, Question(metric="total_ms", by=("language",)))
        assert go == (("go",), 1, None, (None,) * len(PERCENTILES), True)
        assert python[2] == 5
        few = Question(metric="acceptance_rate", by=("language",), min_users=1)
        assert [row.is_withheld for row in ask_ratio(connection, few)] == [False, False]


def test_who_sees_his_own_data_only_sees_all_of_it(store: Store) -> None:
    one_in_go(store, 0)
    with reading(store.spool, store.warehouse) as connection:
        assert ask_ratio(connection, Question(metric="acceptance_rate", by=("language",))) == [
            (("go",), 1, 1, 1, 1.0, None, None, False)
        ]


def test_nothing_recorded_is_no_row_and_no_error(store: Store) -> None:
    with reading(store.spool, store.warehouse) as connection:
        for name, found in definitions().items():
            ask = ask_ratio if found.is_ratio else ask_spread
            assert ask(connection, Question(metric=name)) == []
            assert ask(connection, Question(metric=name, by=("day", "model"))) == []


def test_who_has_recorded_nothing_is_told_beside_the_empty_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path))
    for fmt, said in (("table", "(0 rows)\n"), ("json", "[\n]\n")):
        assert main(["telemetry", "metric", "acceptance_rate", "--format", fmt]) == 0
        told = capsys.readouterr()
        assert told.out.endswith(said)
        assert f"{tmp_path} holds nothing that counts here" in told.err
    assert main(["telemetry", "sql", "select 1 where false"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metric": "car"}, "there is no metric 'car'; there are: acceptance_rate, "),
        ({"metric": "total_ms", "by": ("user_key",)}, "'user_key' (nobody is compared by name)"),
        ({"metric": "total_ms", "by": ("day; drop",)}, "cannot be asked by 'day; drop'; allowed"),
        ({"metric": "total_ms", "only": {"x": "y"}}, "cannot be asked by 'x'"),
        ({"metric": "total_ms", "by": ("day", "day")}, "asked twice by the same: day,day"),
        ({"metric": "completed_share", "by": ("cache",)}, "of which cache is not known"),
        (
            {"metric": "total_ms", "since": date(2026, 9, 2), "until": date(2026, 9, 1)},
            "from 2026-09-02 to 2026-09-01 are none",
        ),
        ({"metric": "total_ms", "min_users": 0}, "it must be 1 or more"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(reversed(value)),
)
def test_a_wrong_question_is_one_message(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        Question(**wrong)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_the_command_writes_every_format(
    company: Company,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    *_, folder = company
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(folder))
    asked = ["telemetry", "metric", "acceptance_rate", "--by", "editor,model"]
    assert main([*asked, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["editor"] for row in rows] == ["Helix", "Neovim", "Visual Studio Code"]
    assert set(rows[0]) == {
        *("editor", "model", "num_users", "numerator", "denominator"),
        *("value", "low", "high", "is_withheld"),
    }
    assert main([*asked, "--since", "2026-09-02", "--only", "editor=Helix"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:3] == ["editor", "model", "num_users"]
    assert table[-1] == "(1 row)"
    assert capsys.readouterr().err == ""
    out = tmp_path / "it's.parquet"
    assert main([*asked, "--format", "parquet", "--out", str(out)]) == 0
    assert main(["telemetry", "metrics", "--format", "csv", "--out", str(tmp_path / "m.csv")]) == 0
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 1 + len(definitions())
    for wrong, message in (
        (["telemetry", "metric", "nothing"], "there is no metric 'nothing'"),
        ([*asked, "--only", "language"], "give WHAT=VALUE"),
        ([*asked, "--format", "parquet"], "needs --out FILE"),
    ):
        assert main(wrong) == 2
        assert message in capsys.readouterr().err
