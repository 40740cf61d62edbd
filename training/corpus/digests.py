"""Hashes of everything that decides a result: recipe, code, libraries, input.

Every intermediate result lies in a folder named by such a hash, so a build repeats only what a
change touches.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fimble.languages import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_LIBRARIES = ("duckdb", "kingfisher-secret-scanner", "numpy", "pyarrow", "tree-sitter")


def digest_of(value: object) -> str:
    """Return the hash of a value of JSON's types; other types count as their text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)


def code_digest(modules: Sequence[ModuleType], data: Sequence[Path] = ()) -> str:
    """Return the hash of what some modules do, and of the versions of the libraries they use.

    Comments, docstrings and layout do not count, so that better words repeat no stage.

    Args:
        modules: Python modules.
        data: Files that they read.
    """
    trees = [ast.parse(Path(str(module.__file__)).read_text("utf-8")) for module in modules]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            node.body = [each for each in node.body if not _is_string(each)]
    contents = [path.read_text("utf-8") for path in data]
    return digest_of([[ast.dump(tree) for tree in trees], contents, library_versions()])


def _is_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of every library that decides what is kept."""
    wheels = {row.grammar.partition(":")[0].replace("_", "-") for row in LANGUAGES}
    names = sorted({*_LIBRARIES, *wheels})
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def file_name(key: str) -> str:
    """Return the key of a source as a file name."""
    name = quote(key.replace(":", "-", 1), safe="@+~=")
    # File systems allow 255 bytes; the hash keeps long names apart.
    return name if len(name) <= 150 else f"{name[:130]}-{digest_of(key)[:16]}"
