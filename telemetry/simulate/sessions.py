"""Simulated requests as editor sessions: the records and segments that the server writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fimble.events import (
    HORIZONS_S,
    KEPT_MIN_RATE,
    AcceptKind,
    Envelope,
    Exposed,
    Kept,
    Opportunity,
    Outcome,
    Resolved,
    Retained,
    Served,
    SessionEnded,
    SessionStarted,
    Shown,
    Source,
    Trigger,
    Typing,
    Undone,
    to_record,
)
from fimble.paths import SHIPPED_MODEL
from fimble.spool import closed_name, segment_name
from telemetry.simulate.company import (
    CACHES,
    EDITORS,
    LANGUAGES,
    OUTCOMES,
    REASONS,
    TEAMS,
    draw_day,
    draw_users,
    request_id,
)
from telemetry.simulate.hours import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fimble.events import Event
    from telemetry.simulate.company import Requests, Simulation, Users

MODEL, DIGEST = SHIPPED_MODEL, "5" * 16
CHARS_PER_ACTIVE_S = 2.4
"""That a user types."""
_TAKEN = (Outcome.ACCEPTED, Outcome.ACCEPTED_PART)


class Timed(NamedTuple):
    """An event and its time, Unix ms."""

    at_ms: float
    event: Event


class Written(NamedTuple):
    """What was written."""

    num_sessions: int
    num_events: int


def write_sessions(simulation: Simulation, spool: Path) -> Written:
    """Write a closed segment for each user and day, to be merged as any other.

    Raises:
        OSError: The folder cannot be written.
    """
    spool.mkdir(parents=True, exist_ok=True)
    users = draw_users(simulation)
    num_sessions, num_events = 0, 0
    for number in range(simulation.num_days):
        requests = draw_day(simulation, users, number)
        for who in np.unique(requests.user).tolist():
            session_id = f"sim{simulation.seed}-{who:x}-{number:x}"
            timed = _session(requests, users, who)
            lines = [
                json.dumps(
                    to_record(
                        each.event,
                        _envelope(session_id, seq, each.at_ms - timed[0].at_ms, each.at_ms),
                    )
                )
                for seq, each in enumerate(timed)
            ]
            path = spool / closed_name(segment_name(session_id, 0))
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            num_sessions, num_events = num_sessions + 1, num_events + len(lines)
    return Written(num_sessions, num_events)


def _envelope(session_id: str, seq: int, since_start_ms: float, at_ms: float) -> Envelope:
    return Envelope(
        session_id=session_id,
        seq=seq,
        ts_wall_ms=int(at_ms),
        ts_mono_ms=round(since_start_ms, 1),
    )


def _session(requests: Requests, users: Users, who: int) -> list[Timed]:
    """Return the events of a user's day, in the order in which they happen."""
    rows = np.flatnonzero(requests.user == who).tolist()
    editor, team = EDITORS[users.editor[who]], TEAMS[users.team[who]]
    start = SessionStarted(
        editor=editor,
        editor_version="1.0",
        plugin_version="",
        server_version="0.1.0",
        level="keys",
        user_key=users.keys[who],
        key_epoch=1,
        team=team,
    )
    timed = [Timed(requests.at_ms[rows[0]] - 1000.0, start)]
    for row in rows:
        timed += _request(requests, row)
    hours = requests.at_ms[rows] // HOUR_MS
    for hour in np.unique(hours):
        some = [row for row, its in zip(rows, hours, strict=True) if its == hour]
        timed.append(Timed(float(requests.at_ms[some[-1]]) + 1, _typing(requests, some)))
    timed.sort(key=lambda each: each.at_ms)
    return [*timed, Timed(timed[-1].at_ms + 1, SessionEnded(num_events_dropped=0))]


def _request(requests: Requests, row: int) -> Iterator[Timed]:
    """Yield the events of one request."""
    at_ms = float(requests.at_ms[row])
    name = request_id(int(requests.user[row]), int(at_ms))
    drawn = requests.assignments[row] if requests.assignments else None
    if drawn is not None:
        yield Timed(at_ms, Exposed(opportunity_id=name, **drawn._asdict()))
    answered_ms = at_ms + float(requests.total_ms[row])
    if not requests.is_served[row]:
        yield Timed(answered_ms, _not_served(requests, row, name))
        return
    yield Timed(answered_ms, _served(requests, row, name))
    if requests.is_shown[row]:
        delay_ms = float(requests.total_ms[row])
        shown = Shown(completion_id=name, source=Source.INFERRED, shown_delay_ms=delay_ms)
        yield Timed(answered_ms + 0.1, shown)
    resolved = _resolved(requests, row, name)
    ended_ms = answered_ms + 0.2 + resolved.visible_ms
    yield Timed(ended_ms, resolved)
    if resolved.outcome in _TAKEN:
        yield from _afterwards(requests, row, name, ended_ms)


