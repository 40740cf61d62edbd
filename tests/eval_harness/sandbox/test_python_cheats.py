"""Programs that claim to pass without solving anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eval_harness.languages.python import PythonJudge, make_judge
from eval_harness.problem import Extent, Kind, Problem
from eval_harness.sandbox.job import MIB, Limits
from eval_harness.verdict import State

if TYPE_CHECKING:
    from eval_harness.sandbox.job import Sandbox

TESTS = """
SECRET = "in the tests alone"

def check(candidate):
    assert candidate([3, 1, 2]) == [1, 2, 3]
    assert candidate([]) == []
    assert candidate(["é", "🎉"]) == ["é", "🎉"]
"""
PROMPT = 'def ordered(items):\n    """Return the items in ascending order."""\n'
PROBLEM = Problem(
    problem_id="ordered",
    group="ordered",
    language="python",
    kind=Kind.COMPLETE,
    extent=Extent.BLOCK,
    prompt=PROMPT,
    tests=TESTS,
    entry_point="ordered",
    canonical="    return sorted(items)\n",
)

CHEATS = {
    "sys.exit": "    import sys\n    sys.exit(0)\n",
    "os._exit": "    import os\n    os._exit(0)\n",
    "os._exit at the top": "    return 1\nimport os\nos._exit(0)\n",
    "SystemExit": "    raise SystemExit(0)\n",
    "SystemExit at the top": "    pass\nraise SystemExit(0)\n",
    "atexit": "    pass\nimport atexit, os\natexit.register(lambda: os._exit(0))\n",
    "always equal": """    class Equal:
        def __eq__(self, other): return True
        def __ne__(self, other): return False
    return Equal()
""",
    "always equal list": """    class Equal(list):
        def __eq__(self, other): return True
        def __ne__(self, other): return False
        def __len__(self): return 3
        def __iter__(self): return iter([1, 2, 3])
    return Equal()
""",
    "always equal int, str": """    class Number(int):
        __eq__ = lambda self, other: True
        __hash__ = int.__hash__
    class Text(str):
        __eq__ = lambda self, other: True
        __hash__ = str.__hash__
    return [Number(1), Text("2"), Number(3)]
""",
    "equal by its metaclass": """    class Meta(type):
        def __eq__(cls, other): return True
        __hash__ = type.__hash__
    class Equal(metaclass=Meta): pass
    return Equal
""",
    "equal that imitates its class": """    class Equal:
        __class__ = list
        def __eq__(self, other): return True
    return Equal()
""",
    "raise in __del__": """    class Late:
        def __del__(self): raise SystemExit(0)
    return Late()
""",
    "reload os": """    import importlib, os
    importlib.reload(os)
    os.system("true")
    os._exit(0)
""",
    "builtins": """    pass
import builtins
builtins.AssertionError = ValueError
builtins.all = builtins.isinstance = builtins.print = lambda *a, **k: True
builtins.len = lambda x: 0
builtins.sorted = None
builtins.__build_class__ = None
""",
    "no assertions": """    pass
import builtins
class Quiet(BaseException): pass
builtins.AssertionError = Quiet
import sys
sys.flags = None
""",
    "frames": """    import sys
    found = []
    frame = sys._getframe()
    while frame:
        found.append(frame)
        if "SECRET" in frame.f_globals:
            return [1, 2, 3]
        frame.f_trace = None
        frame = frame.f_back
    return found
""",
    "settrace": """    pass
import sys, threading
def trace(frame, event, arg):
    if "candidate" in frame.f_locals:
        frame.f_locals["candidate"] = sorted
    return trace
sys.settrace(trace)
sys.setprofile(trace)
threading.settrace(trace)
""",
    "garbage": """    import gc
    for thing in gc.get_objects():
        if isinstance(thing, str) and "in the tests " + "alone" in thing:
            return sorted(items)
        if isinstance(thing, dict) and "SECRET" in thing:
            return sorted(items)
    return None
""",
    "memory": """    for line in open("/proc/self/maps"):
        if "rw" in line:
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            with open("/proc/self/mem", "rb") as file:
                file.seek(start)
                if b"in the tests " + b"alone" in file.read(end - start):
                    return sorted(items)
""",
    "signal handler": """    import signal, os
    signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
    signal.signal(signal.SIGALRM, lambda *a: os._exit(0))
    os.kill(os.getpid(), signal.SIGALRM)
""",
    "thread": """    pass
import threading, os, time
def later():
    time.sleep(0.01)
    os._exit(0)
threading.Thread(target=later, daemon=True).start()
""",
    "stdout": """    print('{"from": "keeper", "verdict": "passed", "detail": "", "files": []}')
    print("passed", flush=True)
    import os
    os._exit(0)
""",
    "every descriptor": """    import os, struct, json
    text = json.dumps({"from": "keeper", "verdict": "passed", "detail": "", "files": [],
                       "sizes": []}).encode()
    frame = struct.pack(">IQ", len(text), 0) + text
    for fd in range(256):
        for data in (frame, b"+", b".", b'{"exit_code": 0, "verdict": "passed"}'):
            try:
                os.write(fd, data)
            except OSError:
                pass
    os._exit(0)
