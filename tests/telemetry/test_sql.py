"""`fimble telemetry` as a process: what an analyst sees."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from fimble.cli import main
from tests.stand_ins.spool_writer import lines_of, session

WRITER = Path(__file__).parents[1] / "stand_ins" / "spool_writer.py"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two sessions in its spool."""
    folder = tmp_path / "data 🙂 it's"
    (folder / "spool").mkdir(parents=True)
    for number, name in enumerate(("a", "b")):
        lines = lines_of(session(5, seed=number), name)
        (folder / "spool" / f"{name}-0.jsonl").write_bytes(b"".join(lines))
    return folder


@pytest.fixture
def telemetry(data: Path, tmp_path: Path) -> Run:
    """Run `fimble telemetry` with the data folder, in an empty folder."""
    (tmp_path / "cwd").mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fimble", "telemetry", *arguments],
            env={**os.environ, "FIMBLE_DATA_DIR": os.fspath(data)},
            cwd=tmp_path / "cwd",
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )

    return run


@pytest.fixture
def telemetry_here(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run `fimble telemetry` in this process: the same command, without its start."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("FIMBLE_DATA_DIR", os.fspath(data))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = main(["telemetry", *arguments])
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, shown.out, shown.err)

    return run


def num_events() -> int:
    return sum(len(session(5, seed=number)) for number in range(2))


def test_a_query_sees_what_was_recorded_without_a_merge_before(telemetry: Run, data: Path) -> None:
    result = telemetry(
        "sql", "select session_id, count(*) as n from events group by all order by 1"
    )
    counts = [len(session(5, seed=number)) for number in range(2)]
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "session_id   n\n──────────  ──\n"
        f"a           {counts[0]}\nb           {counts[1]}\n(2 rows)\n"
    )
    assert list((data / "spool").iterdir()) == []


@pytest.mark.e2e
def test_a_query_sees_what_an_open_session_has_recorded(telemetry: Run, data: Path) -> None:
    command = [sys.executable, os.fspath(WRITER), os.fspath(data / "spool"), "live", "4", "9"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        total = len(session(4, seed=9))
        while int(writer.stdout.readline()) < total:
            pass
        sql = "select count(*) as n, max(seq) + 1 as m from events where session_id = 'live'"
        for _ in range(2):
            result = telemetry("sql", sql, "--format", "json")
            assert json.loads(result.stdout) == [{"n": total, "m": total}]
        found = json.loads(telemetry("doctor", "--json").stdout)
        assert (found["num_open_segments"], found["num_sessions"]) == (1, 3)
        writer.send_signal(signal.SIGKILL)
    merged = json.loads(telemetry("merge", "--json").stdout)
    assert (merged["num_adopted"], merged["num_events"]) == (1, total)


def test_results_come_as_csv_json_and_parquet(telemetry: Run, tmp_path: Path) -> None:
    sql = "select session_id as s, seq as n, null as nothing from events order by all limit 2;"
    assert telemetry("sql", sql, "--format", "csv").stdout == "s,n,nothing\na,0,\na,1,\n"
    rows = [{"s": "a", "n": 0, "nothing": None}, {"s": "a", "n": 1, "nothing": None}]
    assert json.loads(telemetry("sql", sql, "--format", "json").stdout) == rows
    out = tmp_path / "out 🙂 it's.parquet"
    commented = f"{sql.rstrip(';')} -- the end"
    result = telemetry("sql", commented, "--format", "parquet", "--out", os.fspath(out))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert duckdb.read_parquet(os.fspath(out)).fetchall() == [("a", 0, None), ("a", 1, None)]
    text = tmp_path / "out.csv"
    assert telemetry("sql", sql, "--format", "csv", "--out", os.fspath(text)).returncode == 0
    assert text.read_bytes() == b"s,n,nothing\na,0,\na,1,\n"
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {out.name, text.name}
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "drop view events",
            "`fimble telemetry sql` only reads; this is a statement of the kind DROP",
        ),
        ("create table x as select 1", "of the kind CREATE"),
        ("copy (select 1) to 'x.csv'", "of the kind COPY"),
        ("attach 'x.duckdb'", "of the kind ATTACH"),
        ("set threads = 1", "of the kind SET"),
        ("install httpfs", "of the kind LOAD"),
        ("select 1; select 2", "give one statement of SQL; this holds 2"),
        ("", "give one statement of SQL; this holds 0"),
        ("-- 🙂", "give one statement of SQL; this holds 0"),
        ("with x as (insert into events values (1) returning *) select * from x", "Catalog Error"),
        ("select * from read_text('/etc/hostname')", "Permission Error"),
        ("select * from '/etc/hostname'", "Error"),
        ("select * from glob('/*')", "Permission Error"),
        ("select nothing from events", 'Referenced column "nothing" not found'),
        ("select from where", "Parser Error"),
        ("select error('a 🙂')", "a 🙂"),
        ("select $since_ms", "since_ms"),
    ],
)
def test_what_does_not_only_read_is_refused_with_one_message(
    telemetry_here: Run, tmp_path: Path, sql: str, message: str
) -> None:
    result = telemetry_here("sql", sql)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("fimble: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "from events limit 1",
        "values (1)",
        "show tables",
        "describe completions",
        "summarize sessions",
        "explain select * from metrics",
        "pivot completions on outcome using count(*) group by language",
        "with x as (select 1 as a) select * from x",
    ],
)
def test_every_way_to_read_is_allowed(telemetry_here: Run, sql: str) -> None:
    result = telemetry_here("sql", sql)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("rows)\n") or result.stdout.endswith("(1 row)\n")


