"""The collector: what it takes, what it refuses, and that nothing is lost on the way."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from fimble.clock import SystemClock
from fimble.errors import InputError
from fimble.upload import MAX_SEGMENT_BYTES
from lsp_server.shipping.shipper import REFUSED_FOLDER, Destination, Shipper
from telemetry.collector.command import read_tokens
from telemetry.collector.intake import Room, Upload
from telemetry.collector.limits import Buckets
from telemetry.collector.receipts import Receipt, Receipts
from telemetry.collector.service import Collector, CollectorSettings, make_app
from tests.stand_ins.hand_clock import HandClock
from tests.stand_ins.spool_writer import START_MS, lines_of, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fimble.clock import Clock

TOKEN = "a token of many characters"  # noqa: S105 - opens nothing
TOKENS = {"another one, just as long": "", TOKEN: "", "of alice, on her desk": "alice"}
TOKENS |= {"of alice, in her bag": "alice", "of mallory, anywhere": "mallory"}
SETTINGS = CollectorSettings(tokens=TOKENS, merge_every_s=0)
_CLOCK = SystemClock()
SESSION = "0123456789abcdef0123456789abcdef"
PLAIN = b"".join(lines_of(session(5, seed=1), SESSION))


@asynccontextmanager
async def collecting(
    folder: Path,
    settings: CollectorSettings = SETTINGS,
    *,
    port: int | None = None,
    clock: Clock = _CLOCK,
) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a collector, and yield a client that has the token."""
    server = TestServer(make_app(Collector(folder, settings, clock)), port=port)
    await server.start_server()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with aiohttp.ClientSession(server.make_url("/"), headers=headers) as http:
            yield http
    finally:
        await server.close()


async def put(
    http: aiohttp.ClientSession,
    name: str = f"{SESSION}-0.jsonl",
    plain: bytes = PLAIN,
    **more: str | bytes,
) -> int:
    """Upload a segment; return the status."""
    token = str(more.get("token", TOKEN))
    sha256 = str(more.get("sha256", hashlib.sha256(plain).hexdigest()))
    body = more.get("body", gzip.compress(plain))
    assert isinstance(body, bytes)
    async with http.put(
        f"/v1/segments/{name}",
        data=io.BytesIO(body),
        headers={"X-Fimble-Sha256": sha256, "Authorization": f"Bearer {token}"},
    ) as answer:
        return answer.status


def upload_of(name: str, plain: bytes) -> Upload:
    """Return a segment as it comes in."""
    return Upload(name, hashlib.sha256(plain).hexdigest(), gzip.compress(plain))


async def test_a_segment_is_taken_once_and_lies_in_the_spool(tmp_path: Path) -> None:
    async with collecting(tmp_path) as http:
        assert [await put(http), await put(http)] == [201, 200]
    [segment] = (tmp_path / "spool").iterdir()
    assert (segment.name, segment.read_bytes()) == (f"{SESSION}-0.jsonl", PLAIN)
    async with collecting(tmp_path) as http:  # a restart remembers
        segment.unlink()  # merged
        assert await put(http) == 200
        assert list((tmp_path / "spool").iterdir()) == []


async def test_another_segment_under_a_known_name_is_refused(tmp_path: Path) -> None:
    other = b"".join(lines_of(session(6, seed=2), SESSION))
    async with collecting(tmp_path) as http:
        assert [await put(http), await put(http, plain=other)] == [201, 409]
    (tmp_path / "receipts.jsonl").unlink()  # a kill between file and receipt
    async with collecting(tmp_path) as http:
        assert [await put(http, plain=other), await put(http)] == [409, 201]


