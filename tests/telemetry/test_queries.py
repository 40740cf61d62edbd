"""Views and metrics against values worked out by hand."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fimble.events import (
    SESSION_END_S,
    Event,
    Exposed,
    Kept,
    NotServed,
    Outcome,
    Source,
    Typing,
    Undone,
    Unit,
)
from telemetry.reader import reading
from telemetry.texts import query
from telemetry.views import VIEWS
from telemetry.warehouse import Warehouse
from tests.stand_ins.hand_clock import HandClock
from tests.stand_ins.made_events import (
    ENDED,
    STARTED,
    missed,
    resolved,
    retained,
    served,
    shown,
)
from tests.stand_ins.spool_writer import START_MS, lines_of, session
from tests.telemetry.conftest import Store

KEPT = ("state", "rate", "chars", "lines")


def record(store: Store, events: list[Event], name: str = "s") -> None:
    store.put(f"{name}-0.jsonl", lines_of(events, name))
    store.merge()


def row(store: Store, sql: str) -> dict[str, object]:
    """Return the only row of a query, by the names of its columns."""
    with reading(store.spool, store.warehouse) as connection:
        result = connection.execute(sql)
        names = [column[0] for column in result.description or []]
        (values,) = result.fetchall()
    return dict(zip(names, values, strict=True))


WHOLE_ROW = {
    "day": "2026-09-01",
    "session_id": "s",
    "opportunity_id": "o-c",
    "completion_id": "c",
    "user_key": "u",
    "key_epoch": 1,
    "team": "core",
    "level": "keys",
    "editor": "Neovim",
    "editor_version": "0.12",
    "plugin_version": "0.2",
    "server_version": "1",
    "at_ms": START_MS + 1000,
    "served_at_ms": START_MS + 1000,
    "language": "python",
    "trigger": "automatic",
    "scope": "line",
    "cache": "miss",
    "model": "m",
    "model_digest": "d",
    "backend": "tgi",
    "prefix_chars": 1,
    "suffix_chars": 2,
    "prompt_tokens": 3,
    "cached_tokens": 1,
    "num_snippets": 2,
    "snippet_bytes": 99,
    "generated_tokens": 4,
    "num_chars": 10,
    "num_lines": 1,
    "mean_logprob": -1.0,
    "stop_reason": "line",
    "debounce_ms": 0.0,
    "first_token_ms": 50.0,
    "total_ms": 100.0,
    "head_chars": 7,
    "behind_chars": 2,
    "is_in_word": True,
    "since_taken_ms": 900.0,
    "since_rejected_ms": -1.0,
    "filter_digest": "f" * 16,
    "filter_score": 0.25,
    "filter_propensity": 0.05,
    "is_shown": True,
    "shown_source": "inferred",
    "shown_delay_ms": 350.0,
    "outcome": "accepted",
    "outcome_source": "inferred",
    "resolved_at_ms": START_MS + 3000,
    "visible_ms": 1000.0,
    "accepted_chars": 10,
    "accepted_lines": 1,
    "typed_chars": 0,
    "accept_kind": "full",
    "num_accepts": 1,
    "is_undone": True,
    "undone_after_ms": 900.0,
    **{f"kept_{what}_{when}": None for what in KEPT for when in ("120s", "300s")},
    "kept_state_30s": "kept",
    "kept_rate_30s": 0.9,
    "kept_chars_30s": 9,
    "kept_lines_30s": 1,
    **{f"kept_{what}_600s": None for what in KEPT},
    "kept_state_600s": "unknown",
    "kept_state_end": "removed",
    "kept_rate_end": 0.2,
    "kept_chars_end": 2,
    "kept_lines_end": 0,
    "kept_age_end_ms": 40_000.0,
    "is_taken": True,
    "is_seen": True,
    "kept_chars": 2,
}


def test_a_completion_is_one_row_with_what_all_its_events_say(store: Store) -> None:
    record(
        store,
        [
            STARTED,
            served("c"),
            shown("c"),
            resolved("c", Outcome.ACCEPTED, chars=10),
            Undone(completion_id="c", undone_after_ms=900.0),
            retained("c", 30, Kept.KEPT, chars=9),
            retained("c", SESSION_END_S, Kept.REMOVED, chars=2),
            retained("c", 600, Kept.UNKNOWN),
            ENDED,
        ],
    )
    found = row(store, "from completions")
    assert found | {"day": str(found["day"])} == WHOLE_ROW


def test_a_request_that_got_nothing_is_a_row_of_its_own(store: Store) -> None:
    record(store, [STARTED, missed("o-x", NotServed.FILTERED), served("c"), ENDED])
    columns = "opportunity_id, completion_id, is_served, not_served_reason, not_served_detail"
    more = "language, trigger, total_ms, outcome, user_key"
    more += f", at_ms - {START_MS}"
    assert store.rows(f"select {columns}, {more} from opportunities order by at_ms") == [
        ("o-x", None, False, "filtered", "nothing", "go", "invoked", 70.0, None, "u", 1000),
        ("o-c", "c", True, None, None, "python", "automatic", 100.0, "unresolved", "u", 2000),
    ]
    assert store.rows("select completion_id from completions") == [("c",)]
    assert store.rows("select num_completions, num_not_served from sessions") == [(1, 1)]


def test_arms_and_typing_come_with_their_user(store: Store) -> None:
    exposed = Exposed(
        opportunity_id="o-c",
        experiment="pause",
        arm="short",
        unit=Unit.REQUEST,
        bucket=17,
        is_eligible=True,
        flag_reason="SPLIT",
        propensity=0.5,
    )
    typing = Typing(
        language="python",
        period_ms=300_000.0,
        active_ms=60_000.0,
        inserted_chars=50,
        completed_chars=40,
        deleted_chars=3,
        pasted_chars=7,
    )
    record(store, [STARTED, exposed, served("c"), typing])
    columns = "opportunity_id, experiment, arm, unit, bucket, is_eligible, propensity, user_key"
    assert store.rows(f"select {columns} from exposures") == [
        ("o-c", "pause", "short", "request", 17, True, 0.5, "u")
    ]
    columns = "language, active_ms, inserted_chars, completed_chars, deleted_chars, pasted_chars"
    assert store.rows(f"select {columns}, team from typing") == [
        ("python", 60_000.0, 50, 40, 3, 7, "core")
    ]


@pytest.mark.parametrize(
    ("events", "is_shown", "outcome"),
    [
        ([served("c")], False, "unresolved"),
        ([served("c"), shown("c")], True, "unresolved"),
        ([served("c"), resolved("c", Outcome.NOT_SHOWN)], False, "not_shown"),
        ([served("c"), resolved("c", Outcome.REJECTED)], True, "rejected"),
        ([resolved("c", Outcome.EXPIRED)], True, "expired"),
        ([shown("c")], True, "unresolved"),
        (
            [
                served("c"),
                resolved("c", Outcome.REJECTED),
                resolved("c", Outcome.ACCEPTED, source=Source.EDITOR),
                resolved("c", Outcome.EXPIRED),
            ],
            True,
            "accepted",
        ),
    ],
)
def test_what_was_not_recorded_is_not_made_up(
    store: Store, events: list[Event], *, is_shown: bool, outcome: str
) -> None:
    record(store, events)
    assert store.rows("select is_shown, outcome from completions") == [(is_shown, outcome)]


def test_acceptance_is_what_one_counts_by_hand(store: Store) -> None:
    record(
        store,
        [
            STARTED,
            *(served("a"), shown("a"), resolved("a", Outcome.ACCEPTED, visible_ms=300, chars=10)),
            *(served("b"), shown("b"), resolved("b", Outcome.ACCEPTED_PART, chars=4)),
            *(served("c"), shown("c"), resolved("c", Outcome.REJECTED, visible_ms=749)),
            *(served("d"), shown("d"), resolved("d", Outcome.REJECTED, visible_ms=750)),
            *(served("e"), shown("e"), resolved("e", Outcome.TYPED_THROUGH, visible_ms=100)),
            *(served("f"), resolved("f", Outcome.NOT_SHOWN, visible_ms=0)),
            *(served("g"), shown("g")),
        ],
        "s",
    )
    record(store, [STARTED, served("h"), shown("h"), resolved("h", Outcome.ACCEPTED, chars=6)], "t")
    counts = "num_served, num_shown, num_seen, num_taken, num_typed_through, num_rejected, "
    counts += "num_unresolved, shown_chars, accepted_chars"
    assert row(store, f"select {counts} from metrics") == {
        "num_served": 8,
        "num_shown": 7,
        "num_seen": 4,  # a, b, d, h
        "num_taken": 3,  # a, b, h
        "num_typed_through": 1,
        "num_rejected": 2,
        "num_unresolved": 1,
        "shown_chars": 70,
        "accepted_chars": 20,
    }
    rates = "select acceptance_rate_750, acceptance_rate, taken_per_served_rate, "
    rates += "accepted_chars_rate, typed_through_rate, rejected_rate, unresolved_rate from metrics"
    assert store.rows(rates) == [(3 / 4, 3 / 7, 3 / 8, 20 / 70, 1 / 7, 2 / 7, 1 / 8)]


def test_metrics_of_nothing_shown_are_null_not_zero(store: Store) -> None:
    record(store, [STARTED, served("a"), resolved("a", Outcome.NOT_SHOWN)])
    sql = "select num_served, acceptance_rate_750, acceptance_rate, rejected_rate from metrics"
    assert store.rows(sql) == [(1, None, None, None)]


def test_latency_is_a_histogram_that_adds_up(store: Store) -> None:
    totals = [10.0, 20.0, 30.0, 40.0, 100.0, 100.0]
    events = [served(str(n), total_ms=ms) for n, ms in enumerate(totals)]
    record(store, [STARTED, *events, shown("0")])
    sql = "select measure, sum(num_served), count(*), bool_and(low_ms < high_ms) from latency"
    assert sorted(store.rows(f"{sql} group by measure")) == [
        ("first_token_ms", 6, 5, True),
        ("shown_delay_ms", 1, 1, True),
        ("total_ms", 6, 5, True),
    ]
    sql = "select bucket, num_served, low_ms < 100 and 100 <= high_ms from latency"
    assert store.rows(f"{sql} where measure = 'total_ms' order by bucket desc limit 1") == [
        (231, 2, True)
    ]


def test_loss_is_counted_from_the_gaps(store: Store) -> None:
    lines = lines_of([STARTED, *(served(f"c{n}") for n in range(8)), ENDED], "s")
    store.put("s-0.jsonl", [line for n, line in enumerate(lines) if n not in {0, 3, 4}])
    store.put("t-0.jsonl", lines_of([STARTED, served("x")], "t"))
    store.merge()
    columns = "num_events, num_expected, num_lost, num_dropped, is_ended, editor, num_completions"
    assert store.rows(f"select session_id, {columns} from sessions order by session_id") == [
        ("s", 7, 10, 3, 2, True, None, 6),
        ("t", 2, 2, 0, None, False, "Neovim", 1),
    ]
    times = "select started_at_ms, last_event_at_ms from sessions where session_id = 't'"
    assert store.rows(times) == [(START_MS, START_MS + 1000)]


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_events_and_their_copies_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    whole = lines_of(session(12, seed=seed), "s")
    mixed = chance.choices(whole, k=10) + whole
    chance.shuffle(mixed)
    results = []
    for number, lines in enumerate((whole, mixed)):
        folder = tmp_path_factory.mktemp("store")
        store = Store(folder, Warehouse(folder / f"w{number}"), HandClock(START_MS))
        half = chance.randrange(len(lines))
        store.put("s-0.jsonl", lines[:half])
        store.merge()
        store.put("s-1.jsonl", lines[half:])
        with reading(store.spool, store.warehouse) as connection:
            views = (*VIEWS, "metrics")
            results.append([connection.sql(f"from {v} order by all").fetchall() for v in views])
    assert results[0] == results[1]
    assert all(results[0])


@pytest.mark.parametrize("name", [*VIEWS, "totals", "lossy_sessions"])
def test_a_query_file_says_its_grain_and_parameters_and_can_be_explained(
    store: Store, name: str
) -> None:
    text = query(name)
    header = [line for line in text.splitlines() if line.startswith("--")]
    assert any(line.startswith("-- grain: one row") for line in header)
    assert "-- params: none" in header
    body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert body == body.lower()
    with reading(store.spool, store.warehouse) as connection:
        assert connection.execute(f"explain {text}").fetchall()
