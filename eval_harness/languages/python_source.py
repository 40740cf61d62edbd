"""What the tests of a Python problem need of the candidate, and what of the prompt."""

from __future__ import annotations

import ast
import builtins
import functools
import marshal
import opcode
import re
import types
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from eval_harness.problem import Problem

_MAX_CUT_LINES = 50
TESTS_FILE = "tests.py"
_CHECK_DEFINED = re.compile(r"^def check\(", re.MULTILINE)
_CHECK_CALLED = re.compile(r"^check\(", re.MULTILINE)
_BUILT_IN = frozenset(vars(builtins))


class Examination(NamedTuple):
    """The tests of a problem, taken apart."""

    tests: str
    """Source; calls its own `check` where nothing else does."""
    code: bytes
    """The same, compiled by this interpreter, as `marshal` writes it."""
    trusted: str
    """Definitions that the prompt gives in whole: the tests use these, not the candidate's."""
    remote: tuple[str, ...]
    """Names that the tests take from the candidate."""


@functools.lru_cache(maxsize=4096)
def examination_of(problem: Problem) -> Examination:
    """Take the tests of a problem apart; all of its samples share that.

    Raises:
        SyntaxError: The tests are no Python.
    """
    tests = problem.tests
    if _CHECK_DEFINED.search(tests) and not _CHECK_CALLED.search(tests):
        tests = f"{tests}\ncheck({problem.entry_point})\n"
    code = compile(tests, TESTS_FILE, "exec", dont_inherit=True)
    names = _names(code)
    built_in = _BUILT_IN - {problem.entry_point}  # an answer may be called `sum`
    open_names = set(names.read - names.bound - built_in)
    if open_names <= {problem.entry_point}:
        return Examination(tests, marshal.dumps(code), "", tuple(open_names))
    given = _given(problem)
    trusted: list[ast.stmt] = []
    remote_names: set[str] = set()
    while open_names:
        name = open_names.pop()
        if name in remote_names or any(name in _bound(node) for node in trusted):
            continue
        node = given.get(name)
        if node is None or name == problem.entry_point:
            remote_names.add(name)
        else:
            trusted.append(node)
            used = _names(compile(ast.Module([node], []), TESTS_FILE, "exec"))
            open_names |= used.read - used.bound - built_in
    trusted.sort(key=lambda node: node.lineno)
    source = "\n".join(map(ast.unparse, trusted))
    return Examination(tests, marshal.dumps(code), source, tuple(sorted(remote_names)))


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


def _names(code: types.CodeType) -> _Names:
    """Return the global names of compiled code and of the functions in it."""
    read: set[str] = set()
    bound: set[str] = set()
    codes = [code]
    for each in codes:  # grows while we walk it
        codes += [constant for constant in each.co_consts if isinstance(constant, types.CodeType)]
        is_module = each is code
        extended = 0
        instructions = iter(each.co_code)
        for operation, argument in zip(instructions, instructions, strict=True):
            number = extended | argument
            extended = number << 8 if operation == opcode.EXTENDED_ARG else 0
            if operation == _LOAD_GLOBAL:
                read.add(each.co_names[number >> 1])
            elif operation == _STORE_GLOBAL or (is_module and operation == _STORE_NAME):
                bound.add(each.co_names[number])
            elif operation == _LOAD_NAME:
                read.add(each.co_names[number])
    return _Names(frozenset(bound), frozenset(read))


_LOAD_NAME, _LOAD_GLOBAL, _STORE_NAME, _STORE_GLOBAL = (
    opcode.opmap[name] for name in ("LOAD_NAME", "LOAD_GLOBAL", "STORE_NAME", "STORE_GLOBAL")
)
