"""The shipped suites, against the real files where they are there."""

from __future__ import annotations

import gzip
import json
import os
import warnings
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval_harness.problem import Extent, Kind, Problem
from eval_harness.prompts import finish_answer
from eval_harness.suites.files import shipped, shipped_names
from eval_harness.suites.registry import open_suite, suite_names
from fimble.engine import FinishReason

if TYPE_CHECKING:
    from eval_harness.suites.suite import Suite

BENCHMARKS = Path(os.environ.get("FIMBLE_BENCHMARKS") or "../shared/benchmarks")
COUNTS = {
    "humaneval": {"python": 164},
    "humaneval-infilling-single-line": {"python": 1033},
    "humaneval-infilling-multi-line": {"python": 5815},
    "humaneval-infilling-random-span": {"python": 1640},
    "humaneval-infilling-random-span-light": {"python": 164},
    "humaneval-x": dict.fromkeys(("cpp", "go", "java", "javascript", "python", "rust"), 164),
    "mbpp": {"python": 974},
    "mbpp-sanitized": {"python": 427},
}


@cache
def opened(name: str, *languages: str) -> Suite:
    """Return a suite of the real files, or skip."""
    for data in shipped(name.replace("infilling-x", "humaneval-x")).data:
        if not (BENCHMARKS / data.file).is_file():
            pytest.skip(f"{data.file} is not in the folder of benchmarks, {BENCHMARKS}")
    return open_suite(name, benchmarks=BENCHMARKS, languages=frozenset(languages) or None)


def raw(file: str) -> dict[str, dict[str, str]]:
    """Return the records of a file by their id, as JSON gives them."""
    rows = gzip.decompress((BENCHMARKS / file).read_bytes()).decode().split("\n")
    return {record["task_id"]: record for record in map(json.loads, filter(None, rows))}


def full_lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def program(problem: Problem) -> str:
    assert problem.canonical is not None
    return problem.candidate(problem.canonical) + problem.tests


def test_every_shipped_description_is_counted_here() -> None:
    assert set(COUNTS) == set(shipped_names())
    assert set(suite_names()) == {*COUNTS, "infilling-x", "repository"}


@pytest.mark.parametrize("name", COUNTS)
def test_a_suite_has_as_many_problems_as_its_owners_say(name: str) -> None:
    suite = opened(name)
    assert Counter(problem.language for problem in suite.problems) == COUNTS[name]
    assert len({problem.key for problem in suite.problems}) == len(suite.problems)
    assert all(problem.canonical is not None and problem.prompt for problem in suite.problems)
    assert all(problem.tests for problem in suite.problems)
    assert not any("\r" in program(problem) for problem in suite.problems)
    assert len({problem.group for problem in suite.problems}) <= 974


def test_a_humaneval_program_is_the_one_that_its_own_runner_executes() -> None:
    records = raw("humaneval/HumanEval.jsonl.gz") if opened("humaneval") else {}
    for problem in opened("humaneval").problems:
        record = records[problem.problem_id]
        expected = (
            record["prompt"] + record["canonical_solution"] + "\n" + record["test"] + "\n"
        ) + f"check({record['entry_point']})"
        assert program(problem) == expected
        assert (problem.kind, problem.extent) == (Kind.COMPLETE, Extent.BLOCK)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("humaneval-infilling-single-line", "HumanEval-SingleLineInfilling"),
        ("humaneval-infilling-random-span-light", "HumanEval-RandomSpanInfillingLight"),
    ],
)
def test_an_infilling_program_is_the_one_that_its_own_runner_executes(name: str, file: str) -> None:
    suite = opened(name)
    records = raw(f"humaneval_infilling/{file}.jsonl.gz")
    for problem in suite.problems:
        record = records[problem.problem_id]
        expected = (
            record["prompt"] + record["canonical_solution"] + record["suffix"] + "\n"
        ) + f"{record['test']}\ncheck({record['entry_point']})"
        assert program(problem) == expected
        assert problem.group.startswith("HumanEval/")
        assert (problem.prompt, problem.suffix) == (record["prompt"], record["suffix"])


def test_a_humaneval_x_program_is_the_one_that_its_own_runner_executes() -> None:
    """Its helpers: a fixed list of imports for Python, those headers that a C++ prompt lacks."""
    for language, file in (("python", "python"), ("cpp", "cpp"), ("java", "java"),
                           ("javascript", "js"), ("rust", "rust"), ("go", "go")):  # fmt: skip
        problems = opened("humaneval-x", language).problems
        records = raw(f"humaneval_x/humaneval_{file}.jsonl.gz")
        for problem in problems:
            record = records[problem.problem_id]
            body = record["canonical_solution"] + "\n" + record["test"] + "\n"
            expected = {"rust": record["prompt"] + record["declaration"]}.get(
                language, record["prompt"]
            )
            assert program(problem) == problem.header + expected + body
            assert problem.group == f"HumanEval/{problem.problem_id.split('/')[1]}"
            if language == "go":
                assert problem.header == record["test_setup"] + "\n"
            elif language == "cpp":
                assert "#include<string>\n" in problem.header + problem.prompt
                assert all(line not in problem.prompt for line in problem.header.split("\n")[:-1])
            elif language != "python":
                assert problem.header == ""
            else:
                assert problem.entry_point
                assert "numpy" not in problem.header


def test_an_mbpp_problem_shows_one_test_and_runs_all() -> None:
    for problem in opened("mbpp-sanitized").problems:
        assert problem.prompt.count("assert ") >= 1
        assert problem.tests.count("assert ") >= 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sentences and patterns with a backslash
            compile(program(problem), problem.problem_id, "exec", dont_inherit=True)


@pytest.mark.parametrize("name", ["humaneval", "humaneval-x"])
def test_cutting_a_true_body_leaves_it_whole(name: str) -> None:
    """But for those that define a second function, or hold a part of the tests."""
    different = {
        problem.problem_id
        for problem in opened(name).problems
        if finish_answer(problem, problem.canonical or "", FinishReason.END_TOKEN).text.rstrip()
        != (problem.canonical or "").rstrip()
    }
    rust = {f"Rust/{number}" for number in (10, 32, 38, 50, 137, 145)}
    known = {"CPP/94", "Go/72"} | rust
    assert different == (known if name == "humaneval-x" else set())


@pytest.mark.parametrize(
    "name",
    [
        "humaneval-infilling-single-line",
        "humaneval-infilling-multi-line",
        "humaneval-infilling-random-span",
    ],
)
def test_cutting_a_true_middle_leaves_it_whole(name: str) -> None:
    """Up to white space at a line's end, which the server cuts, too."""
    for problem in opened(name).problems:
        given = finish_answer(problem, problem.canonical or "", FinishReason.END_TOKEN).text
        assert full_lines(problem.candidate(given)) == full_lines(
            problem.candidate(problem.canonical or "")
        )


def test_infilling_x_asks_for_each_telling_line_and_shares_groups() -> None:
    suite = opened("infilling-x", "go")
    source = {p.problem_id: p for p in opened("humaneval-x", "go").problems}
    variants = Counter(problem.variant for problem in suite.problems)
    assert set(variants) == {"line", "lines", "node"}
    assert variants["line"] > 1000
    for problem in suite.problems:
        solution = source[problem.problem_id.rsplit("/", 2)[0]]
        assert program(problem) == program(solution)
        assert problem.group == solution.group
        assert problem.prompt.startswith(solution.prompt)
        assert problem.kind is Kind.INFILL
    assert {problem.group for problem in suite.problems} == {p.group for p in source.values()}
    assert suite.digest == opened("infilling-x", "go").digest
