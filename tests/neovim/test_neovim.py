"""A real Neovim with its own client and the five lines of `editors/neovim/init.lua`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pynvim
import pytest

from fimble.errors import ModelFolderError
from fimble.paths import SHIPPED_MODEL, model_dir
from tests.neovim.fetch import CannotFetchError, fetch
from tests.stand_ins.lsp_client import events_in
from tests.stand_ins.tgi_app import TgiScript, tgi_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "editors" / "neovim" / "init.lua"
BODY = ["return", " a", " +", " b", "\n", "\n", "\n", "def"]
LIMIT_S = 30.0
_LISTENS = """
local group = 'nvim.lsp.inline_completion:' .. vim.api.nvim_get_current_buf()
local found, listeners = pcall(vim.api.nvim_get_autocmds, { group = group })
return found and #listeners > 0
"""
_ATTACHED: list[pynvim.Nvim] = []
"""pynvim leaves its pipes to the garbage collector, which would fail a later test: none comes."""


class Editor:
    """A Neovim without a screen, driven by keys."""

    def __init__(self, nvim: pynvim.Nvim, folder: Path) -> None:
        self.nvim = nvim
        self.folder = folder

    def edit(self, name: str, text: str) -> None:
        """Open a file with `text` and wait until Neovim would ask the language server."""
        path = self.folder / "project" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
        self.nvim.command(f"edit {path}")
        self.until(lambda: self.nvim.exec_lua(_LISTENS))

    def keys(self, keys: str) -> None:
        """Press keys as a user would."""
        self.nvim.input(keys)

    @property
    def lines(self) -> list[str]:
        """The lines of the buffer."""
        return self.nvim.current.buffer[:]

    @property
    def ghost(self) -> str:
        """The ghost text on screen, with its lines joined by LF."""
        namespace = self.nvim.api.create_namespace("nvim.lsp.inline_completion")
        marks = self.nvim.api.buf_get_extmarks(0, namespace, 0, -1, {"details": True})
        lines = [
            "".join(text for text, *_ in line)
            for *_, details in marks
            for line in (details["virt_text"], *details.get("virt_lines", []))
        ]
        return "\n".join(lines)

    def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until the editor is where it should be."""
        deadline = time.monotonic() + LIMIT_S
        while not is_true():
            assert time.monotonic() < deadline, (self.ghost, self.lines, self.log())
            time.sleep(0.02)

    def log(self) -> str:
        """Return what the language server has logged."""
        path = self.folder / "state" / "lsp.log"
        return path.read_text() if path.exists() else ""

    def outcomes(self) -> list[tuple[object, object, object]]:
        """Return outcome, source and accepted characters of every resolved completion."""
        events = events_in(self.folder / "data" / "spool")
        fields = ("outcome", "source", "accepted_chars")
        resolved = [event for event in events if event["ev"] == "resolved"]
        return [tuple(event[field] for field in fields) for event in resolved]


@pytest.fixture(scope="module")
def neovim() -> Path:
    """Return a Neovim that knows inline completion; skip where none can be had."""
    try:
        return fetch(ROOT / "build" / "neovim").absolute()
    except CannotFetchError as error:
        pytest.skip(f"no Neovim 0.12 to test with: {error}")


def _answer(prompt: str) -> list[str]:
    return [] if prompt.endswith("b<|fim_middle|>") else BODY


@pytest.fixture
def tgi() -> Iterator[TgiScript]:
    """Run a TGI server that says the body of a small function."""
    with tgi_server(TgiScript(answer=_answer, delay_s=0.02)) as script:
        yield script


@pytest.fixture
def editor(neovim: Path, tgi: TgiScript, tmp_path: Path) -> Iterator[Editor]:
    """Start Neovim with our configuration, in folders of its own."""
    yield from started(neovim, tmp_path, f'[engine]\ntgi_url = "{tgi.url}"\n')


@pytest.fixture
def editor_with_engine(neovim: Path, tmp_path: Path) -> Iterator[Editor]:
    """The same with the embedded engine and the shipped model."""
    try:
        model = model_dir(SHIPPED_MODEL)
    except ModelFolderError as error:
        pytest.skip(str(error))
    yield from started(neovim, tmp_path, f'[engine]\nmodel = "{model}"\nidle_exit_s = 5\n')


def started(neovim: Path, folder: Path, config: str) -> Iterator[Editor]:
    """Yield a Neovim whose language server has this configuration."""
    (folder / "fimble.toml").write_text(f"{config}[completion]\ndeadline_ms = 0\n")
    folders = {
        "XDG_CONFIG_HOME": "config",
        "XDG_DATA_HOME": "xdg-data",
        "XDG_STATE_HOME": "xdg-state",
        "XDG_CACHE_HOME": "xdg-cache",
        "FIMBLE_DATA_DIR": "data",
        "FIMBLE_STATE_DIR": "state",
        "FIMBLE_CONFIG": "fimble.toml",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, **{name: str(folder / value) for name, value in folders.items()}}
    command = ["env", *(f"{name}={value}" for name, value in variables.items())]
    command += [str(neovim), "--embed", "--headless", "-n", "-i", "NONE", "-u", str(CONFIG)]
    nvim = pynvim.attach("child", argv=command)
    _ATTACHED.append(nvim)
    yield Editor(nvim, folder)
    nvim.close()


def leave(editor: Editor) -> None:
    """Leave Neovim, and wait until the language server has closed its segment."""
    spool = editor.folder / "data" / "spool"
    editor.nvim.command("stopinsert")
    editor.nvim.command("qa!", async_=True)
    deadline = time.monotonic() + LIMIT_S
    while not any(event["ev"] == "session_ended" for event in events_in(spool)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


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
