"""Python: the tests run in one process and call the candidate in another.

The candidate never sees its tests, and what it returns crosses as data (`sandbox.inside.plain`), so
neither ending the process nor redefining equality can pass them.
"""

from __future__ import annotations

import ast
import builtins
import functools
import platform
import signal
import symtable
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.languages.language import Toolchain
from eval_harness.sandbox.inside import frames
from eval_harness.sandbox.job import MIB, Ended, Limits, SandboxError
from eval_harness.sandbox.pool import WorkerPool, outcome
from eval_harness.verdict import State, Verdict
from fimble.errors import InputError

if TYPE_CHECKING:
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Outcome, Sandbox

LIMITS = Limits(memory_bytes=1024 * MIB, address_space_bytes=1024 * MIB)
_MAX_DETAIL_CHARS = 2000
_MAX_CUT_LINES = 50
_BUILT_IN = frozenset(vars(builtins))
_STATES = {
    "passed": State.PASSED,
    "wrong": State.WRONG,
    "compile_error": State.COMPILE_ERROR,
    "memory": State.MEMORY_LIMIT,
}
_LIMIT_STATES = {
    Ended.CPU_LIMIT: State.CPU_LIMIT,
    Ended.WALL_LIMIT: State.WALL_LIMIT,
    Ended.MEMORY_LIMIT: State.MEMORY_LIMIT,
    Ended.OUTPUT_LIMIT: State.OUTPUT_LIMIT,
}


class Examination(NamedTuple):
    """The tests of a problem, taken apart."""

    tests: str
    """Source; calls its own `check` where nothing else does."""
    trusted: str
    """Definitions that the prompt gives in whole: the tests use these, not the candidate's."""
    remote: tuple[str, ...]
    """Names that the tests take from the candidate."""


class PythonJudge:
    """Judges Python; safe to use from several threads."""

    language = "python"

    def __init__(self, sandbox: WorkerPool, limits: Limits = LIMITS) -> None:
        """Judge in a sandbox.

        Args:
            sandbox: Its workers fork the programs.
            limits: Of one program and its tests together.
        """
        self._sandbox = sandbox
        self._limits = limits

    def toolchain(self) -> Toolchain:
        """Return the interpreter: always the one that runs the harness."""
        return look_up()

    def judge(self, problem: Problem, answer: str) -> Verdict:
        """Run a program and its tests, and say what became of it."""
        try:
            examination = examination_of(problem)
        except SyntaxError as error:
            return Verdict(State.HARNESS_ERROR, f"the tests do not parse: {error}")
        body = {"candidate": problem.candidate(answer), **examination._asdict()}
        try:
            answers = self._sandbox.ask("python", self._limits, frames.pack(body))
        except SandboxError as error:
            return Verdict(State.HARNESS_ERROR, str(error)[-_MAX_DETAIL_CHARS:])
        done = outcome(answers, self._limits)
        said = answers.keeper.meta if answers.keeper else {}
        state, detail = _state(done, said)
        return Verdict(state, detail[-_MAX_DETAIL_CHARS:], done.cpu_ms, done.wall_ms)

    def close(self) -> None:
        """End nothing: the processes belong to the sandbox."""


def look_up() -> Toolchain:
    """Return the interpreter: always the one that runs the harness."""
    return Toolchain(f"{platform.python_implementation()} {platform.python_version()}")


def make_judge(sandbox: Sandbox) -> PythonJudge:
    """Return a judge whose programs run in this sandbox.

    Raises:
        InputError: The sandbox has no workers that fork.
    """
    if not isinstance(sandbox, WorkerPool):
        raise InputError(f"Python is judged in a sandbox of `open_sandbox`, not in {sandbox!r}")
    return PythonJudge(sandbox)


