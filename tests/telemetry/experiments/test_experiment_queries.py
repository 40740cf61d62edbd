"""The queries of experiments against events of a few users, counted by hand."""

import dataclasses

import numpy as np
import pytest

from fimble.events import (
    AcceptKind,
    CacheHit,
    Event,
    Exposed,
    NotServed,
    Opportunity,
    Outcome,
    Resolved,
    Retained,
    Served,
    SessionEnded,
    SessionStarted,
    Source,
    Trigger,
    Typing,
    Undone,
    Unit,
)
from telemetry.experiments.days import BEFORE, Span, UserDays, read_days, read_losses
from telemetry.reader import reading
from tests.stand_ins.spool_writer import lines_of
from tests.telemetry.conftest import Store
from tests.telemetry.experiments.registrations import experiment

DAY_MS = 86_400_000
START_MS = experiment().start_ms


def started(user: str) -> SessionStarted:
    return SessionStarted(
        editor="Neovim",
        editor_version="0.12",
        plugin_version="",
        server_version="1",
        level="keys",
        user_key=user,
        key_epoch=int(user != ""),
        team="",
    )


def exposed(name: str, arm: str, *, is_eligible: bool = True, of: str = "longer") -> Exposed:
    return Exposed(
        opportunity_id=name,
        experiment=of,
        arm=arm,
        unit=Unit.USER,
        bucket=1,
        is_eligible=is_eligible,
        flag_reason="SPLIT",
        propensity=0.5,
    )


def served(name: str, *, total_ms: float = 100.0) -> Served:
    return Served(
        completion_id=name,
        opportunity_id=name,
        language="python",
        trigger=Trigger.AUTOMATIC,
        scope="line",
        cache=CacheHit.MISS,
        model="m",
        model_digest="d",
        backend="tgi",
        prefix_chars=1,
        suffix_chars=2,
        prompt_tokens=3,
        cached_tokens=1,
        generated_tokens=4,
        num_chars=10,
        num_lines=1,
        mean_logprob=-1.0,
        stop_reason="line",
        debounce_ms=0.0,
        first_token_ms=total_ms / 2,
        total_ms=total_ms,
    )


def resolved(name: str, outcome: Outcome, *, visible_ms: float = 1000.0) -> Resolved:
    is_taken = outcome is Outcome.ACCEPTED
    return Resolved(
        completion_id=name,
        outcome=outcome,
        source=Source.INFERRED,
        visible_ms=visible_ms,
        accepted_chars=10 * is_taken,
        accepted_lines=int(is_taken),
        typed_chars=0,
        accept_kind=AcceptKind.FULL if is_taken else AcceptKind.NONE,
        num_accepts=int(is_taken),
    )


def failed(name: str) -> Opportunity:
    return Opportunity(
        opportunity_id=name,
        language="python",
        trigger=Trigger.AUTOMATIC,
        reason=NotServed.ERROR,
        detail="",
        model="m",
        model_digest="d",
        backend="tgi",
        total_ms=5.0,
    )


def retained(name: str, horizon_s: int, kept_chars: int) -> Retained:
    return Retained(
        completion_id=name,
        horizon_s=horizon_s,
        age_ms=horizon_s * 1000.0,
        state="kept",
        kept_rate=kept_chars / 10,
        kept_chars=kept_chars,
        kept_lines=1,
    )


def typing(active_ms: float) -> Typing:
    return Typing(
        language="python",
        period_ms=300_000.0,
        active_ms=active_ms,
        inserted_chars=1,
        completed_chars=1,
        deleted_chars=0,
        pasted_chars=0,
    )


def record(store: Store, name: str, events: list[Event], *, day: int = 0) -> None:
    start_ms = START_MS + day * DAY_MS + 3_600_000
    store.put(f"{name}-0.jsonl", lines_of(events, name, start_ms=start_ms, step_ms=1000))


def asked(store: Store, **changes: object) -> UserDays:
    registered = dataclasses.replace(experiment(), **changes)
    store.clock.now_ms = START_MS + 20 * DAY_MS
    store.merge()
    with reading(store.spool, store.warehouse) as connection:
        return read_days(connection, registered, Span.of(registered, START_MS + 20 * DAY_MS))


