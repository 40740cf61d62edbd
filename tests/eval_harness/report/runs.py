"""Folders of runs, written as runs write them, without a model and without a judge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Problem
from eval_harness.records import (
    ANSWERS,
    MANIFEST,
    PROBLEMS,
    VERDICTS,
    Answer,
    Asked,
    Judged,
    Log,
    problems_document,
)
from eval_harness.verdict import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HOSTILE = "</script><script>alert(1)</script>\u202e\x1b[31m\x00 😀"


def problems(count: int = 6, language: str = "python") -> list[Problem]:
    """Return holes; two of one function each."""
    return [
        Problem(
            problem_id=f"{language}/{number}",
            group=f"{language}-{number // 2}",
            language=language,
            kind=Kind.INFILL,
            extent=Extent.LINE,
            prompt=f"def f_{number}():\n",
            suffix="",
            tests=f"assert f_{number}() == {number}\n",
            canonical=f"    return {number}\n",
        )
        for number in range(count)
    ]


def write_run(
    folder: Path,
    asked: Sequence[Asked],
    states: Mapping[tuple[str, int], State],
    *,
    texts: Mapping[str, str] | None = None,
    name: str = "tiny",
) -> Path:
    """Write a run.

    Args:
        folder: Where to.
        asked: Its problems.
        states: Verdict by problem and number; answers exist for these only.
        texts: Answer by problem, where it is not the true one of a passed, `pass` of another.
        name: Name of the model.
    """
    folder.mkdir(parents=True)
    (folder / PROBLEMS).write_bytes(problems_document(asked))
    num_samples = 1 + max((number for _, number in states), default=0)
    manifest = {
        "format_version": 1,
        "inputs": {
            "suites": {each.suite: "d1" * 32 for each in asked},
            "num_problems": len(asked),
            "model": {"kind": "tgi", "name": name, "digest": "abc", "fim_format": "fimble",
                      "tokenizer_sha256": ""},
            "sampling": {"temperature": 0.0, "seed": 0, "max_new_tokens": 0},
            "bits_per_byte": False,
            "prompts": "p1" * 32,
        },
        "num_samples": num_samples,
        "versions": {"python": "3.11.7"},
        "judging": {"sandbox": "landlock", "code": "c1", "toolchains": {"python": "3.11"}},
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest))
    answers: Log[Answer] = Log(folder / ANSWERS)
    verdicts: Log[Judged] = Log(folder / VERDICTS)
    by_id = {each.problem.problem_id: each for each in asked}
    for place, ((problem_id, number), state) in enumerate(states.items()):
        each = by_id[problem_id]
        sample = (each.suite, each.problem.language, problem_id, number)
        is_right = state is State.PASSED
        text = (texts or {}).get(problem_id) or (each.problem.canonical if is_right else "    pass")
        answers.append(Answer(*sample, text or "", "line", 100.0 + place, 10.0, 50, 5, -2.0))
        detail = "" if is_right else f"AssertionError: line {place}\n"
        verdicts.append(Judged(*sample, state, detail, 5.0, 6.0, "j", is_cached=False, num_tries=1))
    answers.close()
    verdicts.close()
    return folder
