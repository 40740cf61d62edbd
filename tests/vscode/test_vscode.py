"""A real VS Code in a real browser, with the packaged extension: `make test-vscode`.

Each test is about what becomes of a suggestion: what the user sees, what stands in the file, and
what is recorded.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest
import pytest_asyncio

from tests.stand_ins.tgi_app import TgiScript, tgi_server
from tests.vscode.window import GHOST, READY, Window, installed, window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [
    pytest.mark.vscode,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

BODY = ["return", " a", " +", " b", "\n", "\n", "\n", "def"]
HEAD = "def add(a, b):\n"


def body(prompt: str) -> list[str]:
    """Answer with the body of a small function, once."""
    return [] if prompt.endswith("b<|fim_middle|>") else BODY


@pytest.fixture(scope="module")
def tgi() -> Iterator[TgiScript]:
    with tgi_server(TgiScript(answer=body, delay_s=0.02)) as script:
        yield script


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tgi: TgiScript, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Window]:
    browser, code = installed()
    folder = tmp_path_factory.mktemp("vscode")
    config = f'[engine]\ntgi_url = "{tgi.url}"\nfailover = false\n[completion]\ndeadline_ms = 0\n'
    async with window(code, browser, folder, config=config, settings={}) as shown:
        yield shown


@pytest.fixture
def code(opened: Window, tgi: TgiScript) -> Window:
    """Return the window, and a server that answers as at first."""
    tgi.answer, tgi.delay_s = body, 0.02
    return opened


async def ghost_in(code: Window, name: str) -> int:
    """Show the body of a function as ghost text; return the number of outcomes before it."""
    await code.edit(name, HEAD, line=1)
    await code.press("Enter")
    await code.ghost("return a + b")
    return len(code.outcomes())


async def test_tab_takes_the_ghost_text(code: Window) -> None:
    before = await ghost_in(code, "whole.py")
    await code.status(lambda seen: "scripted" in seen and seen.endswith("ms"))
    await code.press("Tab")
    await code.saved("whole.py", HEAD + "    return a + b\n")
    assert await code.outcome(before) == ("accepted", "editor", 12, "full")
    (session,) = code.events("session_started")
    assert (session["editor"], session["plugin_version"]) == ("code-server", "0.1.0")
    assert session["level"] == "metrics"


async def test_ctrl_right_takes_words_and_the_rest_is_turned_down(code: Window) -> None:
    before = await ghost_in(code, "words.py")
    await code.press("Ctrl+ArrowRight")
    await code.ghost(" a + b")
    await code.press("Ctrl+ArrowRight")
    await code.ghost("a + b")
    await code.write("zq")
    await code.saved("words.py", HEAD + "    return zq\n")
    assert await code.outcome(before) == ("accepted_part", "editor", 7, "word")


async def test_words_up_to_the_end_are_the_whole(code: Window) -> None:
    before = await ghost_in(code, "all_words.py")
    left = "return a + b"
    while left:
        await code.press("Ctrl+ArrowRight")
        left = await code.until_seen(GHOST, lambda seen, was=left: len(seen) < len(was))
    await code.saved("all_words.py", HEAD + "    return a + b\n")
    outcome, source, chars, _ = await code.outcome(before)
    assert (outcome, source, chars) == ("accepted", "editor", 12)


async def test_ghost_text_shrinks_while_it_is_typed(code: Window, tgi: TgiScript) -> None:
    before = await ghost_in(code, "typed.py")
    asked = len(tgi.prompts)
    await code.write("return")
    await code.ghost(" a + b")
    await code.write(" a + b")
    await code.saved("typed.py", HEAD + "    return a + b\n")
    assert await code.outcome(before) == ("typed_through", "inferred", 0, "none")
    assert len(tgi.prompts) <= asked + 1  # what follows the whole


async def test_escape_hides_it_and_another_key_turns_it_down(code: Window, tgi: TgiScript) -> None:
    before = await ghost_in(code, "escape.py")
    tgi.answer = lambda _: []
    await asyncio.sleep(0.4)
    await code.press("Escape")
    await code.ghost("")
    await code.write("z")
    assert await code.outcome(before) == ("rejected", "inferred", 0, "none")
    await code.saved("escape.py", HEAD + "    z\n")
    turned_down = code.events("resolved")[-1]["completion_id"]
    shown = [e["source"] for e in code.events("shown") if e["completion_id"] == turned_down]
    assert shown == ["inferred"]


async def test_going_to_another_file_leaves_it(code: Window) -> None:
    await ghost_in(code, "left.py")
    left = len([e for e in code.events("resolved") if e["outcome"] == "moved_away"])
    await code.edit("elsewhere.py", HEAD, line=1)

    def now() -> int:
        return len([e for e in code.events("resolved") if e["outcome"] == "moved_away"])

    await code.until(lambda: now() == left + 1)


async def test_writing_something_else_turns_it_down(code: Window, tgi: TgiScript) -> None:
    before = await ghost_in(code, "other.py")
    tgi.answer = lambda _: []
    await asyncio.sleep(0.4)
    await code.write("zq")
    await code.ghost("")
    assert await code.outcome(before) == ("rejected", "inferred", 0, "none")


async def test_a_key_before_the_answer_cancels_the_request(code: Window, tgi: TgiScript) -> None:
    tgi.delay_s = 0.5
    cancelled = len([e for e in code.events("opportunity") if e["reason"] == "cancelled"])
    closed = tgi.num_closed_early
    await code.edit("cancel.py", HEAD, line=1)
    await code.press("Enter")
    await asyncio.sleep(0.4)
    await code.write("zq = ", pause_s=0.3)
    await code.until(lambda: tgi.num_closed_early > closed)

    def now() -> int:
        return len([e for e in code.events("opportunity") if e["reason"] == "cancelled"])

    await code.until(lambda: now() > cancelled)


async def test_lines_with_an_emoji_are_taken_in_a_file_with_crlf(
    code: Window, tgi: TgiScript
) -> None:
    lines = ["a = '😀'", "\n", "    b = 2", "\n", "\n", "\n"]
    tgi.answer = lambda prompt: lines if prompt.endswith("    <|fim_middle|>") else []
    await code.edit("crlf.py", "é = '😀'\r\nif é:\r\n", line=2)
    await code.press("Enter")
    await code.ghost("a = '😀'\n    b = 2")
    before = len(code.outcomes())
    await code.press("Tab")
    await code.saved("crlf.py", "é = '😀'\r\nif é:\r\n    a = '😀'\r\n    b = 2\r\n")
    assert await code.outcome(before) == ("accepted", "editor", 17, "full")


async def test_several_are_gone_through_and_the_one_taken_counts(
    code: Window, tgi: TgiScript
) -> None:
    texts = iter(["a", "b", "c", "d"] * 9)

    def drawn(_: str) -> list[str]:
        return BODY if len(tgi.prompts) == asked + 1 else ["return", f" {next(texts)}", "\n", "\n"]

    asked = len(tgi.prompts)
    tgi.answer = drawn
    await code.edit("several.py", HEAD, line=1)
    await code.press("Enter")
    await code.ghost("return a + b")
    before = len(code.outcomes())
    await code.press("Alt+]")
    await code.until_seen(GHOST, lambda seen: seen not in {"", "return a + b"})
    second = await code.page.value(GHOST)
    await code.press("Alt+[")
    await code.ghost("return a + b")
    await code.press("Alt+]")
    await code.ghost(second)
    await code.press("Tab")
    await code.saved("several.py", f"{HEAD}    {second}\n")
    assert (await code.outcome(before))[0] == "rejected"
    assert await code.outcome(before + 1) == ("accepted", "editor", len(second), "full")


async def test_a_language_is_turned_off_and_the_reason_is_told(code: Window) -> None:
    await code.edit("off.py", HEAD, line=1)
    await code.run("Fimble: Turn Suggestions On or Off for This Language")
    settings = code.folder / "code" / "User" / "settings.json"
    await code.until(lambda: '"fimble.completion.disabled_languages"' in settings.read_text())
    await code.status(lambda seen: "off here" in seen)
    await code.until(lambda: code.log().count("settings changed") == 1)
    await code.press("Enter")
    await code.until(lambda: "DISABLED" in code.log())
    await code.run("Fimble: Why No Suggestion?")
    await code.page.wait_for("the language is listed in completion.disabled_languages")
    await code.run("Fimble: Turn Suggestions On or Off for This Language")
    await code.until(lambda: code.log().count("settings changed") == 2)
    await ghost_in(code, "on.py")
    await code.press("Escape")


async def test_turned_off_the_server_is_not_asked(code: Window) -> None:
    await code.run("Fimble: Turn Suggestions On or Off")
    await code.status(lambda seen: seen == " Fimble: off")
    logged = code.log().count("fimble.lsp")
    await code.edit("silent.py", HEAD, line=1)
    await code.press("Enter")
    await code.write("x = 1")
    await code.saved("silent.py", HEAD + "    x = 1\n")
    assert code.log().count("fimble.lsp") == logged
    await code.run("Fimble: Turn Suggestions On or Off")
    await code.status(lambda seen: "off" not in seen)


async def test_a_server_that_dies_comes_back(code: Window) -> None:
    sessions = len(code.events("session_started"))
    for process in psutil.process_iter(["cmdline", "environ"]):
        place = (process.info["environ"] or {}).get("FIMBLE_STATE_DIR")
        words = process.info["cmdline"] or []
        if place == str(code.folder / "state") and words[-1:] == ["lsp"]:
            os.kill(process.pid, signal.SIGKILL)
    await code.until(lambda: len(code.events("session_started")) > sessions)
    before = await ghost_in(code, "again.py")
    await code.press("Tab")
    assert (await code.outcome(before))[0] == "accepted"


async def test_who_wants_nothing_recorded_gets_that(code: Window) -> None:
    sessions = len(code.events("session_started"))
    await code.run("Fimble: Choose What Is Recorded")
    await code.pick(" Nothing")
    settings = code.folder / "code" / "User" / "settings.json"
    await code.until(lambda: '"fimble.telemetry.level": "off"' in settings.read_text())
    await code.until(lambda: len(code.events("session_ended")) >= 1)
    await code.status(lambda seen: seen == READY)
    recorded = len(code.outcomes())
    await ghost_in(code, "unseen.py")
    await code.press("Tab")
    await code.saved("unseen.py", HEAD + "    return a + b\n")
    assert len(code.events("session_started")) == sessions
    assert len(code.outcomes()) == recorded
