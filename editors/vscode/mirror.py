"""Writes what the extension knows of the server: its settings, commands and reasons.

    python editors/vscode/mirror.py

The settings go into `package.json`, behind the extension's own; the rest into `src/server.json`.
`tests/vscode` compares both with the server on every run.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import textwrap
import typing
from enum import Enum
from pathlib import Path

from fimble.fim import FORMATS
from fimble.settings import EngineSettings, Settings, TelemetrySettings
from lsp_server.decisions import Why
from lsp_server.features import EXPLAIN_COMMAND
from lsp_server.wire import ACCEPTED_COMMAND

HERE = Path(__file__).parent
MANIFEST, SERVER = HERE / "package.json", HERE / "src" / "server.json"
SECTION = "fimble"

NOT_MIRRORED = frozenset({"eval", "rollout", "telemetry.plugin_version"})
"""Of other commands; of `fimble.toml` alone; what the extension says itself."""
FROM_WORKSPACES = frozenset({"completion", "context", "telemetry.level"})
"""What a folder's own settings may say; the rest would let a repository send code elsewhere."""
NOT_FROM_WORKSPACES = frozenset({"completion.in_secret_files"})
OFF_HERE = (Why.TOO_LARGE, Why.DISABLED, Why.GLOB, Why.IGNORED, Why.SECRET)
"""Reasons that lie in the document, so that there will be no suggestion later either."""

_RANGE = re.compile(r"(?<![\w.])(\d+) to (\d+)(?!\w|\.\d)")
_LEAST = re.compile(r"(?:(?<![\w.])(?=\d+ or more)|(?<=at least ))(\d+)")
_ZERO_IS_SPECIAL = re.compile(r"; 0 \w+")

Table = dict[str, object]


def settings_of_server() -> list[Table]:
    """Return a category of VS Code's settings for each table of `fimble.toml`."""
    categories: list[Table] = []
    for number, table in enumerate(dataclasses.fields(Settings), start=1):
        if table.name in NOT_MIRRORED:
            continue
        section = typing.get_type_hints(Settings)[table.name]
        title = f"Fimble: {table.name.capitalize()}"
        properties = {f"{SECTION}.{key}": each for key, each in _properties(section, table.name)}
        categories.append({"title": title, "order": number, "properties": properties})
    return categories


def facts_of_server() -> Table:
    """Return what the extension's code knows of the server."""
    return {
        "acceptedCommand": ACCEPTED_COMMAND,
        "explainCommand": EXPLAIN_COMMAND,
        "offHere": [why.value for why in OFF_HERE],
        "tokenVariable": EngineSettings().token_variable,
        "telemetryLevel": TelemetrySettings().level.value,
    }


def with_settings(manifest: Table) -> Table:
    """Return a manifest whose settings are the extension's own, then those of the server."""
    contributes = typing.cast("dict[str, list[Table]]", manifest["contributes"])
    configuration = [contributes["configuration"][0], *settings_of_server()]
    return {**manifest, "contributes": {**contributes, "configuration": configuration}}


def written(table: Table) -> str:
    """Return JSON as it lies in the files."""
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


def _properties(section: type, where: str) -> list[tuple[str, Table]]:
    """Return the settings of one table, and of the tables in it, by their path."""
    hints, texts = typing.get_type_hints(section), _docstrings(section)
    found: list[tuple[str, Table]] = []
    for field in dataclasses.fields(section):
        path, hint = f"{where}.{field.name}", hints[field.name]
        if path in NOT_MIRRORED:
            continue
        if dataclasses.is_dataclass(hint):
            found += _properties(typing.cast("type", hint), path)
            continue
        default = field.default if field.default is not dataclasses.MISSING else None
        entry = {
            **_schema(field.name, hint, default, texts.get(field.name, "")),
            "order": len(found),
        }
        found.append((path, {**entry, "scope": _scope(path)}))
    return found


def _scope(path: str) -> str:
    is_open = path.split(".", maxsplit=1)[0] in FROM_WORKSPACES or path in FROM_WORKSPACES
    return "window" if is_open and path not in NOT_FROM_WORKSPACES else "machine"


def _schema(name: str, hint: object, default: object, text: str) -> Table:
    """Return type, default, limits and description of a setting."""
    described: Table = {"markdownDescription": text} if text else {}
    if typing.get_origin(hint) is tuple:
        plain = list(typing.cast("tuple[object, ...]", default))
        return {"type": "array", "items": {"type": "string"}, "default": plain, **described}
    if isinstance(hint, type) and issubclass(hint, Enum):
        members = _docstrings(hint)
        return {
            "type": "string",
            "enum": [str(member.value) for member in hint],
            "enumDescriptions": [members.get(member.name, "") for member in hint],
            "default": str(typing.cast("Enum", default).value),
            **described,
        }
    if name == "fim_format":
        described["enum"] = list(FORMATS)
    kind = {bool: "boolean", int: "integer", float: "number", str: "string"}[
        typing.cast("type", hint)
    ]
    limits = _limits(text) if kind == "integer" else {}
    return {"type": kind, "default": default, **limits, **described}


def _limits(text: str) -> Table:
    """Return the limits that a description names; what 0 means is described apart from them."""
    is_zero_special = _ZERO_IS_SPECIAL.search(text) is not None
    if found := _RANGE.search(text):
        least, most = (int(number) for number in found.groups())
        return {"minimum": 0 if is_zero_special else least, "maximum": most}
    if is_zero_special:
        return {"minimum": 0}
    found = _LEAST.search(text)
    return {"minimum": int(found.group(1))} if found else {}


def _docstrings(section: type) -> dict[str, str]:
    """Return the strings below the attributes of a class, as one line each."""
    (cls,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    found: dict[str, str] = {}
    name = ""
    for node in typing.cast("ast.ClassDef", cls).body:
        if isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = ast.unparse(target)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            found[name] = " ".join(str(node.value.value).split())
    return found


if __name__ == "__main__":
    MANIFEST.write_text(written(with_settings(json.loads(MANIFEST.read_text("utf-8")))), "utf-8")
    SERVER.write_text(written(facts_of_server()), "utf-8")
