"""What the view `daily_facts` must be: the sums of the view `facts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.reader import reading

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
    sql = f"select {KEYS}, {sums}, max(active_hours) from {{}} group by all order by all"
    with reading(store.spool, store.warehouse) as connection:
        slow = connection.execute(sql.format("facts")).fetchall()
        fast = connection.execute(sql.format("daily_facts")).fetchall()
        row = connection.execute("select count(*) from opportunities").fetchone()
    assert slow == fast
    count = sum(each[len(KEYS.split(","))] or 0 for each in fast)
    assert row == (count,)
    return count
