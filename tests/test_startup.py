"""What a process loads before it is of use: the server stays free of heavy packages."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "numpy", "scipy", "duckdb", "pandas", "pyarrow", "onnxruntime"}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages in a new interpreter after `statement`."""
    code = f"{statement}; import sys; print(*{{m.partition('.')[0] for m in sys.modules}})"
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "lsp_server.command",
        "lsp_server.editor_process",
        "lsp_server.engines.shared",
        "lsp_server.engines.tgi",
    ],
)
def test_the_language_server_loads_none_of_the_heavy_packages(module: str) -> None:
    assert HEAVY.isdisjoint(loaded_by(f"import {module}"))


def test_protocol_types_come_whole_and_leave_attrs_as_it_was() -> None:
    check = (
        "import attrs; define = attrs.define; from lsp_server.command import *;"
        "import_protocol_types(); assert attrs.define is define;"
        "from lsprotocol import types; from pygls.protocol import default_converter;"
        "p = types.Position(1, 2); assert p == types.Position(line=1, character=2);"
        "assert default_converter().unstructure(p) == {'line': 1, 'character': 2}"
    )
    assert "lsprotocol" in loaded_by(check)


def test_what_the_parts_share_loads_only_what_an_editor_install_has() -> None:
    modules = "cli, config, context, engine, events, files, fim, languages, manifest, settings"
    loaded = loaded_by(f"from fimble import {modules}, spool, stops, text")
    assert HEAVY.isdisjoint(loaded)
    assert {"pygls", "lsprotocol", "aiohttp", "training", "lsp_server", "telemetry"}.isdisjoint(
        loaded
    )


def test_a_query_waits_for_no_package_that_it_does_not_need() -> None:
    loaded = loaded_by("import telemetry.command")
    assert {"scipy", "aiohttp", "pandas", "matplotlib", "jinja2", "pyarrow"}.isdisjoint(loaded)
