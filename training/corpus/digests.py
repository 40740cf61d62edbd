"""Hashes of everything that decides a result: recipe, code, libraries, input.

Every intermediate result lies in a folder named by such a hash, so a build repeats only what a
change touches.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fimble.languages import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIBRARIES = ("duckdb", "kingfisher-secret-scanner", "numpy", "pyarrow", "tree-sitter")


def digest_of(value: object) -> str:
    """Return the hash of a value of JSON's types; other types count as their text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)


def code_digest(module: str, data: Sequence[Path] = ()) -> str:
    """Return the hash of what a module does, with all of our modules that it imports.

    The versions of the libraries count; comments, docstrings and layout do not, so that better
    words repeat no stage.

    Args:
        module: Full name.
        data: Files that they read.
    """
    trees = {name: _plain_tree(path) for name, path in sorted(_reachable(module).items())}
    code = {name: ast.dump(tree) for name, tree in trees.items()}
    return digest_of([code, [path.read_text("utf-8") for path in data], library_versions()])


def _reachable(module: str) -> dict[str, Path]:
    """Return the names and files of a module and of ours that it imports, directly or not."""
    found: dict[str, Path] = {}
    ours = {"fimble", "training", module.partition(".")[0]}
    names = [module]
    while names:
        name = names.pop()
        path = _file_of(name) if name.partition(".")[0] in ours else None
        if path is not None and name not in found:
            found[name] = path
            names += _imports(path)
    return found


@cache
def _file_of(module: str) -> Path | None:
    """Return the file of a module in a package; None if it is a package or no module."""
    package, _, name = module.rpartition(".")
    spec = find_spec(package) if package else None
    folders = spec.submodule_search_locations if spec is not None else None
    path = Path(next(iter(folders or [""]))) / f"{name}.py"
    return path if path.is_file() else None


@cache
def _imports(path: Path) -> list[str]:
    """Return the modules that a file imports, and the names it takes from packages."""
    names: list[str] = []
    for node in ast.walk(_plain_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        elif isinstance(node, ast.Import):
            names += [each.name for each in node.names]
    return names


@cache
def _plain_tree(path: Path) -> ast.Module:
    """Return the code of a file without docstrings, and without what only type checkers see."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            node.body = [each for each in node.body if not _says_nothing(each)]
    return tree


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return _is_string(node)


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
