"""What is recorded of whom, and that it can be forgotten without a trace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fimble.errors import InputError
from fimble.identity import NOBODY, Key, current_identity, identities, identity_of, read_keys, renew
from fimble.settings import TelemetryLevel, TelemetrySettings
from fimble.text import PositionEncoding
from lsp_server.outbox import Outbox
from telemetry.privacy.forget import Forgotten, digest_of, forget
from telemetry.privacy.show import stored_lines
from tests.stand_ins.editor_sessions import EDITORS, make_session
from tests.stand_ins.spool_writer import START_MS, lines_of, open_segment, session
from tests.stand_ins.typist import URI, Typist
from tests.stand_ins.user_actions import ACTIONS, Scene, ScriptedEngine
from tests.stand_ins.virtual_time import LoopClock, run_virtually

if TYPE_CHECKING:
    import random

    from tests.telemetry.conftest import Store

ROOT = Path(__file__).parents[2]
DAY_MS = 86_400_000
WORDS = st.from_regex(r"[b-df-hj-np-tv-xz]{9}", fullmatch=True)
"""Words that are no words of ours."""


@settings(max_examples=40, deadline=None)
@given(words=st.lists(WORDS, min_size=5, max_size=5, unique=True), chance=st.randoms())
def test_at_level_metrics_no_code_path_or_name_is_recorded(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], chance: random.Random
) -> None:
    """The segments are all there is: the disk has them, and the collector is sent them."""
    folder = tmp_path_factory.mktemp("spool")
    level = chance.choice([TelemetryLevel.METRICS, TelemetryLevel.KEYS])
    recorded = TelemetrySettings(level=level, team="the-team", user="secretuser")
    run_virtually(_session(folder, recorded, words, chance))
    stored = b"".join(path.read_bytes() for path in folder.iterdir()).decode()
    assert stored.count('"ev":"served"') >= 1
    for secret in (*words, "secretuser", "module", URI, os.fspath(folder)):
        assert secret not in stored
    assert ("the-team" in stored) is (level is TelemetryLevel.KEYS)
    texts = {v for line in stored.splitlines() for v in json.loads(line).values() if v == str(v)}
    others = {text for text in texts if not re.fullmatch("[0-9a-f]{32}", text)}
    assert all(len(text) <= 24 and "\n" not in text for text in others), others


async def _session(
    folder: Path, recorded: TelemetrySettings, words: list[str], chance: random.Random
) -> None:
    """Let a user do something with a suggestion whose words are known."""
    outbox = Outbox(folder, session_id="0" * 32, clock=LoopClock())
    engine, habits = ScriptedEngine(), chance.choice(EDITORS)
    started = make_session(outbox, engine, habits, PositionEncoding.UTF16)
    identity = identity_of(recorded.user, Key(1, b"k" * 32))
    started.recorder.started(
        editor=("test", "1"),
        server_version="1",
        settings=recorded,
        identity=identity if recorded.level is TelemetryLevel.KEYS else NOBODY,
    )
    typist = Typist(started, habits, PositionEncoding.UTF16)
    engine.text = f"{words[0]}({words[1]}, {words[2]})"
    typist.open(f"{words[3]} = ", f"\n{words[4]}\n")
    ghost = await typist.ask()
    assert ghost is not None
    await chance.choice(ACTIONS)(Scene(typist, engine, ghost, chance))
    await started.close()
    outbox.close()


def everything_in(folder: Path) -> dict[str, bytes]:
    """Return what each file below a folder holds; of Parquet, its values, too."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[os.fspath(path)] = path.read_bytes()
            if path.suffix == ".parquet":
                rows = duckdb.sql(f"from read_parquet($${path}$$)").fetchall()
                found[os.fspath(path)] += repr(rows).encode()
    return found


def record_two_users(store: Store) -> list[str]:
    """Leave events of two users everywhere that events can be; return the names of the first."""
    mine, others = session(6, seed=1), session(6, seed=2)
    for number, day in enumerate((0, 1)):
        start_ms = START_MS + day * DAY_MS
        store.put(f"mine{number}-0.jsonl", lines_of(mine, f"mine{number}", start_ms=start_ms))
        store.put(f"other{number}-0.jsonl", lines_of(others, f"other{number}", start_ms=start_ms))
        store.merge()  # the second one retires files of the first
    damaged = lines_of(mine, "mine0")[3].replace(b'"v": 3', b'"v": 9')
    store.put("mine0-1.jsonl", [damaged, b"torn"])
    store.put("copy-0.jsonl", [damaged, *lines_of(others, "other0")[:2]])
    store.merge()
    store.put("mine2-0.jsonl", lines_of(mine, "mine2"))
    _, descriptor = open_segment(store.spool, "mine3", 0)
    os.write(descriptor, b"".join(lines_of(mine, "mine3")))
    os.close(descriptor)
    return ["mine0", "mine1", "mine2", "mine3", "c1-0", "c1-5", '"u1"']


