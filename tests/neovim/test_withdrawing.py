"""A request that Neovim no longer needs: the engine is freed, and the spool knows of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.neovim.editor import leave
from tests.stand_ins.lsp_client import events_in

if TYPE_CHECKING:
    from tests.neovim.editor import Editor
    from tests.stand_ins.tgi_app import TgiScript

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_request_that_insert_mode_leaves_behind_is_cancelled(
    editor: Editor, tgi: TgiScript
) -> None:
    tgi.delay_s = 0.5
    editor.edit("module.py", "def add(a, b):\n")
    editor.keys("o")
    editor.until(lambda: len(tgi.prompts) == 1)
    time.sleep(0.3)  # Neovim asks 200 ms after a key
    editor.keys("<Esc>")
    editor.until(lambda: tgi.num_closed_early == 1)
    assert editor.ghost == ""
    leave(editor)
    spool = events_in(editor.folder / "data" / "spool")
    missed = [event["reason"] for event in spool if event["ev"] == "opportunity"]
    assert missed == ["cancelled"]
    assert editor.outcomes() == []
