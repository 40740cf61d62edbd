"""Whether our judges say what MBXP's owners say: the answers that they publish with their data.

    python -m bench.eval.calibration FOLDER [--languages L,..] [-n N] [--solutions] [--json]

FOLDER is `data/mbxp` of https://github.com/amazon-science/mxeval. Its `examples/*_samples.jsonl`
have one answer to each problem, and its README says what share of them passes. With `--solutions`
the `canonical_solution` of each problem that has one is judged instead: models wrote those as well,
and nobody says how many are right. `-n` takes so many problems of each language, evenly drawn.
Exits with 1 where a share is more than 1.5 points and more than two standard errors off.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages.registry import judge_for
from eval_harness.sandbox.tiers import open_sandbox
from eval_harness.suites.records import read_records
from eval_harness.suites.shapes import mxeval
from eval_harness.verdict import NOT_JUDGED, State

if TYPE_CHECKING:
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox

OWNERS_PERCENT = {
    "cpp": ("mbcpp", 79.60),
    "csharp": ("mbcsp", 63.63),
    "go": ("mbgp", 39.19),
    "java": ("mbjp", 85.30),
    "javascript": ("mbjsp", 78.67),
    "perl": ("mbplp", 38.41),
    "php": ("mbphp", 72.77),
    "python": ("mbpp", 82.24),
    "ruby": ("mbrbp", 58.90),
    "typescript": ("mbtsp", 87.29),
}
"""Name of the files and share of the samples that pass, by language: from the owners' README."""
TOLERANCE_POINTS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One language."""

    language: str
    num_judged: int
    percent: float
    owners_percent: float | None
    """None for solutions."""
    states: dict[str, int]

    @property
    def is_far(self) -> bool:
        """Return whether chance and small differences of versions do not explain the share."""
        if self.owners_percent is None or not self.num_judged:
            return False
        share = self.owners_percent / 100
        error = 100 * math.sqrt(share * (1 - share) / self.num_judged)
        return abs(self.percent - self.owners_percent) > max(TOLERANCE_POINTS, 2 * error)


def main() -> int:
    """Judge and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--languages", default=",".join(OWNERS_PERCENT))
    parser.add_argument("-n", type=int, default=0, help="problems of each language; 0 is all")
    parser.add_argument("--solutions", action="store_true", help="judge the true answers")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    sandbox = open_sandbox()
    for language in arguments.languages.split(","):
        questions = questions_of(arguments.folder, language, is_solutions=arguments.solutions)
        step = max(1, len(questions) // arguments.n) if arguments.n else 1
        chosen = questions[::step][: arguments.n or None]
        rows.append(judged(sandbox, language, chosen, is_solutions=arguments.solutions))
        print(f"{language}: {rows[-1].percent:.2f}", file=sys.stderr, flush=True)
    sandbox.close()
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print(table(rows))
    return 1 if any(row.is_far for row in rows) else 0


def questions_of(folder: Path, language: str, *, is_solutions: bool) -> list[tuple[Problem, str]]:
    """Return the problems of a language and an answer to each, in their order."""
    name, _ = OWNERS_PERCENT[language]
    [path] = folder.glob(f"{name}_release_*.jsonl")
    problems = {p.problem_id: p for p in (mxeval.problem(r, language) for r in read_records(path))}
    if is_solutions:
        return [(p, p.canonical) for p in problems.values() if p.canonical]
    samples = read_records(folder / "examples" / f"{name}_samples.jsonl")
    return [
        (problems[sample.text("task_id")], sample.text("completion", ""))
        for sample in samples
        if sample.text("task_id") in problems
    ]


def judged(
    sandbox: Sandbox, language: str, questions: list[tuple[Problem, str]], *, is_solutions: bool
) -> Row:
    """Return what the judge of a language says."""
    judge = judge_for(language, sandbox)
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(judge.judge, *zip(*questions, strict=True)))
    judge.close()
    states = Counter(verdict.state for verdict in verdicts)
    num_judged = sum(number for state, number in states.items() if state not in NOT_JUDGED)
    return Row(
        language=language,
        num_judged=num_judged,
        percent=100 * states[State.PASSED] / max(1, num_judged),
        owners_percent=None if is_solutions else OWNERS_PERCENT[language][1],
        states={state.value: number for state, number in states.most_common()},
    )


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ["| language | answers | passed | owners say | verdicts |", "|---|---:|---:|---:|---|"]
    for row in rows:
        owners = "" if row.owners_percent is None else f"{row.owners_percent:.2f}"
        states = ", ".join(f"{state} {number}" for state, number in row.states.items())
        lines.append(
            f"| {row.language} | {row.num_judged} | {row.percent:.2f} | {owners} | {states} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
