"""Neovim as a person has it: in a terminal, where it starts itself a second time for its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest

from tests.neovim.editor import CONFIG, LIMIT_S, surroundings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stand_ins.tgi_app import TgiScript

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROWS, COLUMNS = 24, 80
PAUSE_S = 2.0
"""Without a new character on the screen; longer than Neovim waits before it asks."""


def press(terminal: int, *keys: bytes) -> None:
    """Press keys with pauses: what follows Escape at once is a key with Alt."""
    for some in keys:
        os.write(terminal, some)
        time.sleep(0.2)


def show(terminal: int, keys: tuple[bytes, ...], wanted: bytes) -> None:
    """Press keys, again and again while the language server starts, until `wanted` is written."""
    output = b""
    deadline_s = time.monotonic() + LIMIT_S
    while wanted not in output:
        assert time.monotonic() < deadline_s, output
        press(terminal, *keys)
        while wanted not in output and select.select([terminal], [], [], PAUSE_S)[0]:
            output += os.read(terminal, 65536)


def test_ghost_text_is_seen_in_a_terminal(neovim: Path, tgi: TgiScript, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("def add(a, b):\n")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    config = f'[engine]\ntgi_url = "{tgi.url}"\n'
    process = subprocess.Popen(
        [neovim, "-n", "-i", "NONE", "-u", CONFIG, path],
        env={**os.environ, **surroundings(tmp_path, config), "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        show(ours, (b"\x1b", b":edit!\r", b"o"), b"return")
        press(ours, b"\t", b"\x1b", b":wq\r")
        assert process.wait(LIMIT_S) == 0
        assert path.read_text() == "def add(a, b):\n    return a + b\n"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
