"""The seam to the language server: what its outbox writes is what the warehouse holds."""

import json

from fimble.events import SessionEnded, SessionStarted
from lsp_server.outbox import Outbox
from tests.stand_ins.spool_writer import session
from tests.telemetry.conftest import Store

START = SessionStarted(
    editor="Neovim 🙂",
    editor_version="0.12.4",
    plugin_version="",
    server_version="0.1.0",
    level="metrics",
    user_key="",
    key_epoch=0,
    team="",
)


def test_every_event_of_the_outbox_arrives_with_all_its_fields(store: Store) -> None:
    events = [event for event in session(40, seed=3) if not isinstance(event, SessionEnded)]
    outbox = Outbox(store.spool, session_id="real", clock=store.clock, segment_bytes=5000)
    for event in events:
        outbox.put(event)
    while outbox.num_written < len(events):
        pass  # to close it waits for two seconds only
    outbox.close()
    segments = sorted(store.spool.iterdir())
    assert len(segments) > 3
    assert all(path.suffix == ".jsonl" for path in segments)
    written = [json.loads(line) for path in segments for line in path.read_bytes().splitlines()]
    report = store.merge()
    assert (report.num_events, report.num_damaged, report.num_unknown) == (len(events) + 1, 0, 0)
    stored = [json.loads(row) for (row,) in store.rows("select to_json(e) from events as e")]
    for record in (*stored, *written):
        record.pop("day", None)
        record.pop("v", None)
    filled = [{name: value for name, value in row.items() if value is not None} for row in stored]
    assert sorted(filled, key=lambda row: row["seq"]) == sorted(written, key=lambda row: row["seq"])
    assert store.rows("select num_lost, num_dropped, is_ended from sessions") == [(0, 0, True)]


def test_what_an_open_outbox_has_written_can_be_queried(store: Store) -> None:
    outbox = Outbox(store.spool, session_id="open", clock=store.clock)
    outbox.put(START)
    while not store.seqs():
        pass  # its thread writes
    assert store.merge().num_segments == 0
    assert store.rows("select editor, is_ended from sessions") == [("Neovim 🙂", False)]
    outbox.close()
    assert store.merge().num_events == 2
    assert store.seqs() == {"open": [0, 1]}
