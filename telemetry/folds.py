"""From events to one row a request, kept beside the events, so that questions need not fold again.

New events change the rows of the requests that they belong to, and of every request of a session
whose start they hold. Those requests, and no others, are folded anew from all their events, the
old and the new; so the result depends neither on the order of events nor on how often they come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.texts import query

if TYPE_CHECKING:
    import duckdb

KEY = "coalesce(completion_id, opportunity_id)"
"""What the events of a request share, within their session."""
_OF_REQUESTS = "ev in ('opportunity', 'served', 'shown', 'resolved', 'undone', 'retained')"


class Sources(NamedTuple):
    """Queries for what is there, the new events included."""

    events: str
    session_parts: str


def fold_fresh(db: duckdb.DuckDBPyConnection, sources: Sources) -> list[str]:
    """Fold the requests that the table `fresh` changes.

    Creates the tables `keys` (session_id, key) and `folded`. Returns the days whose rows change:
    those where the rows are now, and where they were.

    Args:
        db: A connection with the new events in the table `fresh`.
        sources: All events and parts of sessions.
    """
    db.execute(
        "create temp table keys as select distinct session_id, key from ("  # noqa: S608 - our own queries
        f"select session_id, {KEY} as key from fresh where {_OF_REQUESTS} "
        f"union all select session_id, {KEY} from ({sources.events}) where {_OF_REQUESTS} "
        "and session_id in (select session_id from fresh where ev = 'session_started'))"
    )
    db.execute(
        "create temp table events as "  # noqa: S608 - our own queries
        f"select e.* from ({sources.events}) as e semi join keys "
        f"on e.session_id = keys.session_id and coalesce(e.completion_id, e.opportunity_id) = key "
        "where e.session_id in (select session_id from fresh)"
    )
    db.execute(
        "create temp view session_parts as "  # noqa: S608 - our own queries
        f"select * from ({sources.session_parts}) "
        "where session_id in (select session_id from fresh)"
    )
    db.execute(f"create temp view sessions as {query('sessions')}")
    db.execute(f"create temp table folded as {query('requests')}")
    days = db.execute(
        "select distinct day::varchar from (select day from folded union all "  # noqa: S608 - our own query
        f"select min(day) from events anti join fresh using (session_id, seq) "
        f"group by session_id, {KEY}) where day is not null order by all"
    ).fetchall()
    for name, kind in (("events", "table"), ("sessions", "view"), ("session_parts", "view")):
        db.execute(f"drop {kind} {name}")
    return [day for (day,) in days]


def unchanged(requests: str, *, keys: str = "from keys") -> str:
    """Return a query for those rows of the query `requests` that `keys` does not hold."""
    return (
        f"from ({requests}) as r select * where not exists "
        f"(from ({keys}) as keys where keys.session_id = r.session_id "
        "and keys.key = coalesce(r.completion_id, r.opportunity_id))"
    )
