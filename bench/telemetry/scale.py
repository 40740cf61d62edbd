"""Fifty million completions on this machine: how long questions take, and how much memory.

    python -m bench.telemetry.scale [--completions N] [--folder DIR]

The company is simulated. To have many users in less time, each simulated user stands for `COPIES`
under other names. Otherwise files are as merges leave them: months that are over are compacted,
which is timed as well. Each question is asked three
times, in a process of its own; the table has the medians, views and plan included, and the largest
memory of those processes. The disk's cache is warm after the first. In the end every request of two
days is counted in plain Python, and compared with what the questions are answered from.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.telemetry.naive import agreement
from fimble.clock import SystemClock
from telemetry.compaction import compact
from telemetry.days import write_rows
from telemetry.simulate.bulk import write_warehouse
from telemetry.simulate.company import SERVED_SHARE, Simulation
from telemetry.texts import parquet_query, quoted
from telemetry.views import connect, publish
from telemetry.warehouse import DayFile, Kind, Manifest, Warehouse

NUM_DAYS, COPIES = 90, 10
CHECKED_DAYS, SEED = 2, 1
REQUESTS_PER_DAY = 28.5
"""Of the average simulated user, weekends included."""
_MORE_NAMES = {Kind.REQUESTS: ["opportunity_id", "completion_id"], Kind.DAILY: ["who"]}
SOME_USER = "select user_key from sessions order by md5(user_key) limit 1"
QUESTIONS = {
    "acceptance by day, language and model": """\
select day, language, model, sum(taken) / sum(seen) as acceptance_rate_750,
    sum(taken) / sum(requests) as taken_per_opportunity,
    sum(accepted_chars) / sum(shown_chars) as accepted_chars_rate
from daily_facts where requests > 0 group by all order by all""",
    "the same, from each request": """\
select day, language, model, sum(taken) / sum(seen) as acceptance_rate_750,
    sum(taken) / sum(requests) as taken_per_opportunity,
    sum(accepted_chars) / sum(shown_chars) as accepted_chars_rate
from facts where requests = 1 group by all order by all""",
    "the same, from the view `metrics`": """\
select day, language, model, sum(num_taken) / sum(num_seen) as acceptance_rate_750,
    sum(num_taken) / sum(num_requests) as taken_per_opportunity,
    sum(accepted_chars) / sum(shown_chars) as accepted_chars_rate
from metrics group by all order by all""",
    "all rows of a user": "select * from completions where user_key = {user}",
    "acceptance_rate_750 by day, language, model, with intervals": (
        "metric acceptance_rate_750 --by day,language,model"
    ),
    "acceptance_rate_750 by language, with intervals": "metric acceptance_rate_750 --by language",
    "kept_chars_rate by model and editor": "metric kept_chars_rate --by model,editor",
    "total_ms by day and model, percentiles": "metric total_ms --by day,model",
}


def main() -> None:
    """Make the warehouse unless it is there, and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--completions", type=float, default=50e6)
    parser.add_argument("--folder", type=Path, default=Path("build/bench-telemetry"))
    parser.add_argument("--ask", choices=QUESTIONS, help="ask one of them, and print one JSON line")
    parser.add_argument("--times", type=int, default=3, help="how often each is asked")
    options = parser.parse_args()
    warehouse = Warehouse(options.folder / f"{options.completions:.0f}")
    if options.ask:
        print(json.dumps(_asked(warehouse, options.ask)))
        return
    if not warehouse.database.exists():
        _make(warehouse, int(options.completions))
    _show(warehouse, options)
    print(f"\n{agreement(warehouse, num_days=CHECKED_DAYS, seed=SEED)}")


def _make(warehouse: Warehouse, num_completions: int) -> None:
    """Write a warehouse with about so many completions."""
    per_user = SERVED_SHARE * REQUESTS_PER_DAY * NUM_DAYS * COPIES
    num_users = max(round(num_completions / per_user), 1)
    with TemporaryDirectory(dir=_made(warehouse.folder.parent)) as folder:
        start = time.perf_counter()
        few = Warehouse(Path(folder))
        write_warehouse(
            Simulation(num_users=num_users, num_days=NUM_DAYS, start=date(2026, 6, 1), seed=1), few
        )
        days = {day: _copied(few, warehouse, files) for day, files in few.manifest().days.items()}
    manifest = Manifest(generation=1, days=days)
    warehouse.save(manifest)
    print(f"made in {time.perf_counter() - start:.0f} s")
    _compact(warehouse)