@pytest.mark.parametrize(
    ("name", "plain", "more", "status"),
    [
        (f"{SESSION}-1.jsonl", PLAIN, {"sha256": "0" * 64}, 422),
        (f"{SESSION}-1.jsonl", PLAIN, {"sha256": ""}, 422),
        (f"{SESSION}-1.jsonl", PLAIN, {"body": PLAIN}, 422),
        (f"{SESSION}-1.jsonl", PLAIN, {"body": gzip.compress(PLAIN)[:-9]}, 422),
        (f"{SESSION}-1.jsonl", PLAIN, {"body": gzip.compress(PLAIN) + b"more"}, 422),
        ("somebody_else-0.jsonl", PLAIN, {}, 422),
        (f"{SESSION}-1.jsonl", b"no event\n", {}, 422),
        (f"{SESSION}-1.jsonl", b"", {}, 422),
        (f"{SESSION}-1.jsonl", b" " * (MAX_SEGMENT_BYTES + 1), {}, 413),
        (f"{SESSION}-1.jsonl", PLAIN, {"body": b"x" * (MAX_SEGMENT_BYTES + 1)}, 413),
        (f"{SESSION}-1.jsonl.open", PLAIN, {}, 404),
        ("..%2F..%2Fsecret-1.jsonl", PLAIN, {}, 404),
        ("x" * 65 + "-1.jsonl", PLAIN, {}, 404),
    ],
)
async def test_what_is_forged_or_damaged_is_refused(
    tmp_path: Path, name: str, plain: bytes, more: dict[str, str | bytes], status: int
) -> None:
    async with collecting(tmp_path) as http:
        assert await put(http, name, plain, **more) == status
        assert list((tmp_path / "spool").iterdir()) == []
        assert await put(http) == 201


async def test_a_sender_writes_only_what_is_its_own(tmp_path: Path) -> None:
    desk, bag, mallory = (token for token, name in TOKENS.items() if name)
    first, rest = PLAIN.splitlines(keepends=True)[:4], PLAIN.splitlines(keepends=True)[4:]
    other = "f" * 32
    async with collecting(tmp_path) as http:
        assert await put(http, plain=b"".join(first), token=desk) == 201
    async with collecting(tmp_path) as http:  # a restart remembers whose it is
        for token in (mallory, TOKEN):
            assert await put(http, plain=b"".join(first), token=token) == 409  # a replay
            again = f"{SESSION}-1.jsonl"  # a forged part of her session
            assert await put(http, again, b"".join(rest), token=token) == 409
            forged = b"".join(lines_of(session(2, seed=1), other))  # a session in her name
            assert await put(http, f"{other}-0.jsonl", forged, token=token) == 409
            theirs = {"headers": {"Authorization": f"Bearer {token}"}}
            answer = await http.post("/v1/forget", json={"user_keys": ["u1"]}, **theirs)
            assert answer.status == 403
        names = [path.name for path in (tmp_path / "spool").iterdir()]
        assert names == [f"{SESSION}-0.jsonl"]
        # Another token of the same sender goes on, and others go on with what is theirs.
        assert await put(http, f"{SESSION}-1.jsonl", b"".join(rest), token=bag) == 201
        mine = b"".join(lines_of(session(2, seed=2), other))
        assert await put(http, f"{other}-0.jsonl", mine, token=mallory) == 201
        hers = {"headers": {"Authorization": f"Bearer {bag}"}}
        answer = await http.post("/v1/forget", json={"user_keys": ["u1"]}, **hers)
        assert await answer.json() == {"num_sessions": 1}
        left = (tmp_path / "receipts.jsonl").read_text()
        assert (left.count("\n"), "alice" in left) == (1, False)


async def test_two_users_in_one_session_are_a_forgery(tmp_path: Path) -> None:
    two = [*lines_of(session(1, seed=1), SESSION), *lines_of(session(1, seed=2), SESSION)]
    async with collecting(tmp_path) as http:
        assert await put(http, plain=b"".join(two)) == 422


async def test_a_torn_last_line_passes_since_writers_die(tmp_path: Path) -> None:
    async with collecting(tmp_path) as http:
        assert await put(http, plain=PLAIN[:-20]) == 201


async def test_without_a_token_nothing_but_health_answers(tmp_path: Path) -> None:
    async with collecting(tmp_path) as http:
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
            url = f"/v1/segments/{SESSION}-0.jsonl"
            assert (await http.put(url, data=b"", headers=headers)).status == 401
            assert (await http.post("/v1/forget", json={}, headers=headers)).status == 401
            assert (await http.get("/v1/health", headers=headers)).status == 200
            assert (await http.get("/anything", headers=headers)).status == 401


async def test_who_comes_too_often_or_to_a_full_disk_is_told_when_to_come_again(
    tmp_path: Path,
) -> None:
    few = replace(SETTINGS, segments_per_minute=4)  # a burst of two
    async with collecting(tmp_path / "few", few, clock=HandClock(START_MS)) as http:
        statuses = [await put(http, f"{SESSION}-{n}.jsonl") for n in range(3)]
        assert statuses == [201, 201, 429]
        answer = await http.put(f"/v1/segments/{SESSION}-0.jsonl", data=b"")
        assert (answer.status, answer.headers["Retry-After"]) == (429, "15")
    full = replace(SETTINGS, room=Room(min_free_bytes=1 << 60))
    async with collecting(tmp_path / "full", full) as http:
        assert await put(http) == 503
    behind = replace(SETTINGS, room=Room(min_free_bytes=0, max_waiting_bytes=1))
    async with collecting(tmp_path / "behind", behind) as http:
        assert [await put(http), await put(http, f"{SESSION}-1.jsonl")] == [201, 503]