def test_a_user_who_is_forgotten_leaves_no_trace_in_any_file(store: Store) -> None:
    names = record_two_users(store)
    before = everything_in(store.spool.parent)
    assert all(any(name.encode() in data for data in before.values()) for name in names)
    others = store.rows("from opportunities where user_key = 'u2' order by all")
    done = forget([store.spool], store.warehouse, store.clock, user_keys=["u1"], wait_s=0)
    assert done == Forgotten(num_sessions=4, num_events=2 * len(session(6, seed=1)))
    for path, data in everything_in(store.spool.parent).items():
        assert [name for name in names if name.encode() in data or name in path] == [], path
    assert store.rows("from opportunities order by all") == others != []
    assert store.rows("select num_lost from sessions") == [(0,), (0,)]
    with duckdb.connect(store.warehouse.database, read_only=True) as reader:
        assert reader.execute("select distinct user_key from sessions").fetchall() == [("u2",)]


def test_what_comes_late_from_somebody_forgotten_is_not_taken(store: Store) -> None:
    record_two_users(store)
    forget([store.spool], store.warehouse, store.clock, user_keys=["u1"], wait_s=0)
    before = store.rows("select count(*) from events")
    events = session(6, seed=1)
    store.put("mine0-2.jsonl", lines_of(events, "mine0"))  # a replay of a session
    store.put("mine9-0.jsonl", lines_of(events, "mine9"))  # another machine of the user
    assert store.rows("select count(*) from events") == before
    report = store.merge()
    assert (report.num_events, report.num_forgotten) == (0, 2 * len(events))
    assert store.rows("select count(*) from events") == before
    assert list(store.spool.iterdir()) == []
    assert "mine9" not in (store.warehouse.folder / "manifest.json").read_text()


def test_a_kill_between_tombstone_and_purge_is_made_good(store: Store) -> None:
    names = record_two_users(store)
    sessions = [name for name in names if name.startswith("mine")]
    tombstones = {digest_of(name): START_MS for name in sessions}
    manifest = replace(store.warehouse.manifest(), forgotten=tombstones, is_purge_due=True)
    store.warehouse.save(manifest)  # and here the process was killed
    assert store.rows("select distinct user_key from sessions") == [("u2",)]
    assert store.rows("select count(*) from opportunities where user_key = 'u1'") == [(0,)]
    store.merge()
    assert store.warehouse.manifest().is_purge_due is False
    assert store.rows("select distinct user_key from sessions") == [("u2",)]
    for path, data in everything_in(store.warehouse.folder).items():
        assert [name for name in names if name.encode() in data] == [], path


def test_show_prints_what_is_stored_and_nothing_else(store: Store) -> None:
    lines = lines_of(session(3, seed=4), "s")
    store.put("s-0.jsonl", lines[:5])
    store.merge()
    store.put("s-1.jsonl", [*lines[5:9], b"not json\n"])
    shown = list(stored_lines([store.spool], store.warehouse))
    assert shown[-1] == "not json"
    expected = [{k: v for k, v in json.loads(line).items() if k != "v"} for line in lines[:9]]
    assert [{k: v for k, v in json.loads(s).items() if k != "v"} for s in shown[:-1]] == expected


def test_a_pseudonym_is_the_same_until_the_key_is_renewed(tmp_path: Path) -> None:
    first = current_identity(tmp_path, "somebody 😀")
    assert (first, first.key_epoch) == (current_identity(tmp_path, "somebody 😀"), 1)
    assert current_identity(tmp_path, "somebody else").user_key != first.user_key
    assert (tmp_path / "telemetry-keys.json").stat().st_mode & 0o077 == 0
    renew(tmp_path)
    second = current_identity(tmp_path, "somebody 😀")
    assert (second.key_epoch, second.user_key != first.user_key) == (2, True)
    assert identities(tmp_path, "somebody 😀") == (second,)  # nobody can tell who the first was
    assert "somebody" not in (tmp_path / "telemetry-keys.json").read_text()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"1": "00"}', '{"x": "00"}', '{"0": "' + "0" * 64 + '"}']
)
def test_a_damaged_key_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "telemetry-keys.json").write_text(text)
    with pytest.raises(InputError, match=r"telemetry-keys\.json is damaged"):
        read_keys(tmp_path)


def test_the_commands_forget_and_show(store: Store, tmp_path: Path) -> None:
    variables = {
        "FIMBLE_DATA_DIR": os.fspath(tmp_path / "data"),
        "FIMBLE_STATE_DIR": os.fspath(tmp_path / "state"),
    }
    (tmp_path / "state").mkdir()
    mine = current_identity(tmp_path / "state", "me").user_key
    spool = tmp_path / "data" / "spool"
    spool.mkdir(parents=True)
    for name, key in (("s", mine), ("t", "f" * 32)):
        lines = [
            line.replace(b'"u1"', f'"{key}"'.encode())
            for line in lines_of(session(2, seed=1), name)
        ]
        (spool / f"{name}-0.jsonl").write_bytes(b"".join(lines))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fimble", "telemetry", *arguments]
        environment = {**os.environ, **variables}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT
        )

    assert run("show", "--session", '"t"').stdout == (spool / "t-0.jsonl").read_text()
    done = run("forget", "me")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("forgot 1 sessions with 0 merged events")
    again = run("forget", "me")  # under the new key, of which nothing was recorded
    assert (again.returncode, again.stdout[:18]) == (0, "forgot 0 sessions ")
    assert mine.encode() not in b"".join(everything_in(tmp_path).values())
    assert sorted(path.name for path in spool.iterdir()) == ["t-0.jsonl"]
    assert store.spool.exists()
