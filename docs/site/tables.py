"""What a configuration class says of itself: its fields, as Markdown tables."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import textwrap
import types
import typing
from enum import Enum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Field(NamedTuple):
    """One key of a configuration, or of an event."""

    name: str
    kind: str
    """Type in words of TOML; for one of several words, those words."""
    default: str
    """As TOML writes it; empty where the key must be given, or is a table."""
    about: str
    """The string under the field, in one line."""


def cell(text: str) -> str:
    """Return a text as it may stand in a cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def table(*columns: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines) + "\n"


def summary(cls: type[object]) -> str:
    """Return the docstring of a class without its indentation."""
    return inspect.cleandoc(cls.__doc__ or "")


def fields(cls: type[object]) -> list[Field]:
    """Return the fields of a dataclass in their order, those that are tables left out."""
    return [
        Field(field.name, kind(hint), _default(field), about(cls).get(field.name, ""))
        for field, hint in _hinted(cls)
        if not _tables_in(hint)
    ]


def tables(cls: type[object], prefix: str = "") -> list[tuple[str, type[object]]]:
    """Return the tables of a configuration, nested ones too, as TOML heads them."""
    found: list[tuple[str, type[object]]] = []
    for field, hint in _hinted(cls):
        for inner in _tables_in(hint):
            is_list = typing.get_origin(hint) is tuple
            path = f"{prefix}{field.name}"
            found.append((f"[[{path}]]" if is_list else f"[{path}]", inner))
            found += tables(inner, f"{path}.")
    return found


def _hinted(cls: type[object]) -> list[tuple[dataclasses.Field[object], object]]:
    hints = typing.get_type_hints(cls)
    return [(f, hints[f.name]) for f in dataclasses.fields(typing.cast("type", cls))]


def _tables_in(hint: object) -> list[type[object]]:
    inner = (hint, *typing.get_args(hint))
    return [each for each in inner if isinstance(each, type) and dataclasses.is_dataclass(each)]


def kind(hint: object) -> str:
    """Return a type in words for people."""
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        return kind(next(arg for arg in typing.get_args(hint) if arg is not type(None)))
    if origin is tuple:
        return f"list: {kind(typing.get_args(hint)[0])}"
    if origin is dict:
        return f"table: {kind(typing.get_args(hint)[1])} by name"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    return names.get(typing.cast("type", hint), getattr(hint, "__name__", str(hint)))


def _default(field: dataclasses.Field[object]) -> str:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        return "required"
    if value is None:
        return ""
    return f"`{_toml(value)}`"


def _toml(value: object) -> str:
    if isinstance(value, Enum):
        return _toml(value.value)
    if isinstance(value, bool | str | Path):
        return json.dumps(value if isinstance(value, bool) else str(value), ensure_ascii=False)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(each)}' for key, each in value.items())}}}"
    return str(value)


@cache
def about(cls: type[object]) -> dict[str, str]:
    """Return the string under each field of a class, or under each member of an enumeration."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = typing.cast("ast.ClassDef", tree.body[0]).body
    found: dict[str, str] = {}
    for node, after in pairwise(body):
        target = node.target if isinstance(node, ast.AnnAssign) else None
        target = node.targets[0] if isinstance(node, ast.Assign) else target
        if isinstance(target, ast.Name) and (text := _string(after)):
            found[target.id] = text
    return found


def _string(node: ast.stmt) -> str:
    is_one = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    value = node.value.value if is_one else ""  # pyrefly: ignore[missing-attribute] - see is_one
    return " ".join(value.split()) if isinstance(value, str) else ""