def _not_served(requests: Requests, row: int, name: str) -> Opportunity:
    return Opportunity(
        opportunity_id=name,
        language=LANGUAGES[requests.language[row]],
        trigger=Trigger.AUTOMATIC,
        reason=REASONS[requests.reason[row]],
        detail="",
        model=MODEL,
        model_digest=DIGEST,
        backend="embedded",
        total_ms=float(requests.total_ms[row]),
    )


def _served(requests: Requests, row: int, name: str) -> Served:
    total_ms, num_chars = float(requests.total_ms[row]), int(requests.num_chars[row])
    return Served(
        completion_id=name,
        opportunity_id=name,
        language=LANGUAGES[requests.language[row]],
        trigger=Trigger.AUTOMATIC,
        scope="block" if requests.num_lines[row] > 1 else "line",
        cache=CACHES[requests.cache[row]],
        model=MODEL,
        model_digest=DIGEST,
        backend="embedded",
        prefix_chars=2000,
        suffix_chars=500,
        prompt_tokens=0,
        cached_tokens=0,
        generated_tokens=num_chars // 4 + 1,
        num_chars=num_chars,
        num_lines=int(requests.num_lines[row]),
        mean_logprob=float(requests.mean_logprob[row]),
        stop_reason="block" if requests.num_lines[row] > 1 else "line",
        debounce_ms=30.0,
        first_token_ms=round(total_ms / 3, 1),
        total_ms=total_ms,
    )


def _resolved(requests: Requests, row: int, name: str) -> Resolved:
    outcome = OUTCOMES[requests.outcome[row]]
    kinds = {Outcome.ACCEPTED: AcceptKind.FULL, Outcome.ACCEPTED_PART: AcceptKind.WORD}
    num_chars = int(requests.num_chars[row])
    is_through = outcome is Outcome.TYPED_THROUGH
    return Resolved(
        completion_id=name,
        outcome=outcome,
        source=Source.EDITOR if outcome in _TAKEN else Source.INFERRED,
        visible_ms=float(requests.visible_ms[row]) if requests.is_shown[row] else 0.0,
        accepted_chars=int(requests.accepted_chars[row]),
        accepted_lines=int(requests.num_lines[row]) if outcome is Outcome.ACCEPTED else 0,
        typed_chars=num_chars if is_through else 0,
        accept_kind=kinds.get(outcome, AcceptKind.NONE),
        num_accepts=int(outcome in _TAKEN),
    )


def _afterwards(requests: Requests, row: int, name: str, taken_ms: float) -> Iterator[Timed]:
    """Yield what becomes of an accepted text."""
    if requests.is_undone[row]:
        yield Timed(taken_ms + 900.0, Undone(completion_id=name, undone_after_ms=900.0))
    for number, horizon_s in enumerate(HORIZONS_S):
        rate = 0.0 if requests.is_undone[row] else float(requests.kept_rate[row, number])
        state = Kept.KEPT if rate >= KEPT_MIN_RATE else Kept.REMOVED
        age_ms = horizon_s * 1000.0
        retained = Retained(
            completion_id=name,
            horizon_s=horizon_s,
            age_ms=age_ms,
            state=Kept.UNDONE if requests.is_undone[row] else state,
            kept_rate=rate,
            kept_chars=round(rate * int(requests.accepted_chars[row])),
            kept_lines=round(rate * int(requests.num_lines[row])),
        )
        yield Timed(taken_ms + age_ms, retained)


def _typing(requests: Requests, rows: list[int]) -> Typing:
    """Return the counters of an hour of a user's day."""
    completed = int(requests.accepted_chars[rows].sum())
    active_ms = round(float(requests.active_ms[rows].sum()), 1)
    return Typing(
        language=LANGUAGES[requests.language[rows[0]]],
        period_ms=active_ms,
        active_ms=active_ms,
        inserted_chars=round(CHARS_PER_ACTIVE_S * active_ms / 1000),
        completed_chars=completed,
        deleted_chars=20 * len(rows),
        pasted_chars=5 * len(rows),
    )