def test_what_users_did_is_what_one_counts_by_hand(store: Store) -> None:
    record(
        store,
        "a0",
        [
            started("a"),
            served("p"),
            resolved("p", Outcome.ACCEPTED),
            typing(1.8e6),
            SessionEnded(num_events_dropped=0),
        ],
        day=-1,
    )
    record(
        store,
        "a1",
        [
            started("a"),
            *(exposed("q", "new-1"), served("q", total_ms=500), resolved("q", Outcome.ACCEPTED)),
            *(retained("q", 30, 9), retained("q", 600, 6)),
            *(exposed("r", "new-1"), served("r"), resolved("r", Outcome.REJECTED, visible_ms=700)),
            *(exposed("s", "new-1"), failed("s")),
            *(exposed("t", "new-1"), served("t"), resolved("t", Outcome.ACCEPTED)),
            Undone(completion_id="t", undone_after_ms=900.0),
            typing(3.6e6),
            *(exposed("lost", "new-1"),),
            *(exposed("forced", "new-1", is_eligible=False), served("forced")),
            *(exposed("x", "new-1", of="another"), served("x")),
        ],
    )
    found = asked(store)
    assert (found.num_users, found.num_keyless, found.num_crossed) == (1, 0, 0)
    rows = {int(arm): n for n, arm in enumerate(found.arm)}
    counted = {
        arm: {name: float(values[row]) for name, values in found.counts.items()}
        for arm, row in rows.items()
    }
    assert counted[1] == {
        "draws": 1,
        "requests": 5,  # q, r, s, t, and the one whose own event was lost
        "served": 3,
        "shown": 3,
        "seen": 2,
        "taken": 2,
        "rejected": 1,
        "undone": 1,
        "errors": 1,
        "slow": 1,
        "total_ms": 700.0,
        "shown_chars": 30,
        "accepted_chars": 20,
        "kept_chars": 6,  # the last look counts, and there was none at t
        "active_hours": 1.0,
    }
    assert counted[BEFORE]["taken"] == counted[BEFORE]["requests"] == 1
    assert counted[BEFORE]["active_hours"] == 0.5
    sample = found.sample("taken_per_opportunity")
    assert (sample.num_ua.tolist(), sample.den_ua.tolist()) == ([[0, 2]], [[0, 5]])
    assert (sample.before_num_u.tolist(), sample.before_den_u.tolist()) == ([1], [1])


def test_only_the_days_of_the_experiment_and_of_its_history_count(store: Store) -> None:
    for day in (-8, -7, 0, 6, 7):
        name = f"d{day}"
        record(store, name, [started("a"), exposed(name, "control"), served(name)], day=day)
    found = asked(store)
    first = START_MS // DAY_MS
    assert dict(zip((found.day - first).tolist(), found.arm.tolist(), strict=True)) == {
        -7: BEFORE,
        0: 0,
        6: 0,
    }


def test_users_in_two_arms_without_a_key_and_strange_arms_are_left_out_and_told(
    store: Store,
) -> None:
    record(store, "a", [started("a"), exposed("1", "control"), served("1")])
    record(store, "b", [started("b"), exposed("2", "control"), served("2")])
    record(store, "c", [started("b"), exposed("3", "new-1"), served("3")], day=1)
    record(store, "d", [started(""), exposed("4", "new-1"), served("4")])
    record(store, "e", [started("e"), exposed("5", "who"), served("5")])
    found = asked(store)
    assert (found.num_users, found.num_keyless, found.num_crossed, found.num_strange) == (
        1,
        1,
        1,
        1,
    )
    by_day = asked(store, unit=Unit.USER_DAY)
    assert (by_day.num_users, by_day.num_crossed) == (2, 0)
    assert by_day.num_units(Unit.USER_DAY) == [2, 1]


def test_hours_belong_to_no_arm_where_requests_of_a_day_have_several(store: Store) -> None:
    record(
        store,
        "a",
        [
            started("a"),
            exposed("1", "control"),
            served("1"),
            exposed("2", "new-1"),
            exposed("3", "control"),
            typing(3.6e6),
        ],
    )
    found = asked(store, unit=Unit.REQUEST)
    assert found.num_units(Unit.REQUEST) == [1, 1]
    assert found.sample("served_rate").den_ua.tolist() == [[2, 1]]
    assert found.counts["active_hours"].tolist() == [0, 0]


def test_losses_are_counted_by_arm(store: Store) -> None:
    lines = lines_of(
        [started("a"), exposed("1", "control"), *(served(f"{n}") for n in range(6))],
        "s",
        start_ms=START_MS,
    )
    store.put("s-0.jsonl", [line for n, line in enumerate(lines) if n != 4])
    record(store, "t", [started("b"), exposed("2", "new-1"), SessionEnded(num_events_dropped=0)])
    store.clock.now_ms = START_MS + DAY_MS
    store.merge()
    registered = experiment()
    with reading(store.spool, store.warehouse) as connection:
        found = read_losses(connection, registered, Span.of(registered, START_MS + DAY_MS))
    assert [tuple(each) for each in found] == [("control", 1, 1, 1, 8, 1), ("new-1", 1, 0, 0, 3, 0)]


@pytest.mark.parametrize("unit", list(Unit), ids=str)
def test_an_experiment_without_data_has_no_rows(store: Store, unit: Unit) -> None:
    found = asked(store, unit=unit)
    assert (found.num_users, found.num_units(unit)) == (0, [0, 0])
    assert np.asarray(found.sample("slow_rate").num_ua).shape == (0, 2)
