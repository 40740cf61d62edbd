"""A real Neovim with its own client and the five lines of `editors/neovim/init.lua`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from fimble.paths import SHIPPED_MODEL
from tests.neovim.editor import Editor, leave
from tests.stand_ins.lsp_client import events_in

if TYPE_CHECKING:
    from tests.stand_ins.tgi_app import TgiScript

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_ghost_text_appears_and_tab_takes_it(editor: Editor, tgi: TgiScript) -> None:
    editor.edit("module.py", "def add(a, b):\n")
    editor.keys("o")
    editor.until(lambda: editor.ghost == "return a + b")
    assert tgi.prompts[0].startswith("<|file_sep|>module.py\n")
    editor.keys("<Tab>")
    editor.until(lambda: editor.lines == ["def add(a, b):", "    return a + b"])
    editor.until(lambda: len(editor.outcomes()) == 1)
    assert editor.ghost == ""
    leave(editor)
    assert editor.outcomes() == [("accepted", "editor", 12)]
    started = events_in(editor.folder / "data" / "spool")[0]
    assert (started["editor"], started["editor_version"][:4]) == ("Neovim", "0.12")


def test_the_shipped_model_completes_in_a_plain_neovim(editor_with_engine: Editor) -> None:
    editor = editor_with_engine
    editor.edit("lines.js", 'const fs = require("fs");\n\nfunction read(path) {\n}\n')
    editor.keys("jjoconst text = fs.")
    editor.until(lambda: editor.ghost.startswith("readFile"))
    ghost = editor.ghost
    editor.keys("<Tab>")
    editor.until(lambda: editor.lines[3].strip() == f"const text = fs.{ghost}")
    leave(editor)
    assert ("accepted", "editor") in {outcome[:2] for outcome in editor.outcomes()}
    served = [e for e in events_in(editor.folder / "data" / "spool") if e["ev"] == "served"]
    assert {(e["model"], e["backend"]) for e in served} == {(SHIPPED_MODEL, "embedded")}


def test_ghost_text_shrinks_while_the_user_types_it(editor: Editor, tgi: TgiScript) -> None:
    editor.edit("module.py", "def add(a, b):\n")
    editor.keys("o")
    editor.until(lambda: editor.ghost == "return a + b")
    for char in "return":
        editor.keys(char)
        time.sleep(0.03)
    editor.until(lambda: editor.ghost == " a + b" and "cache=typed" in editor.log())
    editor.keys(" a + b")
    editor.until(lambda: len(editor.outcomes()) == 1)
    leave(editor)
    assert editor.outcomes() == [("typed_through", "inferred", 0)]
    assert len(tgi.prompts) == 2


def test_ghost_text_goes_when_the_user_writes_something_else(
    editor: Editor, tgi: TgiScript
) -> None:
    editor.edit("module.py", "def add(a, b):\n")
    editor.keys("o")
    editor.until(lambda: editor.ghost == "return a + b")
    time.sleep(0.3)
    tgi.answer = lambda _: []
    editor.keys("zq")
    editor.until(lambda: editor.ghost == "" and "NOTHING" in editor.log())
    editor.keys("<Esc>")
    leave(editor)
    assert editor.outcomes() == [("rejected", "inferred", 0)]


def test_several_lines_with_an_emoji_are_taken_in_a_file_with_crlf(
    editor: Editor, tgi: TgiScript
) -> None:
    body = ["a = '😀'", "\n", "    b = 2", "\n", "\n", "\n"]
    tgi.answer = lambda prompt: body if prompt.endswith("    <|fim_middle|>") else []
    editor.edit("module.py", "é = '😀'\r\nif é:\r\n")
    assert editor.nvim.api.get_option_value("fileformat", {}) == "dos"
    editor.keys("Go")
    editor.until(lambda: editor.ghost == "a = '😀'\n    b = 2")
    editor.keys("<Tab>")
    wanted = ["é = '😀'", "if é:", "    a = '😀'", "    b = 2"]
    editor.until(lambda: editor.lines == wanted)
    editor.until(lambda: len(editor.outcomes()) == 1)
    editor.keys("<Esc>:write<CR>")
    path = editor.folder / "project" / "module.py"
    editor.until(lambda: path.read_bytes().decode() == "".join(f"{line}\r\n" for line in wanted))
    leave(editor)
    assert editor.outcomes() == [("accepted", "editor", 17)]


def test_a_bracket_closed_by_the_editor_stays_single(editor: Editor, tgi: TgiScript) -> None:
    tgi.answer = lambda prompt: ["int", "(x)", "\n"] if prompt.endswith("= <|fim_middle|>") else []
    # The smallest auto-pairs there is.
    editor.nvim.command("inoremap ( ()<Left>")
    editor.edit("module.py", "\n")
    editor.keys("iy = ")
    editor.until(lambda: editor.ghost == "int(x)")
    for char in "int(":
        editor.keys(char)
        time.sleep(0.03)
    editor.until(lambda: editor.ghost == "x")
    editor.keys("<Tab>")
    editor.until(lambda: editor.lines == ["y = int(x)"])
    editor.until(lambda: len(editor.outcomes()) == 1)
    leave(editor)
    assert editor.outcomes() == [("accepted", "editor", 1)]


def test_undo_after_an_acceptance_gives_the_old_text_back(editor: Editor) -> None:
    editor.edit("module.py", "def add(a, b):\n")
    editor.keys("o")
    editor.until(lambda: editor.ghost == "return a + b")
    editor.keys("<Tab>")
    editor.until(lambda: editor.lines[-1] == "    return a + b")
    editor.keys("<Esc>u")
    editor.until(lambda: editor.lines == ["def add(a, b):"])
    editor.keys("o")
    editor.until(lambda: editor.ghost == "return a + b")
    leave(editor)