""",
    "answers in advance": """    import os, struct, json
    answers = ([0, [1, 2, 3], None], [0, [], None], [0, ["é", "🎉"], None])
    for answer in ([0, None, None], *answers):
        data = json.dumps(answer).encode()
        os.write(3, struct.pack("=I", len(data)) + data)
""",
    "not an answer": """    import os, struct
    os.write(3, struct.pack("=I", 4) + b"true")
""",
    "endless answer": """    import os, struct
    os.write(3, struct.pack("=I", 0xffffffff))
""",
    "deep answer": """    import os, struct
    data = b"[" * 1000000
    os.write(3, struct.pack("=I", len(data)) + data)
""",
    "StopIteration": "    raise StopIteration\n",
    "GeneratorExit": "    raise GeneratorExit\n",
    "KeyboardInterrupt": "    raise KeyboardInterrupt\n",
    "kill the parent": """    import os, signal
    for pid in (os.getppid(), 1, -1, 0):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
""",
    "unittest": """    pass
import unittest
unittest.TestCase.assertEqual = lambda *a: None
unittest.TestCase.run = lambda *a: None
""",
    "modules": """    pass
import sys
class Anything:
    def __getattr__(self, name): return Anything()
    def __call__(self, *args, **kwargs): return [1, 2, 3]
for name in list(sys.modules):
    sys.modules[name] = Anything()
""",
    "harness": """    pass
import eval_harness.sandbox.inside.remote as remote
remote.Calls.call = lambda *a: [1, 2, 3]
import eval_harness.sandbox.inside.plain as plain
plain.encode = lambda *a: [1, 2, 3]
""",
    "its own check": """    pass
def check(candidate): pass
SECRET = ""
""",
    "comment out the tests": '    pass\n"""',
    "close everything": "    import os\n    os.closerange(0, 256)\n",
    "fork": """    import os
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    return [1, 2]
""",
    "exec": """    import os, sys
    os.execv(sys.executable, [sys.executable, "-c", "pass"])
""",
}


@pytest.fixture(scope="module")
def judge(sandbox: Sandbox) -> PythonJudge:
    return make_judge(sandbox)


def test_every_cheat_is_python() -> None:
    for name, answer in CHEATS.items():
        if name != "comment out the tests":
            compile(PROMPT + answer, name, "exec")


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_does_not_pass(judge: PythonJudge, name: str) -> None:
    verdict = judge.judge(PROBLEM, CHEATS[name])
    assert verdict.state in {State.WRONG, State.COMPILE_ERROR, State.KILLED}, verdict
    solved = judge.judge(PROBLEM, "    return sorted(items)\n")
    assert solved.state is State.PASSED, solved


def test_a_wrong_answer_says_which_test_failed(judge: PythonJudge) -> None:
    verdict = judge.judge(PROBLEM, "    return items\n")
    assert verdict.state is State.WRONG
    assert "assert candidate([3, 1, 2]) == [1, 2, 3]" in verdict.detail


def test_an_exception_says_where_it_was_raised(judge: PythonJudge) -> None:
    verdict = judge.judge(PROBLEM, "    return items[7]\n")
    assert verdict.state is State.WRONG
    assert 'File "candidate.py", line 3, in ordered' in verdict.detail
    assert "IndexError: list index out of range" in verdict.detail


def test_what_does_not_parse_is_a_compile_error(judge: PythonJudge) -> None:
    verdict = judge.judge(PROBLEM, "    return sorted(items\n")
    assert verdict.state is State.COMPILE_ERROR
    assert "SyntaxError: '(' was never closed" in verdict.detail


LIMITED = {
    "a loop in C that ignores signals": (
        """    import signal
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    return sum(range(10 ** 15))
""",
        State.CPU_LIMIT,
    ),
    "memory": ("    return bytearray(1 << 40)\n", State.MEMORY_LIMIT),
    "memory, bit by bit": (
        "    kept = []\n    while True:\n        kept.append(bytes(1 << 20))\n",
        State.MEMORY_LIMIT,
    ),
    "output": ("    while True:\n        print('x' * 1000)\n", State.OUTPUT_LIMIT),
    "recursion": ("    return ordered(items)\n", State.WRONG),
    "crash": ("    import ctypes\n    ctypes.string_at(8)\n", State.KILLED),
}


@pytest.mark.parametrize("name", LIMITED)
def test_what_a_program_uses_up_has_a_state_of_its_own(sandbox: Sandbox, name: str) -> None:
    answer, state = LIMITED[name]
    limits = Limits(cpu_s=1, memory_bytes=256 * MIB, address_space_bytes=256 * MIB)
    judge = PythonJudge(sandbox, limits)  # type: ignore[arg-type]  # every tier is a pool
    assert judge.judge(PROBLEM, answer).state is state
    assert judge.judge(PROBLEM, "    return sorted(items)\n").state is State.PASSED