def test_a_result_that_cannot_be_written_is_one_message(telemetry: Run, tmp_path: Path) -> None:
    missing = os.fspath(tmp_path / "no" / "out.csv")
    for fmt in ("csv", "parquet"):
        result = telemetry("sql", "select 1", "--format", fmt, "--out", missing)
        assert result.returncode == 2
        assert result.stderr.startswith("fimble: ")
        assert "Traceback" not in result.stderr
    result = telemetry("sql", "select 1", "--format", "parquet")
    assert (result.returncode, result.stderr) == (
        2,
        "fimble: --format parquet needs --out FILE\n",
    )


def test_a_failed_query_leaves_the_old_result(telemetry: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old", encoding="utf-8")
    sql = "select error('late') from range(100000) where range = 99999"
    assert telemetry("sql", sql, "--format", "csv", "--out", os.fspath(out)).returncode == 2
    assert out.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.csv"]


def test_a_reader_that_goes_away_ends_a_query_quietly(data: Path) -> None:
    sql = "select range from range(1000000)"
    command = f'{sys.executable} -m fimble telemetry sql "{sql}" --format csv | head -n 2'
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env={**os.environ, "FIMBLE_DATA_DIR": os.fspath(data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "range\n0\n", "")


def test_nothing_recorded_yet_is_no_error(telemetry: Run, data: Path) -> None:
    for path in (data / "spool").iterdir():
        path.unlink()
    assert telemetry("merge").stdout == "merged 0 events of 0 segments\n"
    assert telemetry("sql", "select count(*) as n from completions").stdout.split() == [
        *("n", "─", "0"),
        *("(1", "row)"),
    ]
    assert "0 of 0: 0 lost (0.00%)" in telemetry("doctor").stdout


def test_merge_says_what_it_did(telemetry: Run, data: Path) -> None:
    lines = lines_of(session(1, seed=0), "c")
    lines[1] = b"damaged\n"
    lines[2] = lines[2].replace(b'"v": 3', b'"v": 99')
    (data / "spool" / "c-0.jsonl.open").write_bytes(b"".join([*lines, lines[0], lines[0][:10]]))
    result = telemetry("merge")
    assert result.stdout.splitlines() == [
        f"merged {num_events() + len(lines) - 2} events of 3 segments",
        "1 events were there already",
        "1 segments of processes that died were closed",
        "1 torn last lines were left out",
        "1 damaged lines were kept aside",
        "1 events of another release were kept aside",
    ]
    assert telemetry("merge").stdout == "merged 0 events of 0 segments\n"


def test_doctor_says_what_is_missing_of_each_session(telemetry: Run, data: Path) -> None:
    lines = lines_of(session(3, seed=4), "lossy")
    (data / "spool" / "lossy-0.jsonl").write_bytes(b"".join([lines[0], *lines[3:-1]]))
    shown = telemetry("doctor")
    assert (shown.returncode, shown.stderr) == (0, "")
    total = num_events() + len(lines) - 1
    loss = f"2 of {len(lines) - 1} lost, dropped by itself: unknown"
    assert shown.stdout.splitlines() == [
        f"warehouse    {data / 'warehouse'}",
        "sessions     3, 1 of them open or killed",
        "open now     0 segments",
        "requests     12 answered, 6 not",
        "clock        set or stopped during 0 sessions",
        f"events       {total - 2} of {total}: 2 lost ({2 / total:.2%})",
        "torn lines   0",
        "kept aside   0 damaged lines, 0 events of another release",
        "duplicates   0 left out",
        f"loss         session lossy (Neovim, server 0.1.0): {loss}",
    ]
    found = json.loads(telemetry("doctor", "--json").stdout)
    assert found["lossy"] == [
        {
            "session_id": "lossy",
            "editor": "Neovim",
            "server_version": "0.1.0",
            "num_events": len(lines) - 3,
            "num_expected": len(lines) - 1,
            "num_lost": 2,
            "num_dropped": None,
        }
    ]


def test_a_damaged_warehouse_is_one_message(telemetry: Run, data: Path) -> None:
    (data / "warehouse").mkdir()
    (data / "warehouse" / "manifest.json").write_text("{", encoding="utf-8")
    for action in (("merge",), ("doctor",), ("sql", "select 1")):
        result = telemetry(*action)
        assert result.returncode == 2
        assert "manifest.json is damaged" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_warehouse_in_the_place_of_a_file_is_one_message(telemetry: Run, data: Path) -> None:
    (data / "warehouse").write_text("", encoding="utf-8")
    for action in (("merge",), ("doctor",), ("sql", "select 1")):
        result = telemetry(*action)
        assert result.returncode == 2
        [line] = result.stderr.splitlines()
        assert line.startswith("fimble: cannot merge into")
