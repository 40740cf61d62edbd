"""Right answers of every shape pass, though their tests run in another process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval_harness.languages.python import PythonJudge, make_judge
from eval_harness.problem import Extent, Kind, Problem
from eval_harness.sandbox.inside import plain
from eval_harness.suites.registry import open_suite
from eval_harness.verdict import State

if TYPE_CHECKING:
    from eval_harness.sandbox.job import Sandbox
    from tests.eval_harness.conftest import Show

REPOSITORY = Path(__file__).resolve().parents[3]
BENCHMARKS = Path(os.environ.get("FIMBLE_BENCHMARKS", REPOSITORY.parent / "shared" / "benchmarks"))


@pytest.fixture(scope="module")
def judge(best_sandbox: Sandbox) -> PythonJudge:
    return make_judge(best_sandbox)


def problem(
    tests: str, *, prompt: str = "", name: str = "f", canonical: str | None = None
) -> Problem:
    return Problem(
        problem_id=name,
        group=name,
        language="python",
        kind=Kind.COMPLETE,
        extent=Extent.BLOCK,
        prompt=prompt,
        tests=tests,
        entry_point=name,
        canonical=canonical,
    )


PASSES = {
    "plain values": (
        """
from math import isnan
def check(candidate):
    for value in (None, True, 1, -2**70, 10**6000, 1.5, -0.0, 'é🎉', '\\ud800', b'\\0',
                  [1, [2]], (1, (2,)), {1: {2: 3}, (1,): None}, {1, 'a'}, frozenset([1]),
                  1j, range(3), bytearray(b'x'), int, [float('inf')]):
        got = candidate(value)
        assert got == value and type(got) is type(value), value
    assert isnan(candidate(float('nan')))
""",
        """
def f(x):
    return x
""",
    ),
    "subclasses": (
        """
def check(candidate):
    assert candidate([1, 1, 2]) == {1: 2, 2: 1}
""",
        """
from collections import Counter
def f(x):
    return Counter(x)
""",
    ),
    "exact values of the library": (
        """
from decimal import Decimal
from fractions import Fraction
import datetime
def check(candidate):
    for value in (Decimal('1.10'), Fraction(1, 3), datetime.date(2020, 2, 29),
                  datetime.datetime(2020, 1, 1, 1), datetime.timedelta(1, 2, 3)):
        assert candidate(value) == value
""",
        """
def f(x):
    return x
""",
    ),
    "arguments that change": (
        """
def check(candidate):
    items, table = [3, [1, 2]], {'a': [1]}
    inner = items[1]
    assert candidate(items, table) is None
    assert items == [3, [1, 2, 9], 4] and inner == [1, 2, 9]
    assert table == {'a': [1, 5], 'b': 0}
""",
        """
def f(a, b):
    a[1].append(9)
    a.append(4)
    b['a'].append(5)
    b['b'] = 0
""",
    ),
    "keywords and defaults": (
        """
assert f(1, b=3) == 4
assert f(1) == 3
assert f(*[1], **{'b': 1}) == 2
""",
        """
def f(a, b=2):
    return a + b
""",
    ),
    "exceptions": (
        """
for wrong in (-1, 'x'):
    try:
        f(wrong)
    except (ValueError, TypeError) as error:
        assert 'bad' in str(error)
    else:
        raise AssertionError
""",
        """
class Bad(ValueError): pass
def f(x):
    if x == 'x':
        raise TypeError('bad type')
    raise Bad('bad value')
""",
    ),
    "iterators": (
        """
assert list(f(3)) == [0, 1, 2]
assert sorted(f(3)) == [0, 1, 2]
assert next(f(1)) == 0
""",
        """
def f(n):
    yield from range(n)
""",
    ),
    "objects": (
        """
stack = f()
stack.push(1)
stack.push('a')
assert len(stack) == 2 and stack.pop() == 'a' and stack.items == [1]
assert str(stack) == '[1]' and 1 in stack and stack[0] == 1 and [*stack] == [1]
other = f()
other.push(1)
assert stack == other and stack != f()
""",
        """
class f:
    def __init__(self): self.items = []
    def push(self, x): self.items.append(x)
    def pop(self): return self.items.pop()
    def __len__(self): return len(self.items)
    def __str__(self): return str(self.items)
    def __eq__(self, other): return self.items == other.items
    def __getitem__(self, at): return self.items[at]
""",
    ),
    "functions as arguments": (
        """
assert f(lambda x: x + 1, [1, 2]) == [2, 3]
assert f(len, ['ab']) == [2]
""",
        """
def f(g, items):
    return [g(item) for item in items]
""",
    ),
    "functions as results": (
        """
add = f(2)
assert add(3) == 5 and f(1)(1) == 2
""",
        """
def f(a):
    return lambda b: a + b
""",
    ),
    "state between calls": (
        """
def check(candidate):
    assert candidate() == 1
    assert candidate() == 2
    assert candidate() == 3
""",
        """
n = 0
def f():
    global n
    n += 1
    return n
""",
    ),
    "calls that depend on answers": (
        """
