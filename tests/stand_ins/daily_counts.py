"""What the view `daily_facts` must be: the sums of the view `facts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.telemetry.conftest import Store

KEYS = (
    "day, session_id, who, user_key, team, editor, editor_version, plugin_version, "
    "server_version, language, trigger, backend, model, model_digest"
)
COUNTS = (
    *("requests", "served", "shown", "seen", "taken", "rejected", "typed_through", "unresolved"),
    *("undone", "cancelled", "errors", "shown_chars", "accepted_chars", "looked_at_chars"),
    *("kept_chars", "inserted_chars", "completed_chars", "entered_chars"),
)


def assert_counts_are_exact(store: Store) -> int:
    """Compare both views row by row, and return how many requests there are."""
    sums = ", ".join(f"sum({name})::bigint as {name}" for name in COUNTS)
    slow, fast = (
        store.rows(f"select {KEYS}, {sums} from {view} group by all order by all")
        for view in ("facts", "daily_facts")
    )
    assert slow == fast
    hours = "select session_id, active_hours from {} where requests is null order by all"
    assert store.rows(hours.format("facts")) == store.rows(hours.format("daily_facts"))
    ((count,),) = store.rows("select count(*) from opportunities")
    assert [(count,)] == store.rows("select coalesce(sum(requests), 0) from daily_facts")
    return count
