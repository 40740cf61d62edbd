"""What judging one answer costs: ours in a sandbox, against compiling and running it plainly.

    python -m bench.eval.languages [--benchmarks DIR] [--languages L,..] [-n N] [--json]

Both ways take turns on the same program, so that a busy machine is as busy for both. Of the five
languages of HumanEval-X, programs are its true answers, evenly drawn; of the others, one small
function. The first program of each is not counted: it starts what stays, such as compilers. CPU
time is that of all processes that compile or run the program; the wall clock of ours has the whole
sandbox in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.eval.plainly import PLAINLY, lacking, prepared
from eval_harness.languages.registry import judge_for
from eval_harness.sandbox.tiers import open_sandbox
from eval_harness.suites.registry import open_suite
from eval_harness.verdict import State
from tests.eval_harness.languages.programs import QUESTIONS

if TYPE_CHECKING:
    from eval_harness.languages.language import Judge
    from eval_harness.problem import Problem

SUITE = "humaneval-x"
AT_LEAST = {"java": 3.0, "cpp": 3.0, "typescript": 3.0}
"""How many times cheaper than the plain way it has to be."""


class Took(NamedTuple):
    """What one program took."""

    cpu_ms: float
    wall_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One language's costs per program, medians."""

    language: str
    num_programs: int
    ours_cpu_ms: float
    plain_cpu_ms: float
    ours_wall_ms: float
    plain_wall_ms: float

    @property
    def times_cheaper(self) -> float:
        """How many times our CPU time the plain way takes."""
        return self.plain_cpu_ms / self.ours_cpu_ms


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", type=Path, help="folder of the benchmark files")
    parser.add_argument("--languages", default=",".join(sorted(QUESTIONS)))
    parser.add_argument("-n", type=int, default=10, help="programs of each language")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sandbox = open_sandbox()
    rows = []
    for language in arguments.languages.split(","):
        judge = judge_for(language, sandbox)
        if package := lacking(language):
            _say(f"{language}: nothing to compare with (apt-get install --yes {package})")
        elif judge.toolchain().version:
            problems = _problems(language, arguments.n + 1, arguments.benchmarks)
            rows.append(_measure(judge, problems))
            _say(f"{language}: {rows[-1].times_cheaper:.1f} times")
        else:
            _say(f"{language}: missing ({judge.toolchain().install})")
        judge.close()
    tier = sandbox.tier
    sandbox.close()
    if arguments.json:
        print(json.dumps({"tier": tier, "languages": [asdict(row) for row in rows]}, indent=2))
    else:
        print(_table(rows, tier))
    slow = [row.language for row in rows if row.times_cheaper < AT_LEAST.get(row.language, 0.0)]
    return 1 if slow else 0


def _problems(language: str, number: int, benchmarks: Path | None) -> list[Problem]:
    if benchmarks and language in {"cpp", "go", "java", "javascript", "rust"}:
        suite = open_suite(SUITE, benchmarks=benchmarks, languages=frozenset({language}))
        good = [each for each in suite.problems if each.key not in suite.known_bad]
        return good[:: max(1, len(good) // number)][:number]
    return [QUESTIONS[language].problem(language)] * number


def _measure(judge: Judge, problems: list[Problem]) -> Row:
    ours: list[Took] = []
    plain: list[Took] = []
    with tempfile.TemporaryDirectory() as folder:
        place = prepared(judge.language, Path(folder))
        for problem in problems:
            answer = problem.canonical or ""
            start = time.perf_counter()
            verdict = judge.judge(problem, answer)
            wall_ms = 1000 * (time.perf_counter() - start)
            assert verdict.state is State.PASSED, (problem.problem_id, verdict)
            ours.append(Took(verdict.cpu_ms, wall_ms))
            plain.append(_plainly(judge.language, problem, answer, place))
    counted_ours, counted_plain = ours[1:], plain[1:]
    return Row(
        language=judge.language,
        num_programs=len(counted_ours),
        ours_cpu_ms=statistics.median(each.cpu_ms for each in counted_ours),
        plain_cpu_ms=statistics.median(each.cpu_ms for each in counted_plain),
        ours_wall_ms=statistics.median(each.wall_ms for each in counted_ours),
        plain_wall_ms=statistics.median(each.wall_ms for each in counted_plain),
    )


def _plainly(language: str, problem: Problem, answer: str, place: Path) -> Took:
    """Compile and run a program as the benchmarks' own scripts do."""
    commands = PLAINLY[language](problem, answer, place)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for command in commands:
        done = subprocess.run(
            command.argv, cwd=place, capture_output=True, env={**os.environ, **command.env},
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (problem.problem_id, command.argv, done.stderr[-2000:])
    wall_ms = 1000 * (time.perf_counter() - start)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Took(1000 * cpu_s, wall_ms)


def _table(rows: list[Row], tier: str) -> str:
    lines = [
        f"Medians per program; ours runs in the tier {tier}.\n",
        "| language | programs | ours: CPU ms | plain: CPU ms | times | ours: wall | plain: wall |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.language} | {row.num_programs} | {row.ours_cpu_ms:.0f} | {row.plain_cpu_ms:.0f} "
        f"| {row.times_cheaper:.1f} | {row.ours_wall_ms:.0f} | {row.plain_wall_ms:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
