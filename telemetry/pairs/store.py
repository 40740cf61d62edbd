"""Reading the store of content: suggestions with their code, session by session."""

from __future__ import annotations

import contextlib
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fimble.content import CONTENT_VERSION, READABLE_CONTENT, ContentLater, ContentServed
from fimble.fim import Snippet
from fimble.spool import CLOSED_SUFFIX, OPEN_SUFFIX, session_of
from telemetry.segments import MAX_SEGMENT_BYTES, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_KINDS: dict[str, type[ContentServed | ContentLater]] = {
    "content_served": ContentServed,
    "content_later": ContentLater,
}
_NEAR_CHARS = 40
"""Code on each side that tells a place from others of its file."""
_PLAIN = {"str": str, "int": int, "tuple[Snippet, ...]": tuple}


class BadLine(StrEnum):
    """Why a line of the store is not used."""

    DAMAGED_LINE = "damaged_line"
    """Torn, or not an object with the fields that its kind has."""
    UNKNOWN_LINE = "unknown_line"
    """Of another version or kind."""
    UNREADABLE_FILE = "unreadable_file"
    """The file cannot be read, or is larger than any that a session writes."""


@dataclass(slots=True, kw_only=True)
class Suggestion:
    """A suggestion that went to the editor, with the code around it."""

    served: ContentServed
    served_ms: int
    """By the clock of its machine."""
    expires_ms: int
    version: int
    """`CONTENT_VERSION` of the release that recorded it."""
    looks: dict[int, str] = field(default_factory=dict)
    """What stood at its place, by seconds after it was served."""
    left: set[int] = field(default_factory=set)
    """Of these looks, those at which the user was writing elsewhere."""


@dataclass(slots=True, kw_only=True)
class Stored:
    """What the store holds of one session."""

    session_id: str
    suggestions: dict[str, Suggestion] = field(default_factory=dict)
    """By `completion_id`."""
    bad: Counter[BadLine] = field(default_factory=Counter)


def sessions_in(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the segments in stores of content by session; sorted, whatever the system lists.

    Args:
        folders: Stores; one that does not exist is empty.
    """
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        for path in (*folder.glob(f"*{OPEN_SUFFIX}"), *folder.glob(f"*{CLOSED_SUFFIX}")):
            found[session_of(path.name)].append(path)
    return {name: sorted(found[name], key=_number) for name in sorted(found)}


def read_session(session_id: str, paths: Sequence[Path]) -> Stored:
    """Return what the segments of a session hold; what cannot be read is counted."""
    stored = Stored(session_id=session_id)
    looks: list[ContentLater] = []
    for table in _tables(paths, stored):
        record = _record(table, session_id)
        if isinstance(record, BadLine):
            stored.bad[record] += 1
        elif isinstance(record, ContentServed):
            stored.suggestions.setdefault(
                record.completion_id,
                Suggestion(
                    served=record,
                    served_ms=table["ts_wall_ms"],
                    expires_ms=table["expires_ms"],
                    version=table["v"],
                ),
            )
        else:
            looks.append(record)
    for look in looks:
        if look.completion_id in stored.suggestions:
            stored.suggestions[look.completion_id].looks[look.after_s] = look.text
    mark_left(list(stored.suggestions.values()))
    return stored


def mark_left(suggestions: Sequence[Suggestion]) -> None:
    """Mark the looks before which the user had gone on elsewhere.

    Who writes gets suggestions: the latest one before a look says where the user was.
    """
    in_time = sorted(suggestions, key=lambda each: each.served_ms)
    times_ms = [each.served_ms for each in in_time]
    for each in in_time:
        for after_s, stands in each.looks.items():
            latest = in_time[bisect_right(times_ms, each.served_ms + after_s * 1000) - 1]
            if _is_elsewhere(latest.served, each.served, stands):
                each.left.add(after_s)


def _is_elsewhere(latest: ContentServed, own: ContentServed, stands: str) -> bool:
    """Return whether a suggestion is for a place apart from another's, where `stands` stands.

    It is if it is for another file, or has that text and what stands around it on one side.
    """
    if latest.path and own.path and latest.path != own.path:
        return True
    behind = own.suffix[: len(own.suffix) - len(own.suffix.lstrip()) + _NEAR_CHARS]
    around = f"{own.prefix[-_NEAR_CHARS:]}{stands}{behind}"
    return bool(behind.strip()) and (around in latest.prefix or around in latest.suffix)


def _number(path: Path) -> tuple[int, str]:
    """Return where a segment comes within its session."""
    number = path.name.rpartition("-")[2].partition(".")[0]
    return (int(number) if number.isdecimal() else 0, str(path))


def _tables(paths: Sequence[Path], stored: Stored) -> Iterator[Mapping[str, Any]]:
    """Yield the objects in segments."""
    for path in paths:
        try:
            is_ours = path.stat().st_size <= MAX_SEGMENT_BYTES
            data = path.read_bytes() if is_ours else b""
        except FileNotFoundError:  # expired just now
            continue
        except OSError:
            is_ours, data = False, b""
        stored.bad[BadLine.UNREADABLE_FILE] += not is_ours
        for line, _ in lines_of(data):
            table = None
            with contextlib.suppress(ValueError, RecursionError):
                table = json.loads(line)
            if isinstance(table, dict):
                yield table
            else:
                stored.bad[BadLine.DAMAGED_LINE] += 1


def _record(table: Mapping[str, Any], session_id: str) -> ContentServed | ContentLater | BadLine:
    """Return the record that an object is, or what is wrong with it."""
    kind = _KINDS.get(str(table.get("ev")))
    if kind is None or table.get("v") not in READABLE_CONTENT:
        return BadLine.UNKNOWN_LINE
    values: dict[str, Any] = {each.name: table.get(each.name) for each in fields(kind)}
    if kind is ContentServed:
        is_new = table["v"] == CONTENT_VERSION
        values["path"] = table.get("path") if is_new else ""
        values["snippets"] = _snippets(table.get("snippets")) if is_new else ()
    plain = {each.name: _PLAIN[str(each.type)] for each in fields(kind)}
    is_whole = all(type(values[name]) is plain[name] for name in plain)
    texts = [text for text in values.values() if isinstance(text, str)]
    texts += [text for s in values.get("snippets") or () for text in (s.path, s.text)]
    is_named = table.get("session_id") == session_id
    is_named = is_named and all(type(table.get(n)) is int for n in ("ts_wall_ms", "expires_ms"))
    if not is_whole or not is_named or not all(map(_is_unicode, texts)):
        return BadLine.DAMAGED_LINE
    return kind(**values)


def _snippets(rows: object) -> tuple[Snippet, ...] | None:
    """Return the code of other files in a record; None where it is damaged."""
    found: list[Snippet] = []
    for row in rows if isinstance(rows, list) else [None]:
        if not isinstance(row, dict) or {type(row.get(k)) for k in ("path", "text")} != {str}:
            return None
        found.append(Snippet(path=row["path"], text=row["text"]))
    return tuple(found)


def _is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