assert f(1) == 2
assert f(f(2)) == 4
x = f(5)
assert f(x) == 7
assert f(1) == 2 and f(2) == 3
assert [f(i) for i in range(3)] == [1, 2, 3]
""",
        """
def f(x):
    return x + 1
""",
    ),
}


@pytest.mark.parametrize("name", PASSES)
def test_a_right_answer_passes(judge: PythonJudge, name: str) -> None:
    tests, answer = PASSES[name]
    assert judge.judge(problem(tests), answer)[:2] == (State.PASSED, "")


def test_an_answer_may_be_called_as_a_builtin(judge: PythonJudge) -> None:
    asked = problem("assert sum(10, 15) == 6\n", name="sum")
    assert judge.judge(asked, "def sum(a, b):\n    return 6\n").state is State.PASSED
    assert judge.judge(asked, "def sum(a, b):\n    return 7\n").state is State.WRONG


def test_helpers_of_the_prompt_cannot_be_replaced(judge: PythonJudge) -> None:
    prompt = "import math\n\ndef double(x):\n    return 2 * x\n\n\ndef f(x):\n"
    tests = "def check(candidate):\n    assert double(candidate(6)) == math.sqrt(36)\n"
    asked = problem(tests, prompt=prompt, canonical="    return x / 2\n")
    assert judge.judge(asked, "    return x / 2\n").state is State.PASSED
    cheat = "    return 0\ndef double(x): return 6.0\n"
    assert judge.judge(asked, cheat).state is State.WRONG


def test_results_are_compared_as_python_compares_them(judge: PythonJudge) -> None:
    asked = problem("assert f() == 1\n")
    for answer, state in (
        ("1", State.PASSED),
        ("True", State.PASSED),
        ("1.0", State.PASSED),
        ("'1'", State.WRONG),
        ("[1]", State.WRONG),
        ("iter([1])", State.WRONG),
    ):
        assert judge.judge(asked, f"def f():\n    return {answer}\n").state is state, answer


def test_draws_are_the_same_every_time(judge: PythonJudge) -> None:
    tests = "import random\ngot = f()\nassert False, (got, random.random())\n"
    answer = "import random\ndef f():\n    return random.random(), list({'a', 'b', 'c', 'd'})\n"
    details = {judge.judge(problem(tests), answer).detail for _ in range(3)}
    assert len(details) == 1


def test_one_program_leaves_nothing_for_the_next(judge: PythonJudge) -> None:
    spoil = (
        "import builtins, math, sys, os\n"
        "builtins.len = lambda x: 0\nmath.floor = None\nsys.setrecursionlimit(50)\n"
        "open('left', 'w').write('x')\nos.environ['LEFT'] = '1'\n"
        "def f(x):\n    return len(x)\n"
    )
    check = (
        "import math, os, sys\n"
        "def f(x):\n"
        "    return len(x) + math.floor(0.5) + len(os.listdir()) + ('LEFT' in os.environ)\n"
    )
    assert judge.judge(problem("assert f('ab') == 2\n"), spoil).state is State.WRONG
    assert judge.judge(problem("assert f('ab') == 2\n"), check).state is State.PASSED


def test_what_is_not_of_our_making_is_refused() -> None:
    for text in (
        b"{",
        b'{"_": "set", "v": [[1]]}',
        b'{"_": "x", "v": 1}',
        b"{}",
        b"1 2",
        b"\xff",
        b'{"_": "object", "v": "1"}',
        b'{"_": "range", "v": [1, 2, 0]}',
    ):
        with pytest.raises(plain.NotPlainError):
            plain.loads(text, lambda number: number)


@pytest.mark.benchmarks
@pytest.mark.parametrize("tier", ["bubblewrap", "landlock"])
@pytest.mark.parametrize("suite", ["humaneval", "humaneval-x", "mbpp", "mbpp-sanitized"])
def test_every_true_answer_passes_and_none_passes_with_a_fault(
    suite: str, tier: str, show: Show
) -> None:
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmark files are not here")
    from eval_harness.languages.faults import plant_fault
    from eval_harness.sandbox.tiers import available_tiers, open_sandbox

    if available_tiers()[tier]:
        pytest.skip(f"{tier}: {available_tiers()[tier]}")
    sandbox = open_sandbox(tier)
    judging = make_judge(sandbox)
    opened = open_suite(suite, benchmarks=BENCHMARKS, languages=frozenset({"python"}))
    failed: list[str] = []
    faulty: list[str] = []
    num_faults = 0
    for asked in opened.problems:
        assert asked.canonical is not None
        if judging.judge(asked, asked.canonical).state is not State.PASSED:
            failed.append(asked.problem_id)
        fault = plant_fault("python", asked.canonical)
        num_faults += fault is not None
        if fault is not None and judging.judge(asked, fault).state is State.PASSED:
            faulty.append(asked.problem_id)
    sandbox.close()
    on, num_asked = f"{suite}, python in {tier}", len(opened.problems)
    show("true answers pass, asked one by one", on, num_asked - len(failed), num_asked)
    show("a planted fault fails", on, num_faults - len(faulty), num_faults)
    assert (failed, faulty) == ([], [])
