"""Results as text: aligned for people, exact for programs."""

import csv
import io
import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from telemetry.tables import MAX_TABLE_ROWS, write_csv, write_json, write_table

WHEN = datetime.fromisoformat("2026-09-01T01:02:03.004")  # DuckDB's timestamps have no zone
ROWS = [
    ("é中🙂", 1, 0.125, None, date(2026, 9, 1)),
    ("a\r\nb\t\x1b[31m", 20, float("nan"), [1, {"x": None}], WHEN),
    ('"', 300, 1e-9, {"k": Decimal("1.50")}, time(1, 2)),
]
NAMES = ["text", "count", "share", "any", "when"]


def test_a_table_is_aligned_and_moves_no_cursor() -> None:
    out = io.StringIO()
    write_table(NAMES, ROWS, out)
    assert out.getvalue() == (
        "text              count  share  any               when\n"
        "────────────────  ─────  ─────  ────────────────  ───────────────────────\n"
        "é中🙂                 1  0.125  null              2026-09-01\n"
        'a\\r\\nb\\t\\x1b[31m     20    nan  [1, {"x": null}]  2026-09-01 01:02:03.004\n'
        '"                   300  1e-09  {"k": 1.5}        01:02:00\n'
        "(3 rows)\n"
    )


def test_a_long_table_says_that_there_is_more() -> None:
    out = io.StringIO()
    write_table(["n"], ((n,) for n in range(MAX_TABLE_ROWS + 1)), out)
    lines = out.getvalue().splitlines()
    assert len(lines) == MAX_TABLE_ROWS + 3
    assert lines[-1] == "(1000 rows shown, there are more: use limit, or --format csv)"


def test_a_long_cell_is_shortened_and_an_empty_table_has_its_header() -> None:
    out = io.StringIO()
    write_table(["a", "b"], [("x" * 100, True)], out)
    assert out.getvalue().splitlines()[2] == "x" * 59 + "…  true"
    out = io.StringIO()
    write_table(["a"], [], out)
    assert out.getvalue() == "a\n─\n(0 rows)\n"


def test_csv_holds_the_values_as_they_are() -> None:
    out = io.StringIO()
    write_csv(NAMES, [*ROWS, (b"\xff", True, timedelta(seconds=90), (1,), "")], out)
    assert list(csv.reader(io.StringIO(out.getvalue(), newline=""))) == [
        NAMES,
        ["é中🙂", "1", "0.125", "", "2026-09-01"],
        ["a\r\nb\t\x1b[31m", "20", "nan", '[1, {"x": null}]', "2026-09-01T01:02:03.004000"],
        ['"', "300", "1e-09", '{"k": 1.5}', "01:02:00"],
        ["ff", "true", "90", "[1]", ""],
    ]


def test_json_is_one_document_of_objects() -> None:
    out = io.StringIO()
    write_json(NAMES, ROWS, out)
    assert json.loads(out.getvalue()) == [
        {"text": "é中🙂", "count": 1, "share": 0.125, "any": None, "when": "2026-09-01"},
        {
            "text": "a\r\nb\t\x1b[31m",
            "count": 20,
            "share": None,
            "any": [1, {"x": None}],
            "when": "2026-09-01T01:02:03.004000",
        },
        {"text": '"', "count": 300, "share": 1e-09, "any": {"k": 1.5}, "when": "01:02:00"},
    ]
    out = io.StringIO()
    write_json(["a"], [], out)
    assert json.loads(out.getvalue()) == []


@given(st.lists(st.tuples(st.text(), st.none() | st.integers() | st.floats()), max_size=5))
def test_whatever_the_values_each_row_is_one_line(rows: list[tuple[object, ...]]) -> None:
    table, document = io.StringIO(), io.StringIO()
    write_table(["a", "b"], rows, table)
    assert len(table.getvalue().splitlines()) == len(rows) + 3
    write_json(["a", "b"], rows, document)
    assert [item["a"] for item in json.loads(document.getvalue())] == [row[0] for row in rows]
