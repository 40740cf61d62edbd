"""Content: by the user's own consent, in a store of its own, without secrets, for a while."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from fimble.content import delete_expired
from fimble.errors import ConfigError
from fimble.fim import Snippet
from fimble.secrets import holds_secret
from fimble.settings import Settings, TelemetryLevel, TelemetrySettings, with_client_options
from fimble.text import Position, PositionEncoding
from lsp_server.content import ContentRecorder, Sent, content_encoder
from lsp_server.documents import Document, Place, Range, advanced
from lsp_server.outbox import Outbox
from tests.stand_ins.hand_clock import HandClock
from tests.stand_ins.lsp_client import HEAD

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.stand_ins.lsp_client import LspClient

    Start = Callable[..., Awaitable[LspClient]]

URI = "file:///a.py"
NOW_MS = 1_788_220_800_000.0
RANDOM = "Zx8Qp2Lm7Rt4Vb9Ny3Ks6Wd1"


def records(folder: Path) -> list[dict[str, object]]:
    lines = [line for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


async def test_consent_opens_a_store_and_its_end_empties_it(
    start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "fimble.toml"
    config.write_text('[telemetry]\nlevel = "content"\n')
    client = await start()
    client.open(HEAD)
    assert await client.items((1, 0))
    assert await client.close() == 0
    [record] = records(tmp_path / "data" / "content")
    assert (record["ev"], record["prefix"]) == ("content_served", HEAD)
    assert record["completion"] == "    return a + b"
    assert (record["path"], record["snippets"]) == ("pkg/module.py", [])
    assert record["expires_ms"] == record["ts_wall_ms"] + 30 * 86_400_000
    spool = b"".join(path.read_bytes() for path in (tmp_path / "data" / "spool").iterdir())
    assert b"return a" not in spool
    assert b'"level":"content"' in spool
    config.write_text("")
    assert await (await start()).close() == 0
    assert list((tmp_path / "data" / "content").iterdir()) == []
    assert environment["FIMBLE_CONFIG"] == os.fspath(config)


def test_an_editor_cannot_open_it_nor_record_against_the_user() -> None:
    wanted = {"telemetry": {"level": "content"}}
    with pytest.raises(ConfigError, match=r"only that file can raise it"):
        with_client_options(Settings(), wanted)
    off = Settings(telemetry=TelemetrySettings(level=TelemetryLevel.OFF))
    for level in ("metrics", "keys"):
        with pytest.raises(ConfigError, match=r"fimble\.toml allows 'off'"):
            with_client_options(off, {"telemetry": {"level": level}})
    consenting = Settings(telemetry=TelemetrySettings(level=TelemetryLevel.CONTENT))
    assert with_client_options(consenting, wanted) == consenting
    lowered = with_client_options(consenting, {"telemetry": {"level": "off"}})
    assert lowered.telemetry.level is TelemetryLevel.OFF


def test_what_stands_there_later_is_recorded_twice(tmp_path: Path) -> None:
    clock = HandClock(NOW_MS)
    outbox = Outbox(tmp_path, session_id="s", clock=clock, encode=content_encoder(7))
    recorder = ContentRecorder(outbox, clock=clock)
    document = Document.of(URI, "python", 1, "x = \ny = 2\n")

    def edit(start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        span = Range(Position(*start), Position(*end))
        recorder.edited(document, document.replace(span, text, PositionEncoding.UTF16))

    recorder.served("c", "foo(bar)", document=document, place=Place(0, 4), sent=Sent("d"))
    edit((0, 4), (0, 4), "foo(bar)")
    clock.now_ms += 29_999
    recorder.tick()
    edit((0, 8), (0, 11), "😀")
    edit((0, 0), (0, 0), "import os\n")
    clock.now_ms += 1
    recorder.tick()
    edit((1, 4), (1, 11), "")
    assert recorder.next_due_ms() == clock.now_ms - 30_000 + 600_000
    clock.now_ms += 570_000
    recorder.tick()
    assert recorder.next_due_ms() is None
    outbox.close()
    served, *later = records(tmp_path)
    assert (served["prefix"], served["suffix"]) == ("x = ", "\ny = 2\n")
    assert [(r["after_s"], r["text"]) for r in later] == [(30, "foo(😀)"), (600, "")]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (list("foo(1)\n"), "foo(1)\n"),
        (["sum", "(", "😀", ", b", ")", "\n", "z", " = 1"], "sum(😀, b)\nz = 1"),
        (["foo", "(bar)", "\nprint()"], "foo(bar)"),
        (["foo(bar)", ".baz", "\n"], "foo(bar)"),
    ],
)
def test_what_is_written_key_by_key_is_recorded_whole(
    tmp_path: Path, pieces: list[str], expected: str
) -> None:
    clock = HandClock(NOW_MS)
    outbox = Outbox(tmp_path, session_id="s", clock=clock, encode=content_encoder(7))
    recorder = ContentRecorder(outbox, clock=clock)
    document = Document.of(URI, "python", 1, "x = \ny = 2\n")
    recorder.served("c", "foo(bar)", document=document, place=Place(0, 4), sent=Sent("d"))
    at = Place(0, 4)
    for piece in pieces:
        position = Position(
            at.line, len(document.lines[at.line][: at.column].encode("utf-16-le")) // 2
        )
        edit = document.replace(Range(position, position), piece, PositionEncoding.UTF16)
        recorder.edited(document, edit)
        at = advanced(at, edit.new)
    clock.now_ms += 30_000
    recorder.tick()
    outbox.close()
    _, later = records(tmp_path)
    assert later["text"] == expected


def test_going_back_to_the_suggestion_ends_its_place_where_it_ends(tmp_path: Path) -> None:
    clock = HandClock(NOW_MS)
    outbox = Outbox(tmp_path, session_id="s", clock=clock, encode=content_encoder(7))
    recorder = ContentRecorder(outbox, clock=clock)
    document = Document.of(URI, "python", 1, "x = \n")
    recorder.served("c", "foo(bar)", document=document, place=Place(0, 4), sent=Sent("d"))
    for start, end, text in (
        (4, 4, "f"), (5, 5, "x"), (6, 6, "y"), (5, 7, ""), (5, 5, "oo(bar)"), (12, 12, " + 1"),
    ):  # fmt: skip
        span = Range(Position(0, start), Position(0, end))
        recorder.edited(document, document.replace(span, text, PositionEncoding.UTF16))
    clock.now_ms += 30_000
    recorder.tick()
    outbox.close()
    _, later = records(tmp_path)
    assert later["text"] == "foo(bar)"


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "key = AKIAIOSFODNN7EXAMPLE",
        'password = "correct horse"'.replace(" horse", "horse"),
        'API_KEY: "abcdef123"',
        "db = 'postgres://user:hunter2@host/db'",
        f'x = "{RANDOM}"',
        "token=ghp_" + "a1B2" * 9,
        'digest = "' + "0123456789abcdef" * 2 + '"',
    ],
)
def test_what_looks_like_a_secret_is_not_written(tmp_path: Path, text: str) -> None:
    assert holds_secret(f"first line\n{text}\n")
    clock = HandClock(NOW_MS)
    outbox = Outbox(tmp_path, session_id="s", clock=clock, encode=content_encoder(7))
    recorder = ContentRecorder(outbox, clock=clock)
    document = Document.of(URI, "python", 1, f"{text}\n")
    recorder.served("c", "x", document=document, place=Place(1, 0), sent=Sent("d"))
    recorder.closed(document)
    other = Sent("d", "a.py", (Snippet(path="b.py", text=f"{text}\n"),))
    plain = Document.of(URI, "python", 1, "x\n")
    recorder.served("e", "y", document=plain, place=Place(0, 1), sent=other)
    recorder.closed(plain)
    outbox.close()
    assert list(tmp_path.iterdir()) == []


def test_common_code_is_no_secret() -> None:
    code = (
        "def authenticate(user, password):\n    token = user.token\n"
        'name = "a_rather_long_name_of_something_else"\nurl = "https://example.com/a/b"\n'
        'password = ""\ncolour = "#a0b1c2"\n'
    )
    assert not holds_secret(code)


def test_what_has_expired_is_deleted(tmp_path: Path) -> None:
    now_ms = 1_788_220_800_000
    for name, age_days in (("a-0.jsonl", 31), ("b-0.jsonl", 29), ("c-0.jsonl.open", 31)):
        (tmp_path / name).write_text("{}\n")
        seconds = now_ms / 1000 - age_days * 86_400
        os.utime(tmp_path / name, (seconds, seconds))
    assert delete_expired(tmp_path, now_ms=now_ms, days=30) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["b-0.jsonl"]
    assert delete_expired(tmp_path, now_ms=now_ms, days=0) == 1
    assert delete_expired(tmp_path / "missing", now_ms=now_ms, days=0) == 0
