"""What was recorded, and what is missing: loss is counted, not hoped away."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fimble.spool import OPEN_SUFFIX
from telemetry.reader import reading
from telemetry.texts import query

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from telemetry.warehouse import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class LossySession:
    """A session of which events are missing."""

    session_id: str
    editor: str | None
    server_version: str | None
    num_events: int
    num_expected: int
    num_lost: int
    """Gaps in `seq`: events that were recorded or dropped, and did not arrive."""
    num_dropped: int | None
    """Of those, dropped by the session itself; None if it was killed and could not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The state of spool and warehouse."""

    warehouse: str
    num_sessions: int
    num_sessions_not_ended: int
    """Open now, or killed."""
    num_open_segments: int
    num_events: int
    num_expected: int
    num_completions: int
    num_not_served: int
    """Requests that got nothing."""
    num_clock_jumps: int
    """Sessions during which the clock was set, or the machine slept, for a minute or more."""
    num_torn: int
    num_damaged: int
    num_unknown: int
    num_duplicates: int
    lossy: tuple[LossySession, ...]


def examine(spool: Path, warehouse: Warehouse) -> Findings:
    """Return the state of spool and warehouse.

    Raises:
        InputError: The manifest of the warehouse is damaged.
    """
    with reading(spool, warehouse) as connection:
        (totals,) = _rows(connection, "totals")
        lossy = _rows(connection, "lossy_sessions")
    segments = warehouse.manifest().segments.values()
    return Findings(
        warehouse=os.fspath(warehouse.folder),
        **totals,
        num_open_segments=len(list(spool.glob(f"*{OPEN_SUFFIX}"))),
        num_torn=sum(segment.num_torn for segment in segments),
        num_damaged=sum(segment.num_damaged for segment in segments),
        num_unknown=sum(segment.num_unknown for segment in segments),
        num_duplicates=sum(segment.num_duplicates for segment in segments),
        lossy=tuple(LossySession(**row) for row in lossy),
    )


def _rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    """Return the rows of a query file, each by the names of its columns."""
    result = connection.execute(query(name))
    columns = [column[0] for column in result.description or []]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def report_lines(findings: Findings) -> list[str]:
    """Return the findings as lines, one fact each."""
    lost = findings.num_expected - findings.num_events
    share = lost / findings.num_expected if findings.num_expected else 0.0
    num_open, num_aside = findings.num_sessions_not_ended, findings.num_damaged
    lines = [
        f"warehouse    {findings.warehouse}",
        f"sessions     {findings.num_sessions}, {num_open} of them open or killed",
        f"open now     {findings.num_open_segments} segments",
        f"requests     {findings.num_completions} answered, {findings.num_not_served} not",
        f"clock        set or stopped during {findings.num_clock_jumps} sessions",
        f"events       {findings.num_events} of {findings.num_expected}: {lost} lost ({share:.2%})",
        f"torn lines   {findings.num_torn}",
        f"kept aside   {num_aside} damaged lines, {findings.num_unknown} events of another release",
        f"duplicates   {findings.num_duplicates} left out",
    ]
    for session in findings.lossy:
        dropped = "unknown" if session.num_dropped is None else session.num_dropped
        lines.append(
            f"loss         session {session.session_id} ({session.editor or 'editor unknown'}, "
            f"server {session.server_version or 'unknown'}): {session.num_lost} of "
            f"{session.num_expected} lost, dropped by itself: {dropped}"
        )
    return lines
