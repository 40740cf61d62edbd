"""Judges some Python answers in one tier, and prints the verdicts; started by an ordinary user."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from eval_harness.languages.python import make_judge
from eval_harness.problem import Extent, Kind, Problem
from eval_harness.sandbox.launch import LAUNCHES
from eval_harness.sandbox.pool import WorkerPool
from eval_harness.sandbox.tiers import available_tiers

ANSWERS = {
    "right": "    return x + 1\n",
    "wrong": "    return x\n",
    "exits": "    import os\n    os._exit(0)\n",
    "leaves a process": (
        "    import os, time\n    if os.fork() == 0:\n        time.sleep(100)\n    return x + 1\n"
    ),
    "right after that": "    return x + 1\n",
    "signals its group": "    import os\n    os.kill(0, 9)\n    return x + 1\n",
    "imports": "    import datetime, decimal, random, statistics\n    return x + 1\n",
}


def main() -> None:
    """Judge each answer, one after the other."""
    name, _, abi = sys.argv[1].partition(" ")
    if why_not := available_tiers()[name]:
        sys.stdout.write(json.dumps({"missing": why_not}))
        return
    launch = LAUNCHES[name]
    pool = WorkerPool(replace(launch, max_landlock_abi=int(abi)) if abi else launch)
    judge = make_judge(pool)
    problem = Problem(
        problem_id="p",
        group="p",
        language="python",
        kind=Kind.COMPLETE,
        extent=Extent.BLOCK,
        prompt="def f(x):\n",
        tests="def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(3) == 4\n",
        entry_point="f",
    )
    states = {name: judge.judge(problem, answer).state for name, answer in ANSWERS.items()}
    pool.close()
    sys.stdout.write(json.dumps(states))
