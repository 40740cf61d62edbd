"""From simulated editor sessions to a verdict, through the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from fimble.cli import main
from fimble.experiments import halted_file, read_registry
from telemetry.reader import reading
from telemetry.warehouse import Warehouse
from tests.telemetry.experiments.registrations import TEXT, registered

USERS = ("--users", "60", "--days", "14", "--requests-per-day", "20", "--seed", "4")


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["telemetry", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with an experiment that has an effect, and makes answers slow."""
    folder = tmp_path_factory.mktemp("company")
    file = registered(folder, unit='"user_day"')
    options = ["--experiment", str(file), "--effect", "0.2", "--slowdown", "3"]
    assert main(["telemetry", "simulate", "--out", str(folder / "data"), *USERS, *options]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIMBLE_DATA_DIR", str(folder / "data"))
        assert main(["telemetry", "merge"]) == 0
    return folder


@pytest.fixture
def file(company: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(company / "data"))
    return company / "longer.toml"


def test_clocks_of_simulated_sessions_run_as_steady_ones_do(company: Path) -> None:
    data = company / "data"
    with reading(data / "spool", Warehouse(data / "warehouse")) as connection:
        found = connection.execute("select count(*), max(clock_jump_ms) from sessions").fetchone()
    assert found is not None
    assert found[0] > 500
    assert abs(found[1]) <= 1


def test_an_analysis_finds_the_effect_that_was_put_in(
    company: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = json.loads((company / "data" / "truth.json").read_text())["effect"]
    found = document(capsys, "experiment", "analyse", str(file))
    assert all(gate["is_passed"] for gate in found["gates"])
    (main_metric,) = found["main"]
    assert main_metric["low"] <= truth["taken_per_opportunity"] <= main_metric["high"]
    assert main_metric["low"] > 0
    assert main_metric["is_adjusted"]
    rate = next(each for each in found["explored"] if each["metric"] == "acceptance_rate")
    assert rate["effect"] == pytest.approx(truth["acceptance_rate"], abs=0.06)
    (slow,) = found["guardrails"]
    assert (slow["metric"], slow["harm"]) == ("slow_rate", "found")
    assert found["verdict"]["decision"] == "stop"
    assert found["verdict"]["roll_back"] == ["new"]
    assert (found["num_users"], found["is_over"]) == (60, True)


def test_the_same_is_said_to_people(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["telemetry", "experiment", "analyse", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "experiment   longer, unit user_day, over"
    assert "verdict      stop" in lines
    assert "roll back    new" in lines


def test_a_broken_guardrail_rolls_back_only_when_asked(
    company: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "experiment", "check", str(file))
    assert (found["roll_back"], found["halted"]) == (["new"], None)
    assert [each.name for each in read_registry(company)] == ["longer"]
    halted = halted_file(file)
    try:
        found = document(capsys, "experiment", "check", "--roll-back", str(file))
        assert found["halted"] == str(halted)
        assert read_registry(company) == ()
        (listed,) = document(capsys, "experiment", "list", str(company))["experiments"]
        assert listed["state"] == "rolled back"
    finally:
        halted.unlink(missing_ok=True)
    (listed,) = document(capsys, "experiment", "list", str(company))["experiments"]
    assert (listed["state"], listed["arms"]) == ("over", "control 0.5, new 0.5")


def test_a_plan_takes_history_where_there_is_some(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "experiment", "plan", str(file))
    assert found["source"] == "what 60 users did on 7 days"
    few = document(capsys, "experiment", "plan", "--users", "10", str(file))
    assert not few["is_enough"]
    assert len(few["table"]) == 6
    early = registered(tmp_path, start="2020-01-01", stop="2020-01-15")
    assert "assumed" in document(capsys, "experiment", "plan", str(early))["source"]


def test_one_look_means_that_nothing_is_shown_before_the_end(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del file
    running = registered(tmp_path, stop="2999-01-01", unit='"user_day"\nlooks = "once"')
    found = document(capsys, "experiment", "analyse", str(running))
    assert (found["main"], found["explored"]) == ([], [])
    assert found["verdict"]["roll_back"] == ["new"]  # guardrails are looked at all along
    assert found["verdict"]["reasons"] == ["new breaks a guardrail: roll it back"]
    assert found["guardrails"] != []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"main_metric": '"clicks"'},
            "there is no metric 'clicks'; allowed: taken_per_opportunity",
        ),
        ({"metric": '"clicks"'}, "there is no metric 'clicks'"),
        (
            {"unit": '"request"', "main_metric": '"kept_chars_per_active_hour"'},
            "choose unit user or user_day",
        ),
        ({"stop": "2026-09-01"}, "it must come after start"),
        ({"weight": "0.7"}, "they must add up to 1 at most, not 1.4"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "check", "analyse"])
def test_a_wrong_registration_is_one_message(
    tmp_path: Path,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    changes: dict[str, str],
    message: str,
) -> None:
    del file
    wrong = registered(tmp_path, **changes)
    assert main(["telemetry", "experiment", verb, str(wrong)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert str(wrong) in said
    assert said.count("\n") == 1


def test_missing_files_and_options_out_of_range_are_one_message(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    for arguments, message in (
        (["experiment", "plan", "none.toml"], "cannot read none.toml"),
        (["experiment", "list", str(tmp_path / "none")], "there is no folder"),
        (["experiment", "plan", "--users", "1", str(file)], "--users is 1"),
        (["simulate", "--out", out, "--users", "0"], "--users is 0; it must be 1 to"),
        (["simulate", "--out", out, "--effect", "0.1"], "need an --experiment"),
        (["simulate", "--out", out, "--requests-per-day", "nan"], "--requests-per-day is nan"),
        (["simulate", "--out", out, "--start", "2999-01-01"], "end after today"),
        (["simulate", "--out", str(tmp_path / "full")], "is not empty"),
        (
            ["simulate", "--out", out, "--experiment", str(file), "--format", "parquet"],
            "holds no exposures",
        ),
    ):
        assert main(["telemetry", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_simulated_sessions_are_the_same_for_the_same_seed_and_lose_nothing(
    tmp_path: Path, company: Path
) -> None:
    few = ["--users", "3", "--days", "2", "--start", "2026-09-01"]
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        out = ["--out", str(tmp_path / name), "--seed", seed]
        assert main(["telemetry", "simulate", *few, *out]) == 0
    text = {
        name: {path.name: path.read_bytes() for path in (tmp_path / name / "spool").iterdir()}
        for name in "abc"
    }
    assert text["a"] == text["b"] != text["c"]
    with reading(company / "data" / "spool", Warehouse(company / "data" / "warehouse")) as db:
        sql = "select sum(num_lost), count(*) filter (where not is_ended) from sessions"
        assert db.execute(sql).fetchall() == [(0, 0)]
        sql = "select count(*) from completions where outcome = 'unresolved'"
        assert db.execute(sql).fetchall() == [(0,)]


def test_a_warehouse_at_once_holds_the_same_views_as_one_that_was_merged(tmp_path: Path) -> None:
    few = ["--users", "8", "--days", "3", "--start", "2026-09-01", "--seed", "5"]
    found = []
    for fmt in ("segments", "parquet"):
        folder = tmp_path / fmt
        assert main(["telemetry", "simulate", *few, "--out", str(folder), "--format", fmt]) == 0
        warehouse = Warehouse(folder / "warehouse")
        with reading(folder / "spool", warehouse) as db:
            columns = "day, user_key, editor, language, outcome, num_chars, total_ms, visible_ms, "
            columns += "accepted_chars, is_undone, kept_rate_600s, is_shown, not_served_reason"
            sql = f"select {columns} from opportunities order by all"
            found.append(db.execute(sql).fetchall())
            assert db.execute("select count(*) from metrics").fetchone() != (0,)
    assert found[0]
    assert found[0] == found[1]


def test_the_registration_in_the_tests_is_a_whole_one(tmp_path: Path) -> None:
    assert registered(tmp_path).read_text() == TEXT
