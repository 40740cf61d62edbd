"""Which calls the tests of a Python problem make in any case.

They can be sent to the candidate together, before the first answer. Only straight lines of code
count, and only arguments that are written out: what depends on an answer is not certain.
"""

from __future__ import annotations

import ast
import marshal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_BYTES = 16 << 10
"""In all: both sides must be able to write without the other reading."""
_CHECK = "check"
_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)


class _UncertainError(Exception):
    """From here on it depends."""


def certain_calls(tests: str, remote: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the first calls of the candidate's functions, as the examiner sends them.

    Args:
        tests: Source; calls `check` itself where there is one.
        remote: Names of the candidate's functions.
    """
    tree = ast.parse(tests)
    checks = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    found: list[bytes] = []
    left = _MAX_BYTES
    try:
        for name, args in _of_statements(tree.body, dict.fromkeys(remote), checks):
            call: Any = (name, args, {})
            message = marshal.dumps(call, 2)
            left -= len(message)
            if left < 0:
                break
            found.append(message)
    except (_UncertainError, ValueError):
        pass  # what was found before is certain all the same
    return tuple(found)


def _of_statements(
    statements: list[ast.stmt],
    functions: Mapping[str, str | None],
    checks: Mapping[str, ast.FunctionDef],
) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the calls of straight code.

    Args:
        statements: The code.
        functions: The candidate's functions by what they are called here; None: by their names.
        checks: Functions of the tests, which are entered.
    """
    for statement in statements:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name(id=name), args=[ast.Name(id=given)])) if (
                name == _CHECK and name in checks and given in functions
            ):
                check = checks[name]
                if len(check.args.args) != 1:
                    raise _UncertainError
                yield from _of_statements(check.body, {check.args.args[0].arg: given}, {})
            case ast.Expr(value=value) | ast.Assert(test=value):
                yield from _of_expression(value, functions)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name not in functions:
                yield from _of_expression(value, functions)
            case ast.Pass():
                pass
            case _ if not isinstance(statement, _DEFINITIONS):
                raise _UncertainError


def _of_expression(
    node: ast.expr, functions: Mapping[str, str | None]
) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the calls of an expression, in the order in which they are made."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in functions:
            yield functions[name] or name, tuple(map(ast.literal_eval, args))
        case ast.Constant() | ast.Name():
            pass
        case _:
            for part in _parts(node):
                yield from _of_expression(part, functions)


def _parts(node: ast.expr) -> list[ast.expr]:
    """Return what an expression evaluates in any case, in that order."""
    match node:
        case ast.Call(func=function, args=args, keywords=[]):
            return [function, *args]
        case ast.Compare(left=left, comparators=[right]) | ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.UnaryOp(operand=part) | ast.Attribute(value=part):
            return [part]
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return parts
    if any(isinstance(part, ast.Call) for part in ast.walk(node)):
        raise _UncertainError
    return []