def _compact(warehouse: Warehouse) -> None:
    """Do what merges do with months that are over."""
    while True:
        before, start, start_cpu_s = warehouse.manifest(), time.perf_counter(), time.process_time()
        if compact(warehouse, before, SystemClock()) == before:
            break
        took = f"{time.perf_counter() - start:.0f} s, {time.process_time() - start_cpu_s:.0f} CPU s"
        print(f"compacted a month in {took}, peak memory {_peak_gb():.2f} GB")
        sys.stdout.flush()
    after = replace(warehouse.manifest(), retired={})  # nobody reads the files of days
    warehouse.save(after)
    warehouse.remove_unnamed(after)
    publish(warehouse, after)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _copied(few: Warehouse, many: Warehouse, files: DayFile) -> DayFile:
    """Write the files of a day with each user under `COPIES` names."""
    counts: dict[Kind, int] = {}
    with TemporaryDirectory() as work, connect(work) as db:
        for kind in Kind:
            rows = parquet_query([few.path_of(files, kind)])
            if kind is Kind.LATENCY:
                more = f"from ({rows}) select * replace (num_served * {COPIES} as num_served)"
                write_rows(db, more, many.path_of(files, kind), kind)
                continue
            names = ["session_id", "user_key", *_MORE_NAMES.get(kind, [])]
            renamed = ", ".join(f"chr(97 + copy::int) || substr({n}, 2) as {n}" for n in names)
            wider = f"select * exclude (copy) replace ({renamed}) from ({rows}) "  # noqa: S608 - our own names
            wider += f"cross join range({COPIES}) as copies (copy)"
            counts[kind] = write_rows(db, wider, many.path_of(files, kind), kind)
    return replace(files, num_events=counts[Kind.EVENTS], num_requests=counts[Kind.REQUESTS])


def _asked(warehouse: Warehouse, name: str) -> dict[str, float]:
    """Ask one question, and say how long it took and how much memory."""
    from telemetry.metrics.command import question_from
    from telemetry.metrics.question import sql_of
    from telemetry.reader import reading

    text = QUESTIONS[name]
    spool = warehouse.folder / "no-spool"
    if "{user}" in text:
        with reading(spool, warehouse) as connection:
            (user,) = connection.execute(SOME_USER).fetchone() or ("",)
        text = text.replace("{user}", quoted(user))
    start, start_cpu_s, start_bytes = time.perf_counter(), time.process_time(), _bytes_read()
    with reading(spool, warehouse) as connection:
        if text.startswith("metric "):
            text = sql_of(connection, question_from(text.split()[1:]))
        num_rows = len(connection.execute(text).fetchall())
    return {
        "rows": num_rows,
        "seconds": time.perf_counter() - start,
        "cpu_s": time.process_time() - start_cpu_s,
        "read_mb": (_bytes_read() - start_bytes) / 1e6,
        "peak_gb": _peak_gb(),
    }


def _peak_gb() -> float:
    """Return the most memory that this process has had."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _bytes_read() -> int:
    """Return how much this process has read, the disk's cache included; 0 where nobody says."""
    counters = Path("/proc/self/io")
    lines = counters.read_text().splitlines() if counters.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("rchar")), 0)


def _show(warehouse: Warehouse, options: argparse.Namespace) -> None:
    days = warehouse.manifest().days.values()
    size_gb = sum(
        path.stat().st_size for kind in Kind for path in warehouse.folder.glob(f"{kind}/*")
    )
    print(
        f"{sum(day.num_requests for day in days):,} requests, {len(days)} days, "
        f"{size_gb / 1e9:.2f} GB of Parquet, {os.cpu_count()} cores\n"
    )
    print(
        "| question | rows | seconds | CPU seconds | MB read | peak memory |\n"
        "|---|--:|--:|--:|--:|--:|"
    )
    for name in QUESTIONS:
        found = [_in_a_process(name, options) for _ in range(options.times)]
        seconds, cpu_s, read_mb = (
            statistics.median(each[k] for each in found) for k in ("seconds", "cpu_s", "read_mb")
        )
        peak_gb = max(each["peak_gb"] for each in found)
        rows = f"{found[0]['rows']:,.0f}"
        print(
            f"| {name} | {rows} | {seconds:.2f} | {cpu_s:.2f} | {read_mb:,.0f} | {peak_gb:.2f} GB |"
        )
        sys.stdout.flush()


def _in_a_process(name: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.telemetry.scale", "--ask", name]
    command += ["--completions", str(options.completions), "--folder", str(options.folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