def test_a_sender_that_was_silent_may_catch_up() -> None:
    clock = HandClock(0)
    buckets = Buckets(1.0, clock)
    assert [buckets.wait_s("a") for _ in range(31)] == [0.0] * 30 + [1.0]
    assert buckets.wait_s("b") == 0.0
    clock.now_ms = 2500
    assert [buckets.wait_s("a") for _ in range(3)] == [0.0, 0.0, 0.5]


def test_receipts_outlive_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    receipts = Receipts(path)
    receipts.add("a-0.jsonl", Receipt("1" * 64, 5))
    receipts.close()
    path.write_bytes(path.read_bytes() + b'["b-0.jsonl", "2')
    receipts = Receipts(path)
    assert receipts.sender_of("a") == ""
    receipts.add("c-0.jsonl", Receipt("3" * 64, 7, "carol", "4" * 64))
    receipts.drop(lambda name: name == "a-0.jsonl")
    receipts.close()
    receipts = Receipts(path)
    assert (len(receipts), receipts.get("c-0.jsonl")) == (
        1,
        Receipt("3" * 64, 7, "carol", "4" * 64),
    )
    whose = [receipts.sender_of(name) for name in ("a", "c", "4" * 64, "")]
    assert whose == [None, "carol", "carol", None]
    receipts.close()


def test_two_collectors_do_not_share_a_folder(tmp_path: Path) -> None:
    async def start_two() -> None:
        async with collecting(tmp_path):
            Collector(tmp_path, SETTINGS, SystemClock())

    with pytest.raises(InputError, match="another collector works on"):
        asyncio.run(start_two())


