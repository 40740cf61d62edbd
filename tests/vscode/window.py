"""A VS Code in a headless browser, driven by keys, with the packaged extension in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.stand_ins.browser import Page, opened, program
from tests.stand_ins.lsp_client import events_in
from tests.vscode.fetch import VSIX, CannotFetchError, VsCode, fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LIMIT_S = 30.0
START_LIMIT_S = 120.0
"""A busy machine takes its time to load VS Code."""
SETTINGS = {
    "files.autoSave": "afterDelay",
    "files.autoSaveDelay": 50,
    "security.workspace.trust.enabled": False,
    "workbench.startupEditor": "none",
    "workbench.colorTheme": "Default Light Modern",
    "workbench.tips.enabled": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "chat.disableAIFeatures": True,
    "editor.minimap.enabled": False,
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.suggestOnTriggerCharacters": False,
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
    "extensions.autoCheckUpdates": False,
    "extensions.ignoreRecommendations": True,
}
GHOST = """(() => {
  const lines = [...document.querySelectorAll('.view-lines > .view-line')]
    .map((line) => [...line.querySelectorAll('[class*=ghost-text-decoration]')])
    .map((spans) => spans.map((span) => span.textContent).join(''));
  const below = [...document.querySelectorAll(
    '.suggest-preview-text .view-line, .ghost-text .view-line')];
  return [...lines.filter((line) => line), ...new Set(below)]
    .map((line) => (line.textContent ?? line).replace(/\\u00a0/g, ' ')).join('\\n');
})()"""
"""The ghost text on screen."""
_MODIFIERS = {"Alt": 1, "Ctrl": 2, "Shift": 8}
_CODES = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    "End": 35,
    "Home": 36,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Backspace": 8,
    "]": 221,
    "[": 219,
    "\\": 220,
    "F1": 112,
}
_NAMES = {"]": "BracketRight", "[": "BracketLeft", "\\": "Backslash"}


class Window:
    """One window of VS Code, with a folder open."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.project = folder / "project"

    async def settle(self) -> None:
        """Press keys until VS Code asks: its parts come up one after the other."""
        await self.until_seen(STATUS, lambda seen: seen == READY, limit_s=START_LIMIT_S)
        await self.edit(FIRST, FIRST_TEXT, line=1)
        deadline_s = time.monotonic() + START_LIMIT_S
        while "fimble.lsp:" not in self.log():
            assert time.monotonic() < deadline_s, await self.page.text()
            await self.press("Enter")
            await asyncio.sleep(1)
        await self.press("Escape")

    async def until(self, is_true: Callable[[], object]) -> None:
        """Wait for something outside of the browser."""
        deadline_s = time.monotonic() + LIMIT_S
        while not is_true():
            if time.monotonic() > deadline_s:
                await self.fail()
            await asyncio.sleep(0.05)

    async def until_seen(
        self, script: str, wanted: Callable[[str], object], *, limit_s: float = LIMIT_S
    ) -> str:
        """Wait until what a script gives is as wanted, and return it."""
        deadline_s = time.monotonic() + limit_s
        while True:
            seen = str(await self.page.value(script))
            if wanted(seen):
                return seen
            if time.monotonic() > deadline_s:
                await self.fail(seen)
            await asyncio.sleep(0.05)

    async def fail(self, seen: str = "") -> None:
        """Fail with what can be seen."""
        picture = self.folder / "failed.png"
        await self.page.screenshot(picture, width=1200, height=700)
        raise AssertionError((seen, await self.page.text(), self.log(), str(picture)))

    async def press(self, *keys: str) -> None:
        """Press keys such as `Tab` or `Ctrl+ArrowRight`."""
        for key in keys:
            *held, name = key.split("+") if len(key) > 1 else [key]
            about: dict[str, object] = {
                "key": name,
                "code": _NAMES.get(name, name if len(name) > 1 else f"Key{name.upper()}"),
                "windowsVirtualKeyCode": _CODES.get(name, ord(name[0].upper())),
                "modifiers": sum(_MODIFIERS[each] for each in held),
            }
            await self.page.send("Input.dispatchKeyEvent", type="rawKeyDown", **about)
            if name == "Enter":
                await self.page.send("Input.dispatchKeyEvent", type="char", text="\r", **about)
            await self.page.send("Input.dispatchKeyEvent", type="keyUp", **about)

    async def write(self, text: str, *, pause_s: float = 0.06) -> None:
        """Write text key by key."""
        for char in text:
            for kind in ("keyDown", "keyUp"):
                shown = {"text": char} if kind == "keyDown" else {}
                await self.page.send("Input.dispatchKeyEvent", type=kind, key=char, **shown)
            await asyncio.sleep(pause_s)

    async def click(self, selector: str, *, times: int = 1) -> None:
        """Click on the middle of an element, once it is there."""
        where = f"""(() => {{
          const box = document.querySelector({json.dumps(selector)})?.getBoundingClientRect();
          return box ? [box.x + box.width / 2, box.y + box.height / 2].join(" ") : "";
        }})()"""
        x, y = map(float, (await self.until_seen(where, bool)).split())
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                about = {"x": x, "y": y, "button": "left", "clickCount": count}
                await self.page.send("Input.dispatchMouseEvent", type=kind, **about)

    async def run(self, command: str) -> None:
        """Run a command by its title, as the palette shows it."""
        await self.press("F1")
        await self.until_seen(_LINES, bool)
        await self.write(command, pause_s=0.01)
        await self.pick(command)

    async def pick(self, line: str) -> None:
        """Take the line of the list that is open."""
        await self.until_seen(_LINES, lambda seen: line in seen.split("\n"))
        row = str(await self.page.value(_LINES)).split("\n").index(line)
        await self.click(f".quick-input-list .monaco-list-row[data-index='{row}']")

    async def edit(self, name: str, text: str, *, line: int) -> None:
        """Open a file with `text`, with the cursor at the end of a line, counted from 1."""
        (self.project / name).write_bytes(text.encode())
        await self.click(f".explorer-folders-view .monaco-list-row[aria-label^='{name}']", times=2)
        title = "document.querySelector('.tab.active')?.textContent ?? ''"
        await self.until_seen(title, lambda seen: name in seen)
        await self.until_seen(_HAS_EDITOR, lambda seen: seen == "true")
        await self.press("Ctrl+Home", *["ArrowDown"] * (line - 1), "End")

    async def ghost(self, wanted: str) -> None:
        """Wait until this ghost text is on screen; empty for none."""
        await self.until_seen(GHOST, lambda seen: seen == wanted)

    async def saved(self, name: str, wanted: str) -> None:
        """Wait until the file holds this text."""
        await self.until(lambda: (self.project / name).read_bytes().decode() == wanted)

    async def status(self, wanted: Callable[[str], bool]) -> str:
        """Wait for a text in the status bar."""
        return await self.until_seen(STATUS, wanted)

    def log(self) -> str:
        """Return what the language server has logged."""
        path = self.folder / "state" / "lsp.log"
        return path.read_text() if path.exists() else ""

    def events(self, kind: str) -> list[dict[str, object]]:
        """Return the recorded events of one kind."""
        return [e for e in events_in(self.folder / "data" / "spool") if e["ev"] == kind]

    def outcomes(self) -> list[tuple[object, ...]]:
        """Return outcome, source, accepted characters and largest step of what was resolved.

        Suggestions that were left for another file are not among them.
        """
        fields = ("outcome", "source", "accepted_chars", "accept_kind")
        resolved = [e for e in self.events("resolved") if e["outcome"] != "moved_away"]
        return [tuple(event[field] for field in fields) for event in resolved]

    async def outcome(self, number: int) -> tuple[object, ...]:
        """Return the outcome with this number, once it is recorded."""
        await self.until(lambda: len(self.outcomes()) > number)
        return self.outcomes()[number]


