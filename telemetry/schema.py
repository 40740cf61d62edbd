"""What a recorded line must look like, and the columns that it becomes.

Kinds and fields come from `fimble.events`; nothing here repeats them. A line that does not fit is
never lost: it is counted, and kept aside as it is.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import Any

from fimble.events import (
    EVENT_KINDS,
    NEW_IN_VERSIONS,
    READABLE_VERSIONS,
    Envelope,
    field_types,
)

_SQL_TYPES = {"str": "varchar", "int": "bigint", "float": "double", "bool": "boolean"}
_ENVELOPE = field_types(Envelope)
_FIELDS = {kind.kind: {**_ENVELOPE, **field_types(kind)} for kind in EVENT_KINDS}


def _fields_of(version: int, kind: str) -> dict[str, str]:
    """Return the fields that a kind has in a version."""
    later = [new.get(kind, frozenset()) for at, new in NEW_IN_VERSIONS.items() if at > version]
    return {
        name: plain
        for name, plain in _FIELDS[kind].items()
        if not any(name in names for names in later)
    }


_FIELDS_BY_VERSION = {
    version: {kind: _fields_of(version, kind) for kind in _FIELDS} for version in READABLE_VERSIONS
}
_MAX_BIGINT = 2**63 - 1
_MAX_WALL_MS = 253_402_300_799_999  # the end of the year 9999

COLUMNS: dict[str, str] = {
    "ev": "varchar",
    **{name: _SQL_TYPES[plain] for fields in _FIELDS.values() for name, plain in fields.items()},
}
"""Every column of an event, by name, with its SQL type: the fields of all kinds."""


class Flaw(StrEnum):
    """Why a line is not an event."""

    TORN = "torn"
    """The last line of a segment, cut off in the middle: its writer died."""
    DAMAGED = "damaged"
    """Not an object with the fields that its kind has."""
    UNKNOWN = "unknown"
    """Another schema version or kind: written by another release."""


Record = dict[str, object]
"""One event as it is stored: only the fields that its kind has."""


def parse(line: bytes, *, is_last: bool) -> Record | Flaw:
    """Return the event in a line, or what is wrong with it.

    Args:
        line: One line with its line end, if it has one.
        is_last: No line follows in the segment.
    """
    try:
        table = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        table = None
    if isinstance(table, dict):
        return _checked(table)
    return Flaw.TORN if is_last and not line.endswith(b"\n") else Flaw.DAMAGED


def _checked(table: dict[str, Any]) -> Record | Flaw:
    """Return the event that an object is, or why it is none."""
    version, kind = table.get("v"), table.get("ev")
    if not isinstance(version, int) or not isinstance(kind, str):
        return Flaw.DAMAGED
    fields = _FIELDS_BY_VERSION.get(version, {}).get(kind)
    if fields is None:
        return Flaw.UNKNOWN
    if not all(_fits(table.get(name), plain) for name, plain in fields.items()):
        return Flaw.DAMAGED
    if table["seq"] < 0 or not 0 <= table["ts_wall_ms"] <= _MAX_WALL_MS or not table["session_id"]:
        return Flaw.DAMAGED
    return {"ev": kind, **{name: table[name] for name in fields}}


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _fits(value: object, plain: str) -> bool:
    """Return whether a JSON value can be stored as `str`, `int` or `float`."""
    match plain:
        case "str":
            return isinstance(value, str) and _is_unicode(value)
        case "int":
            return type(value) is int and abs(value) <= _MAX_BIGINT
        case "bool":
            return type(value) is bool
        case _:
            return type(value) in {int, float} and _is_finite(value)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= _MAX_BIGINT and math.isfinite(value)


def _is_unicode(text: str) -> bool:
    """Return whether `text` can be written as UTF-8: it holds no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
