"""The shipped model in a real VS Code, in the place of a server that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fimble.errors import ModelFolderError
from fimble.paths import SHIPPED_MODEL, model_dir
from tests.vscode.window import GHOST, installed, window

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.vscode, pytest.mark.timeout(400)]


async def test_the_shipped_model_answers_and_the_status_says_why(tmp_path: Path) -> None:
    try:
        model_dir(SHIPPED_MODEL)
    except ModelFolderError as error:
        pytest.skip(str(error))
    browser, code = installed()
    config = '[engine]\ntgi_url = "http://127.0.0.1:9"\nidle_exit_s = 5\n'
    settings: dict[str, object] = {"workbench.colorTheme": "Default Dark Modern"}
    async with window(code, browser, tmp_path, config=config, settings=settings) as shown:
        text = 'const fs = require("fs");\n\nfunction read(path) {\n}\n'
        await shown.edit("lines.js", text, line=3)
        await shown.press("Enter")
        await shown.write("const text = fs.")
        ghost = await shown.until_seen(GHOST, lambda seen: seen.startswith("readFile"))
        await shown.status(lambda seen: seen.startswith(f" Fimble: {SHIPPED_MODEL}"))
        await shown.press("Tab")
        await shown.until(lambda: f"fs.{ghost}" in (shown.project / "lines.js").read_text())
        taken = ("accepted", "editor", len(ghost))
        # Keys that came before an answer on a busy machine left outcomes of their own.
        await shown.until(lambda: taken in [outcome[:3] for outcome in shown.outcomes()])
        await shown.run("Fimble: Why No Suggestion?")
        await shown.page.wait_for("the server does not answer: no answer from http://127.0.0.1:9")
        served = {(e["model"], e["backend"]) for e in shown.events("served")}
        assert served == {(SHIPPED_MODEL, "embedded")}