@functools.lru_cache(maxsize=4096)
def examination_of(problem: Problem) -> Examination:
    """Take the tests of a problem apart; all of its samples share that.

    Raises:
        SyntaxError: The tests are no Python.
    """
    tests = problem.tests
    names = _names(tests)
    if "check" in names.bound and "check" not in names.read:
        tests = f"{tests}\ncheck({problem.entry_point})\n"
        names = _Names(names.bound, names.read | {"check", problem.entry_point})
    built_in = _BUILT_IN - {problem.entry_point}  # an answer may be called `sum`
    open_names = set(names.read - names.bound - built_in)
    if open_names <= {problem.entry_point}:
        return Examination(tests, "", tuple(open_names))
    given = _given(problem)
    trusted: list[ast.stmt] = []
    remote: set[str] = set()
    while open_names:
        name = open_names.pop()
        if name in remote or any(name in _bound(node) for node in trusted):
            continue
        node = given.get(name)
        if node is None or name == problem.entry_point:
            remote.add(name)
        else:
            trusted.append(node)
            used = _names(ast.unparse(node))
            open_names |= used.read - used.bound - built_in
    trusted.sort(key=lambda node: node.lineno)
    source = "\n".join(map(ast.unparse, trusted))
    return Examination(tests, source, tuple(sorted(remote)))


def _given(problem: Problem) -> dict[str, ast.stmt]:
    """Return what stands complete in the prompt, at the top level, and all imports, by name."""
    before = problem.header + problem.prompt
    last_line = before.count("\n") + (0 if before.endswith("\n") or not before else 1)
    tree = _parse(problem.candidate(problem.canonical)) if problem.canonical is not None else None
    tree = tree or _parse_start(before)
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        is_whole = node.end_lineno is not None and node.end_lineno <= last_line
        if isinstance(node, _IMPORTS) or (is_whole and isinstance(node, _DEFINITIONS)):
            found |= dict.fromkeys(_bound(node), node)
    return found


_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _parse_start(source: str) -> ast.Module:
    """Return the longest start of a text that parses, as far as that is worth a search."""
    lines = source.splitlines(keepends=True)
    for end in range(len(lines), max(-1, len(lines) - _MAX_CUT_LINES), -1):
        tree = _parse("".join(lines[:end]))
        if tree:
            return tree
    return ast.Module([], [])


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a definition binds at the top level."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        case ast.Assign() | ast.AnnAssign():
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (name for target in targets for name in ast.walk(target))
            return {name.id for name in names if isinstance(name, ast.Name)}
    return set()


class _Names(NamedTuple):
    """Of a module, within its functions too."""

    bound: frozenset[str]
    """What it defines for all of itself."""
    read: frozenset[str]
    """What it takes from there."""


def _names(source: str) -> _Names:
    """Return the global names of a module; by the compiler's own table, as that is fast."""
    top = symtable.symtable(source, "tests.py", "exec")
    bound = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned()}
    read: set[str] = set()
    tables = [top]
    for table in tables:  # grows while we walk it
        for symbol in table.get_symbols():
            if table is top or symbol.is_global():
                if symbol.is_referenced():
                    read.add(symbol.get_name())
                if symbol.is_assigned():
                    bound.add(symbol.get_name())
        tables += table.get_children()
    return _Names(frozenset(bound), frozenset(read))


def _state(done: Outcome, said: dict[str, object]) -> tuple[State, str]:
    if done.ended in _LIMIT_STATES:
        return _LIMIT_STATES[done.ended], ""
    verdict = str(said.get("verdict"))
    detail = str(said.get("detail", ""))
    if verdict in _STATES:
        return _STATES[verdict], detail
    exit_code = done.exit_code
    if exit_code < 0:
        if -exit_code == signal.SIGXCPU:
            return State.CPU_LIMIT, ""
        return State.KILLED, f"ended by {signal.Signals(-exit_code).name}"
    if verdict == "gone":
        return State.WRONG, "the program ended its process before its tests were done"
    return State.KILLED, "ended from outside"
