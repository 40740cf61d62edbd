"""The plugin of `editors/neovim` in a real Neovim: parts of suggestions, health, help."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from tests.neovim.editor import ROOT, Editor, leave, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stand_ins.tgi_app import TgiScript

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PLUGIN = ROOT / "editors" / "neovim"
INIT = """
vim.opt.packpath:prepend(vim.env.XDG_DATA_HOME .. '/nvim/site')
vim.cmd.packadd('fimble')
require('fimble').setup({ settings = { completion = { shown_after_ms = 10 } } })
"""


@pytest.fixture
def editor(neovim: Path, tgi: TgiScript, tmp_path: Path) -> Iterator[Editor]:
    """Start Neovim with the plugin as one of its own packages."""
    packages = tmp_path / "xdg-data" / "nvim" / "site" / "pack" / "fimble" / "opt"
    packages.mkdir(parents=True)
    (packages / "fimble").symlink_to(PLUGIN, target_is_directory=True)
    init = tmp_path / "plugin.lua"
    init.write_text(INIT)
    yield from started(neovim, tmp_path, f'[engine]\ntgi_url = "{tgi.url}"\n', init=init)


def test_words_of_a_suggestion_are_taken_one_by_one(editor: Editor, tgi: TgiScript) -> None:
    tgi.answer = lambda prompt: (
        ["größe", "(a, '😀') + b", "\n"] if prompt.endswith("    <|fim_middle|>") else []
    )
    editor.edit("module.py", "def add(a, b):\n")
    editor.keys("o")
    editor.until(lambda: editor.ghost == "größe(a, '😀') + b")
    editor.keys("<M-Right>")
    editor.until(lambda: (editor.lines[1], editor.ghost) == ("    größe", "(a, '😀') + b"))
    editor.keys("<M-Right>")
    editor.until(lambda: (editor.lines[1], editor.ghost) == ("    größe(", "a, '😀') + b"))
    editor.keys("<Tab>")
    editor.until(lambda: editor.lines[1] == "    größe(a, '😀') + b")
    editor.until(lambda: len(editor.outcomes()) == 1)
    leave(editor)
    assert editor.outcomes() == [("accepted", "editor", len("größe(a, '😀') + b"))]


def test_the_first_line_of_a_suggestion_is_taken(editor: Editor, tgi: TgiScript) -> None:
    body = ["a = '😀'", "\n", "    b = 2", "\n", "\n", "\n"]
    tgi.answer = lambda prompt: body if prompt.endswith("    <|fim_middle|>") else []
    editor.edit("module.py", "if é:\r\n")
    editor.keys("Go")
    editor.until(lambda: editor.ghost == "a = '😀'\n    b = 2")
    editor.keys("<M-Down>")
    editor.until(lambda: editor.lines == ["if é:", "    a = '😀'"])
    editor.until(lambda: editor.ghost.strip() == "b = 2")
    editor.keys("<M-Down>")
    editor.until(lambda: editor.lines == ["if é:", "    a = '😀'", "    b = 2"])
    leave(editor)


def test_keys_do_what_they_did_where_there_is_no_suggestion(editor: Editor, tgi: TgiScript) -> None:
    tgi.answer = lambda _: []
    editor.edit("module.py", "")
    editor.keys("ix<Tab>y<Esc>")
    editor.until(lambda: editor.lines in (["x\ty"], ["x   y"]))


def test_checkhealth_says_what_works(editor: Editor) -> None:
    editor.edit("module.py", "\n")
    editor.nvim.command("checkhealth fimble")
    said = "\n".join(editor.lines)
    assert "shows inline completions" in said
    assert f"install: fimble {version('fimble')}" in said
    assert "a language server runs, for 1 buffers" in said
    assert "ERROR" not in said


def test_checkhealth_says_that_the_program_is_missing(editor: Editor) -> None:
    editor.nvim.exec_lua("require('fimble').options.cmd = { 'no-such-fimble', 'lsp' }")
    editor.nvim.command("checkhealth fimble")
    said = "\n".join(editor.lines)
    assert "ERROR there is no program `no-such-fimble`" in said
    assert "pipx install ." in said


def test_help_and_commands_are_there(editor: Editor, tmp_path: Path) -> None:
    doc = tmp_path / "doc"
    doc.mkdir()
    (doc / "fimble.txt").write_bytes((PLUGIN / "doc" / "fimble.txt").read_bytes())
    editor.nvim.command(f"helptags {doc}")
    tags = [line.split("\t")[0] for line in (doc / "tags").read_text().splitlines()]
    assert {"fimble", "fimble-options", ":FimbleExplain", ":FimbleToggle"} <= set(tags)
    editor.edit("module.py", "def add(a, b):\n")
    editor.keys("o")
    editor.until(lambda: editor.ghost == "return a + b")
    editor.nvim.command("FimbleToggle")
    editor.until(lambda: editor.ghost == "")
    editor.keys("<Esc>")
    editor.nvim.command("FimbleExplain")
    editor.until(lambda: "Fimble:" in editor.nvim.command_output("messages"))
    leave(editor)