def test_tokens_must_be_secrets(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    for text in ("", "short\n"):
        path.write_text(text)
        with pytest.raises(InputError, match="16 characters or more"):
            read_tokens(path)
    path.write_text(f"\n{TOKEN}\n")
    assert read_tokens(path) == {TOKEN: ""}
    path.write_text(f"{TOKEN}\nalice@example.com:  {TOKEN}s\nbob: {TOKEN}: 🙂\n")
    named = {TOKEN: "", f"{TOKEN}s": "alice@example.com", f"{TOKEN}: 🙂": "bob"}
    assert read_tokens(path) == named
    path.write_text(f"{TOKEN}\nalice: {TOKEN}\n")
    with pytest.raises(InputError, match="holds a token twice"):
        read_tokens(path)


async def test_the_spool_is_the_buffer_while_the_collector_is_away(
    tmp_path: Path, free_port: int
) -> None:
    spool = tmp_path / "editor"
    spool.mkdir()
    for number in range(3):
        (spool / f"{SESSION}-{number}.jsonl").write_bytes(PLAIN)
    (spool / "other-0.jsonl").write_bytes(PLAIN)  # of another session than its name says
    url = f"http://127.0.0.1:{free_port}"
    shipper = Shipper(spool, Destination(url=url, token=TOKEN), seed=1)
    assert await shipper.ship_once() == 4
    async with collecting(tmp_path / "central", port=free_port):
        wrong = Shipper(spool, Destination(url=url, token="wrong token, but long"), seed=1)  # noqa: S106
        assert await wrong.ship_once() == 4
        assert await shipper.ship_once() == 0
    assert [path.name for path in spool.iterdir()] == [REFUSED_FOLDER]
    assert [path.name for path in (spool / REFUSED_FOLDER).iterdir()] == ["other-0.jsonl"]
    taken = sorted(path.name for path in (tmp_path / "central" / "spool").iterdir())
    assert taken == [f"{SESSION}-{number}.jsonl" for number in range(3)]


async def test_a_segment_without_a_line_is_removed_and_not_sent(
    tmp_path: Path, free_port: int
) -> None:
    spool = tmp_path / "editor"
    spool.mkdir()
    (spool / f"{SESSION}-0.jsonl").touch()
    (spool / f"{SESSION}-1.jsonl").write_bytes(PLAIN)
    async with collecting(tmp_path / "central", port=free_port):
        destination = Destination(url=f"http://127.0.0.1:{free_port}", token=TOKEN)
        assert await Shipper(spool, destination, seed=1).ship_once() == 0
    assert list(spool.iterdir()) == []  # nor refused
    taken = [path.name for path in (tmp_path / "central" / "spool").iterdir()]
    assert taken == [f"{SESSION}-1.jsonl"]


async def test_segments_travel_in_the_order_in_which_they_were_written(
    tmp_path: Path, free_port: int
) -> None:
    spool, names = tmp_path / "editor", [f"{SESSION}-{number}.jsonl" for number in range(12)]
    spool.mkdir()
    for name in names:
        (spool / name).write_bytes(PLAIN)
    (spool / "notes.jsonl").write_bytes(PLAIN)  # no name of ours: refused, and nothing stands still
    async with collecting(tmp_path / "central", port=free_port):
        destination = Destination(url=f"http://127.0.0.1:{free_port}", token=TOKEN)
        assert await Shipper(spool, destination, seed=1).ship_once() == 0
    receipts = (tmp_path / "central" / "receipts.jsonl").read_bytes().splitlines()
    assert [json.loads(line)[0] for line in receipts] == names


async def test_a_user_is_forgotten_by_the_collector(tmp_path: Path) -> None:
    async with collecting(tmp_path) as http:
        assert await put(http) == 201
        for body in ({}, {"user_keys": "u1"}, {"user_keys": [1]}):
            assert (await http.post("/v1/forget", json=body)).status == 422
        answer = await http.post("/v1/forget", json={"user_keys": ["u1"]})
        assert await answer.json() == {"num_sessions": 1}
        assert await put(http) == 201  # a replay is taken, and dropped by the merger
    left = [p for p in tmp_path.rglob("*") if p.is_file() and SESSION.encode() in p.read_bytes()]
    assert {path.name for path in left} == {f"{SESSION}-0.jsonl", "receipts.jsonl"}
    assert json.loads((tmp_path / "warehouse" / "manifest.json").read_bytes())["days"] == {}


@pytest.mark.e2e
def test_a_segment_travels_through_tls_to_an_analyst(tmp_path: Path, free_port: int) -> None:
    """Real processes: the collector's, the shipper's, the analyst's."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make a certificate")
    certificate, key, tokens = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "tokens"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    tokens.write_text(f"{TOKEN}\n")
    spool = tmp_path / "editor" / "spool"
    spool.mkdir(parents=True)
    (spool / f"{SESSION}-0.jsonl").write_bytes(PLAIN)
    config = tmp_path / "fimble.toml"
    config.write_text(
        f'[telemetry]\ncollector_url = "https://localhost:{free_port}"\n'
        f'collector_ca_file = "{certificate}"\n'
    )
    fimble = [sys.executable, "-m", "fimble"]
    editor = {
        **os.environ,
        "FIMBLE_DATA_DIR": os.fspath(tmp_path / "editor"),
        "FIMBLE_CONFIG": os.fspath(config),
        "FIMBLE_COLLECTOR_TOKEN": TOKEN,
    }
    collect = ["telemetry", "collect", "--data", tmp_path / "central", "--token-file", tokens]
    tls = ["--tls-cert", certificate, "--tls-key", key, "--port", str(free_port)]
    with subprocess.Popen([*fimble, *collect, *tls], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith("collecting at https://127.0.0.1:")
            merge = subprocess.run(
                [*fimble, "telemetry", "merge"], env=editor, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            assert (merge.returncode, "segments of this machine go to" in merge.stderr) == (2, True)
            sent = subprocess.run(
                [*fimble, "ship", "--once"], env=editor, capture_output=True, text=True, check=False
            )
            assert (sent.returncode, sent.stdout) == (0, "all segments are sent\n"), sent.stderr
        finally:
            server.terminate()
    assert server.returncode == 0
    asked = subprocess.run(
        [*fimble, "telemetry", "sql", "select count(*) from events", "--format", "csv"],
        env={**os.environ, "FIMBLE_DATA_DIR": os.fspath(tmp_path / "central")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert asked.stdout == f"count_star()\n{len(PLAIN.splitlines())}\n"
    assert list(spool.iterdir()) == []


def test_plain_http_is_for_this_machine_only(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    command = [sys.executable, "-m", "fimble", "telemetry", "collect", "--host", "0.0.0.0"]  # noqa: S104
    done = subprocess.run(
        [*command, "--data", tmp_path, "--token-file", tokens],
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "give --tls-cert and --tls-key" in done.stderr
