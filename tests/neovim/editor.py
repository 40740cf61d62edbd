"""A real Neovim without a screen, with a language server and folders of its own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pynvim

from tests.stand_ins.lsp_client import events_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "editors" / "neovim" / "init.lua"
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


def surroundings(folder: Path, config: str) -> dict[str, str]:
    """Write the configuration, and return the variables that keep Neovim and server in `folder`."""
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
    return {"PATH": path, **{name: str(folder / value) for name, value in folders.items()}}


def started(neovim: Path, folder: Path, config: str, *, init: Path = CONFIG) -> Iterator[Editor]:
    """Yield a Neovim with the file `init`, whose language server has this configuration."""
    variables = surroundings(folder, config)
    command = ["env", *(f"{name}={value}" for name, value in variables.items())]
    command += [str(neovim), "--embed", "--headless", "-n", "-i", "NONE", "-u", str(init)]
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
