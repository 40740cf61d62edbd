"""The traces that the replay bench types, and the prompts of the editor it compares with."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from bench.replay.players import LlamaStyle, replay, written_from
from bench.replay.sample import Key, Replayed, Work
from bench.replay.traces import Step, Trace, apply, steps_between, traces_of_repository
from bench.two_editors import factors
from fimble.engine import Finish, FinishReason, Query, Token
from fimble.fim import Mark
from tests.stand_ins.virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

OLD = """import os

def area(width, height):
    size = width * height
    return size

print(area(1, 2))
"""
NEW = """import math
import os

def area(width, height):
    \"\"\"Return the area 🙂.\"\"\"

    return width * height

print(area(1, 20))"""


@pytest.mark.parametrize("seed", range(5))
def test_steps_lead_from_one_version_to_the_other_key_by_key(seed: int) -> None:
    for before, after in ((OLD, NEW), (NEW, OLD), ("a", ""), ("", "b\n\n"), ("x\n", "x\n")):
        steps = steps_between(before, after, random.Random(seed))
        assert apply(before, steps) == after
        assert all(len(step.typed) <= 1 or step.typed.isspace() for step in steps)
        assert all(0 < step.pause_ms <= 3000 for step in steps)
        assert steps == steps_between(before, after, random.Random(seed))


def test_some_keys_are_wrong_at_first_and_taken_back() -> None:
    text = "word " * 400
    steps = steps_between("", text, random.Random(1))
    corrections = [step for step in steps if step.deleted]
    assert 10 < len(corrections) < 120
    assert apply("", steps) == text
    assert steps_between("", text, random.Random(2)) != steps


def test_lines_that_are_alike_keep_what_they_share() -> None:
    [gone, typed] = steps_between("f(a, b)\n", "f(a, c)\n", random.Random(1))
    assert gone[1:] == (0, 5, "b", "")
    assert typed[1:] == (0, 5, "", "c")


def test_an_edit_that_does_not_fit_is_no_trace_of_the_text() -> None:
    with pytest.raises(ValueError, match="deletes what is not there"):
        apply("abc", [Step(1.0, 0, 1, "c", "")])


def test_commits_become_traces_in_an_order_of_the_seed(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    git("init", "-q")
    versions = [
        OLD,
        NEW,
        f"{NEW}\n\n\ndef one():\n    return 1  # something to write again and again\n",
    ]
    for version in versions:
        (tmp_path / "area.py").write_text(version, encoding="utf-8")
        (tmp_path / "notes.txt").write_text(version, encoding="utf-8")
        git("add", ".")
        git("commit", "-qm", "change")

    traces = list(traces_of_repository(tmp_path, random.Random(1)))

    assert {(t.path, t.before, t.after) for t in traces} == {
        ("area.py", versions[0], versions[1]),
        ("area.py", versions[1], versions[2]),
    }
    assert all(apply(trace.before, trace.steps) == trace.after for trace in traces)


class InstantEngine:
    """Answers each query at once, and keeps it."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        self.queries.append(query)
        yield Token(1, "ok)\n", -0.1)
        yield Finish(FinishReason.END_TOKEN, 1, 0, 1)


def test_the_editor_to_compare_with_asks_with_the_line_in_the_middle() -> None:
    engine = InstantEngine()
    steps = [Step(10.0, 1, 0, "", char) for char in "f"] + [Step(500.0, 1, 1, "", "(")]
    steps += [Step(500.0, 1, 2, "", "o"), Step(500.0, 1, 3, "", "x")]
    trace = Trace("t", "a.py", "x = 1\n\ny = 2", "", steps)

    async def run() -> list[Key]:
        return await replay(LlamaStyle(engine), trace)  # pyrefly: ignore[bad-argument-type]

    keys = run_virtually(run())

    assert [key.is_line_start for key in keys] == [True, False, False, False]
    assert [key.ghost_ms is not None for key in keys] == [True, True, True, True]
    assert [key.is_known for key in keys] == [False, False, True, False]
    assert written_from(steps, 1) == "(ox"
    assert [key.is_right for key in keys] == [False] * 4  # "ok)" is not "(ox"
    last = engine.queries[-1].parts
    assert last[-5:] == ("x = 1\n", Mark.SUFFIX, "\ny = 2", Mark.MIDDLE, "f(ox")
    assert len(engine.queries) == 3  # "o" was suggested: the rest of it is known


def test_figures_say_what_was_read_again() -> None:
    first = Work(counts={"begun": 2, "ended": 2, "prompt_tokens": 100, "read_tokens": 90}, cpu_s=1)
    last = Work(counts={"begun": 6, "ended": 4, "prompt_tokens": 500, "read_tokens": 110}, cpu_s=3)
    keys = [
        Key(ghost_ms=5.0, is_known=True, is_right=True, is_line_start=True),
        Key(ghost_ms=None, is_known=False, is_right=False, is_line_start=False),
        Key(ghost_ms=15.0, is_known=False, is_right=False, is_line_start=False),
    ]
    replayed = Replayed(keys=keys)
    replayed.work.add(last.since(first))
    summary = replayed.summary()
    assert summary["read_share"] == 20 / 400
    assert (summary["generations"], summary["abandoned"]) == (4, 2)
    assert (summary["p50_ms"], summary["line_start_p50_ms"]) == (10.0, 5.0)
    assert (summary["with_ghost_text"], summary["new_p50_ms"]) == (2, 15.0)


def test_an_editor_is_compared_with_itself_alone_and_noise_is_no_wait() -> None:
    alone = {"alone 1": {"p50_ms": 20.0}, "alone 2": {"p50_ms": 3.0}}
    together = {"together 1": {"p50_ms": 50.0}, "together 2": {"p50_ms": 9.0}}
    assert factors({**alone, **together}) == [2.5, 1.0]