FIRST, FIRST_TEXT = "first.py", "def first():\n"
"""There before VS Code is: until it watches the folder, it does not see a file that comes."""
READY = " Fimble"
"""The status once the server runs, before its first answer."""
STATUS = "document.getElementById('fimble.fimble.fimble')?.textContent ?? ''"
_LINES = """[...document.querySelectorAll('.quick-input-list .monaco-list-row')]
  .sort((one, other) => one.dataset.index - other.dataset.index)
  .map((row) => row.querySelector('.label-name').textContent).join('\\n')"""
_HAS_EDITOR = "String(document.activeElement?.closest('.monaco-editor') !== null)"


def installed() -> tuple[str, VsCode]:
    """Return a browser and a VS Code; skip the test where they cannot be had."""
    browser = program()
    if browser is None:
        pytest.skip("no Chromium to test with")
    try:
        code = fetch(Path(__file__).parents[2] / "build" / "vscode")
    except CannotFetchError as error:
        pytest.skip(f"no VS Code to test with: {error}")
    assert VSIX.exists(), "`make vscode` packs the extension"
    return browser, code


@contextlib.asynccontextmanager
async def window(
    code: VsCode, browser: str, folder: Path, *, config: str, settings: dict[str, object]
) -> AsyncIterator[Window]:
    """Start VS Code with the extension, and open it in a browser.

    Args:
        code: From `fetch`.
        browser: Program of a Chromium.
        folder: Empty; for everything that is written.
        config: The `fimble.toml`.
        settings: Of the user, besides those that keep VS Code quiet.
    """
    (folder / "fimble.toml").write_text(config)
    (folder / "project").mkdir()
    (folder / "project" / FIRST).write_text(FIRST_TEXT)
    for place in ("User", "Machine"):  # paths of programs are settings of the machine
        target = folder / "code" / place / "settings.json"
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps({**SETTINGS, **settings}))
    environment = _environment(folder)
    # VS Code takes the PATH of a login shell, so ours does not reach it; this place is looked into.
    local = folder / "home" / ".local" / "bin"
    local.mkdir(parents=True)
    (local / "fimble").symlink_to(Path(sys.executable).parent / "fimble")
    folders = ["--user-data-dir", str(folder / "code"), "--extensions-dir", str(folder / "ext")]
    install = code.command(*folders, "--install-extension", str(VSIX))
    subprocess.run(install, env=environment, check=True, capture_output=True, timeout=START_LIMIT_S)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = ["--disable-telemetry", "--disable-update-check", "--disable-workspace-trust"]
    serve = code.command(*folders, *quiet, "--auth", "none", "--bind-addr", f"127.0.0.1:{port}")
    with (folder / "code.log").open("wb") as log:
        server = subprocess.Popen(
            serve, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        async with opened(browser) as page:
            await _until_served(folder / "code.log")
            shown = Window(page, folder)
            size = {"width": 1200, "height": 700, "deviceScaleFactor": 1, "mobile": False}
            await page.send("Emulation.setDeviceMetricsOverride", **size)
            await page.send("Emulation.setFocusEmulationEnabled", enabled=True)
            await page.open(f"http://127.0.0.1:{port}/?folder={quote(str(shown.project))}")
            await shown.settle()
            yield shown
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(LIMIT_S)


def _environment(folder: Path) -> dict[str, str]:
    places = {
        "HOME": "home",
        "XDG_CONFIG_HOME": "config",
        "XDG_DATA_HOME": "xdg-data",
        "XDG_STATE_HOME": "xdg-state",
        "XDG_CACHE_HOME": "xdg-cache",
        "FIMBLE_DATA_DIR": "data",
        "FIMBLE_STATE_DIR": "state",
        "FIMBLE_CONFIG": "fimble.toml",
    }
    return {**os.environ, **{name: str(folder / p) for name, p in places.items()}}


async def _until_served(log: Path) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while "HTTP server listening" not in log.read_text():
        assert time.monotonic() < deadline_s, log.read_text()
        await asyncio.sleep(0.1)
