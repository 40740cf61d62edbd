"""What the extension for VS Code knows of the server is what the server is."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from fimble.errors import ConfigError
from fimble.settings import Settings, with_client_options
from lsp_server.features import make_server

if TYPE_CHECKING:
    from types import ModuleType

EXTENSION = Path(__file__).parents[2] / "editors" / "vscode"


def _mirror() -> ModuleType:
    """Import the script; the extension's folder is no package."""
    spec = importlib.util.spec_from_file_location("mirror", EXTENSION / "mirror.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MIRROR = _mirror()
MANIFEST = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
CODE = "\n".join(path.read_text(encoding="utf-8") for path in (EXTENSION / "src").glob("*.ts"))
PROPERTIES = {
    name: schema
    for category in MANIFEST["contributes"]["configuration"][1:]
    for name, schema in category["properties"].items()
}


def overlaid(name: str, value: object) -> Settings:
    """Return the server's settings with one of the editor's over them."""
    *tables, key = name.split(".")[1:]
    options: dict[str, object] = {key: value}
    for table in reversed(tables):
        options = {table: options}
    return with_client_options(Settings(), options)


def test_the_settings_of_the_manifest_are_those_of_the_server() -> None:
    """`python editors/vscode/mirror.py` writes them anew."""
    assert json.loads(MIRROR.written(MIRROR.with_settings(MANIFEST))) == MANIFEST
    facts = json.loads((EXTENSION / "src" / "server.json").read_text(encoding="utf-8"))
    assert facts == MIRROR.facts_of_server()


def test_every_setting_but_those_of_other_commands_is_there() -> None:
    assert len(PROPERTIES) > 30
    tables = {name.split(".")[1] for name in PROPERTIES}
    assert tables == {"engine", "completion", "context", "telemetry"}
    assert PROPERTIES["fimble.completion.debounce_ms"] == {
        "type": "integer",
        "default": 50,
        "minimum": 0,
        "maximum": 5000,
        "markdownDescription": "Longest pause after a key before a new generation starts, 0 to "
        "5000 ms; the pause is shorter where the engine answers before the next key.",
        "order": 1,
        "scope": "window",
    }
    assert PROPERTIES["fimble.completion.window.prefix_bytes"]["minimum"] == 64
    assert PROPERTIES["fimble.telemetry.level"]["enum"] == ["off", "metrics", "keys", "content"]
    described = ("markdownDescription", "enumDescriptions")
    undescribed = [n for n, s in PROPERTIES.items() if not any(s.get(key) for key in described)]
    assert undescribed == []


def test_the_server_takes_every_default_and_refuses_what_lies_outside_the_limits() -> None:
    num_limits = 0
    for name, schema in PROPERTIES.items():
        assert overlaid(name, schema["default"]) == Settings(), name
        for limit, step in (("minimum", -1), ("maximum", 1)):
            if limit not in schema:
                continue
            num_limits += 1
            if "window" not in name and limit == "maximum":
                overlaid(name, schema[limit])
            with pytest.raises(ConfigError):
                overlaid(name, schema[limit] + step)
    assert num_limits > 20


def test_what_a_repository_says_sends_no_code_elsewhere() -> None:
    """A folder's own settings do not reach those of the scope `machine`."""
    own = MANIFEST["contributes"]["configuration"][0]["properties"]
    assert own["fimble.command"]["scope"] == "machine"
    open_ones = {name for name, schema in PROPERTIES.items() if schema["scope"] != "machine"}
    assert not [name for name in open_ones if re.search("url|token_|ca_file|secret", name)]
    assert not [name for name in open_ones if name.startswith("fimble.engine.")]
    assert "fimble.completion.disabled_languages" in open_ones


def test_commands_that_the_extension_sends_are_those_of_the_server() -> None:
    facts = MIRROR.facts_of_server()
    known = make_server().protocol.fm.commands
    assert {facts["acceptedCommand"], facts["explainCommand"]} == set(known)


def test_every_command_of_the_manifest_is_registered_and_every_other_is_the_editors() -> None:
    declared = {command["command"] for command in MANIFEST["contributes"]["commands"]}
    registered = set(re.findall(r'^ {4}"(fimble\.\w+)":', CODE, re.MULTILINE))
    assert declared == registered
    assert not declared & set(cast("dict[str, object]", make_server().protocol.fm.commands))


def test_the_extension_has_the_version_of_the_server() -> None:
    pyproject = (EXTENSION.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{MANIFEST["version"]}"\n' in pyproject
