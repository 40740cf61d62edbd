"""The end of the demo: latencies that were measured, and acceptance read back from DuckDB."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from eval_harness.sessions.person import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.demo.screen import Screen
    from eval_harness.sessions.person import Tally

BY_LANGUAGE = """\
select coalesce(metrics.language, 'all') as language,
    sum(num_served)::int as served, sum(num_shown)::int as shown,
    sum(num_taken)::int as accepted, round(sum(num_taken) / sum(num_shown), 2) as acceptance_rate
from metrics group by rollup (metrics.language) order by metrics.language nulls last"""
TOTAL = "select sum(num_taken)::int as accepted from metrics"


def show_latencies(tally: Tally, screen: Screen) -> None:
    """Print count, median and 95th percentile of each kind of request."""
    screen.say(f"\n{'latency of a request':<26}{'count':>6}{'p50 ms':>9}{'p95 ms':>9}")
    for kind in Kind:
        values = sorted(s.latency_ms for s in tally.samples if s.kind is kind)
        if values:
            p95_ms = values[min(len(values) - 1, int(len(values) * 0.95))]
            p50_ms = statistics.median(values)
            screen.say(f"{kind.value:<26}{len(values):>6}{p50_ms:>9.1f}{p95_ms:>9.1f}")
    screen.say(
        f"\n{tally.num_keys} keys; {tally.num_taken_chars} characters were accepted, not typed; "
        f"{tally.num_overtaken} requests were overtaken by the next key.\n"
        f"{tally.num_drawn} suggestions came onto the screen, {tally.num_judged} were read, "
        f"{tally.num_taken} accepted, {tally.num_taken_parts} in part."
    )


def show_acceptance(environment: Mapping[str, str], screen: Screen) -> int:
    """Print what `fimble telemetry sql` says, and return how many suggestions were accepted."""
    screen.say(f'\n$ fimble telemetry sql "{BY_LANGUAGE}"')
    screen.say(_sql(BY_LANGUAGE, "table", environment).rstrip())
    rows = json.loads(_sql(TOTAL, "json", environment))
    return int(rows[0]["accepted"] or 0)


def _sql(query: str, form: str, environment: Mapping[str, str]) -> str:
    command = [sys.executable, "-m", "fimble", "telemetry", "sql", query, "--format", form]
    done = subprocess.run(
        command, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout
