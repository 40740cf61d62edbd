"""An analyst who asks without end: `python analyst.py DATA` says `ok` or what went wrong."""

import sys
from pathlib import Path

from telemetry.reader import reading
from telemetry.warehouse import Warehouse

QUERIES = (
    # No event twice, and each completion once.
    "select count(*) = count(distinct (session_id, seq)) from events",
    "select count(*) = count(distinct (session_id, completion_id)) from completions",
    # Counts and rows agree.
    "select count(*) = (select sum(num_served) from metrics) from completions",
    # What was recorded before is there before: no event is missing between others, and no outcome
    # comes before what it is the outcome of.
    "select bool_and(num_lost = 0) from sessions",
    "select count(*) = count(served_at_ms) from completions",
)


def main() -> None:
    """Ask until killed."""
    data = Path(sys.argv[1])
    while True:
        with reading(data / "spool", Warehouse(data / "warehouse")) as connection:
            for query in QUERIES:
                (row,) = connection.execute(query).fetchall()
                sys.stdout.write("ok\n" if row[0] in {True, None} else f"wrong: {query}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
