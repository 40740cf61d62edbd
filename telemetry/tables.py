"""Results as text: a table for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import json
import math
import unicodedata
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_TABLE_ROWS = 1000
"""People do not read more; programs take CSV or JSON."""
_MAX_CELL_COLUMNS = 60
_NULL = "null"


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


Row = tuple[object, ...]


def write_table(names: Sequence[str], rows: Iterable[Row], out: IO[str]) -> None:
    """Write a table with aligned columns; numbers stand at the right."""
    taken = list(islice(rows, MAX_TABLE_ROWS + 1))
    shown = taken[:MAX_TABLE_ROWS]
    cells = [[_cell(value) for value in row] for row in shown]
    widths = [
        max([_width(name), *(_width(line[n]) for line in cells)]) for n, name in enumerate(names)
    ]
    at_right = [_is_number_column([row[n] for row in shown]) for n in range(len(names))]
    for line in ([_escaped(name) for name in names], ["─" * width for width in widths], *cells):
        padded = [_padded(cell, widths[n], at_right=at_right[n]) for n, cell in enumerate(line)]
        out.write("  ".join(padded).rstrip() + "\n")
    if len(taken) > MAX_TABLE_ROWS:
        out.write(f"({MAX_TABLE_ROWS} rows shown, there are more: use limit, or --format csv)\n")
    else:
        out.write(f"({len(shown)} row{'s' * (len(shown) != 1)})\n")


def write_csv(names: Sequence[str], rows: Iterable[Row], out: IO[str]) -> None:
    """Write CSV with a header and LF line ends; null is an empty field."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if value is None else _plain(value) for value in row])


def write_json(names: Sequence[str], rows: Iterable[Row], out: IO[str]) -> None:
    """Write one JSON document: a list with an object for each row."""
    out.write("[")
    for number, row in enumerate(rows):
        record = dict(zip(names, map(_json_value, row), strict=True))
        out.write(",\n " if number else "\n ")
        out.write(json.dumps(record, ensure_ascii=False, allow_nan=False))
    out.write("\n]\n")


def _json_value(value: object) -> object:
    """Return `value` as JSON has it: what is not finite is null, times are ISO 8601."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case list() | tuple():
            return [_json_value(item) for item in value]
        case dict():
            return {str(key): _json_value(item) for key, item in value.items()}
        case _:
            return _plain(value)


def _plain(value: object) -> str:
    """Return `value` as text that programs read."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return f"{value.total_seconds():g}"
        case bool():
            return "true" if value else "false"
        case list() | tuple() | dict():
            return json.dumps(_json_value(value), ensure_ascii=False)
        case bytes():
            return value.hex()
        case _:
            return str(value)


def _cell(value: object) -> str:
    """Return `value` as text that people read, on one line and not too wide."""
    match value:
        case None:
            return _NULL
        case float():
            return f"{value:.6g}"
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds")
        case _:
            return _shortened(_escaped(_plain(value)))


def _escaped(text: str) -> str:
    """Return `text` with characters that would move the cursor written as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_CELL_COLUMNS else f"{text[: _MAX_CELL_COLUMNS - 1]}…"


def _is_number_column(values: Sequence[object]) -> bool:
    numbers = int | float | Decimal
    return all(
        value is None or (isinstance(value, numbers) and not isinstance(value, bool))
        for value in values
    ) and any(value is not None for value in values)


def _width(text: str) -> int:
    """Return the columns that `text` takes in a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _padded(text: str, width: int, *, at_right: bool) -> str:
    space = " " * (width - _width(text))
    return f"{space}{text}" if at_right else f"{text}{space}"
