"""Editor sessions as the spool sees them: the events of `fimble.events` through the real outbox.

As a program: `python spool_writer.py SPOOL SESSION NUM_COMPLETIONS` records a session, says on
standard output how many events the disk has, and leaves its segment open until it is killed.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

from fimble.events import (
    SESSION_END_S,
    AcceptKind,
    CacheHit,
    Envelope,
    Event,
    Exposed,
    Kept,
    NotServed,
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
    Unit,
    to_record,
)
from fimble.locks import try_lock
from fimble.spool import segment_name

START_MS = 1_788_220_800_000
"""2026-09-01, 00:00 UTC."""


def completion(name: str, chance: random.Random) -> list[Event]:
    """Return the events of one completion, of a random kind."""
    outcome = chance.choice(list(Outcome))
    accepted_chars = {Outcome.ACCEPTED: 40, Outcome.ACCEPTED_PART: 10}.get(outcome, 0)
    served = Served(
        completion_id=name,
        opportunity_id=f"o-{name}",
        language=chance.choice(["python", "go"]),
        trigger=Trigger.AUTOMATIC,
        scope="block",
        cache=chance.choice(list(CacheHit)),
        model="fimble-30m",
        model_digest="0123456789abcdef",
        backend="embedded",
        prefix_chars=100,
        suffix_chars=20,
        prompt_tokens=50,
        cached_tokens=40,
        generated_tokens=12,
        num_chars=40,
        num_lines=2,
        mean_logprob=-0.5,
        stop_reason="block",
        debounce_ms=30.0,
        first_token_ms=20.0,
        total_ms=chance.uniform(50.0, 150.0),
    )
    resolved = Resolved(
        completion_id=name,
        outcome=outcome,
        source=Source.EDITOR if accepted_chars else Source.INFERRED,
        visible_ms=0.0 if outcome is Outcome.NOT_SHOWN else chance.uniform(100.0, 2000.0),
        accepted_chars=accepted_chars,
        accepted_lines=accepted_chars // 20,
        typed_chars=0,
        accept_kind=AcceptKind.FULL if accepted_chars else AcceptKind.NONE,
        num_accepts=int(accepted_chars > 0),
    )
    shown = Shown(completion_id=name, source=Source.INFERRED, shown_delay_ms=served.total_ms + 250)
    if outcome is Outcome.NOT_SHOWN:
        return [served, resolved]
    return [served, shown, resolved, *(_later(name, chance) if accepted_chars else [])]


def _later(name: str, chance: random.Random) -> list[Event]:
    """Return what becomes of an accepted text."""
    is_kept = chance.random() < 0.7
    undone = [] if is_kept else [Undone(completion_id=name, undone_after_ms=1200.0)]
    looks = [
        Retained(
            completion_id=name,
            horizon_s=horizon_s,
            age_ms=horizon_s * 1000.0,
            state=Kept.KEPT if is_kept else Kept.UNDONE,
            kept_rate=0.9 if is_kept else 0.0,
            kept_chars=9 if is_kept else 0,
            kept_lines=int(is_kept),
        )
        for horizon_s in (30, 600, SESSION_END_S)
    ]
    return [*undone, *looks]


def _before(name: str, chance: random.Random) -> list[Event]:
    """Return a request that got nothing, and the arm that the next one got."""
    missed = Opportunity(
        opportunity_id=f"o-{name}-missed",
        language="python",
        trigger=Trigger.AUTOMATIC,
        reason=chance.choice(list(NotServed)),
        detail="nothing",
        model="fimble-30m",
        model_digest="0123456789abcdef",
        backend="embedded",
        total_ms=12.0,
    )
    exposed = Exposed(
        opportunity_id=f"o-{name}",
        experiment="pause",
        arm=chance.choice(["long", "short"]),
        unit=Unit.REQUEST,
        bucket=chance.randrange(10_000),
        is_eligible=True,
        flag_reason="SPLIT",
        propensity=0.5,
    )
    return [missed, exposed] if chance.random() < 0.3 else [exposed]


def session(num_completions: int, *, seed: int) -> list[Event]:
    """Return the events of a whole session."""
    chance = random.Random(seed)
    start = SessionStarted(
        editor="Neovim",
        editor_version="0.12.4",
        plugin_version="",
        server_version="0.1.0",
        level="keys",
        user_key=f"u{seed}",
        key_epoch=1,
        team="core",
    )
    names = [f"c{seed}-{n}" for n in range(num_completions)]
    parts = [[*_before(name, chance), *completion(name, chance)] for name in names]
    typing = Typing(
        language="python",
        period_ms=300_000.0,
        active_ms=90_000.0,
        inserted_chars=120,
        completed_chars=40,
        deleted_chars=5,
        pasted_chars=0,
    )
    end = SessionEnded(num_events_dropped=0)
    return [start, *(event for part in parts for event in part), typing, end]


def lines_of(
    events: list[Event], session_id: str, *, start_ms: int = START_MS, step_ms: int = 1000
) -> list[bytes]:
    """Return the lines that a writer appends for `events`, one every `step_ms`."""
    lines: list[bytes] = []
    for seq, event in enumerate(events):
        wall_ms = start_ms + seq * step_ms
        envelope = Envelope(
            session_id=session_id, seq=seq, ts_wall_ms=wall_ms, ts_mono_ms=float(wall_ms)
        )
        lines.append(json.dumps(to_record(event, envelope)).encode() + b"\n")
    return lines


def open_segment(spool: Path, session_id: str, number: int) -> tuple[Path, int]:
    """Return path and descriptor of a new segment, locked before it has its name."""
    spool.mkdir(parents=True, exist_ok=True)
    path = spool / segment_name(session_id, number)
    hidden = path.with_name(f".{path.name}.part")
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    assert try_lock(descriptor)
    hidden.rename(path)
    return path, descriptor


def main() -> None:
    """Record sessions, one event at a time, in segments of 50, until killed."""
    spool, session_id, num_completions = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    lines = lines_of(session(num_completions, seed=int(sys.argv[4])), session_id)
    path, descriptor = open_segment(spool, session_id, 0)
    for number, line in enumerate(lines):
        if number and number % 50 == 0:
            path.rename(path.with_suffix(""))
            os.close(descriptor)
            path, descriptor = open_segment(spool, session_id, number // 50)
        os.write(descriptor, line)
        sys.stdout.write(f"{number + 1}\n")
        sys.stdout.flush()
        time.sleep(0.001)
    time.sleep(600)


if __name__ == "__main__":
    main()
