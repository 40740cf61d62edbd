"""Datasets through the hub's own client, from a hub of our own on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.corpus.clients import FetchError
from training.corpus.source import Source
from training.corpus.sources import expand, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def parquet(text: str) -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table({"content": [text], "max_stars_repo_path": ["a.py"]}), data)
    return data.getvalue()


FILES = {
    "data/python/1.parquet": parquet("x = 1\n"),
    "data/python/2.parquet": parquet("x = '🙂'\r\n"),
    "data/rust/1.parquet": parquet("fn main() {}\n"),
    "README.md": b"# Ours\n",
}


class Hub:
    """A web server that speaks the routes of a hub which its client asks for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.listed = sorted(FILES)
        self.status = 200
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                hub.asked.append(f"{self.command} {path}")
                status, headers, body = hub.answer(path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body for a path."""
        if self.status != 200:
            return self.status, {}, b""
        if path == f"/api/datasets/our/code/tree/{COMMIT}":
            entries = [
                {"type": "file", "oid": "0" * 40, "size": len(FILES.get(name, b"")), "path": name}
                for name in self.listed
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(entries).encode()
        start = f"/datasets/our/code/resolve/{COMMIT}/"
        if path.startswith(start) and (name := path.removeprefix(start)) in FILES:
            etag = hashlib.sha256(FILES[name]).hexdigest()
            return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, FILES[name]
        code = "EntryNotFound" if path.startswith(start) else "RepoNotFound"
        if "our/code" in path and COMMIT not in path:
            code = "RevisionNotFound"
        return 404, {"X-Error-Code": code}, b""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    # Tests run offline; this hub is on the same machine.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield hub
    hub.close()


def dataset(files: str = "data/python/*.parquet", **others: str) -> Source:
    return Source(**{"hub": "our/code", "revision": COMMIT, "files": files, **others})  # pyrefly: ignore


def test_a_pattern_becomes_one_source_a_file_and_each_is_downloaded_once(
    tmp_path: Path, hub: Hub
) -> None:
    places = {"recipe_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    units = expand(dataset(), **places)
    assert [unit.key for unit in units] == [
        f"hub:our/code@{COMMIT}/data/python/1.parquet",
        f"hub:our/code@{COMMIT}/data/python/2.parquet",
    ]
    assert {unit.project_name for unit in units} == {"our/code"}
    for unit in units:
        [path] = fetch(unit, **places)
        assert path.name == unit.files.rpartition("/")[2]
        assert path.read_bytes() == FILES[unit.files]
    hub.asked.clear()
    assert expand(dataset(), **places) == units
    assert all(fetch(unit, **places)[0].is_file() for unit in units)
    assert hub.asked == []


def test_the_list_of_files_is_asked_for_once_for_all_patterns(tmp_path: Path, hub: Hub) -> None:
    places = {"recipe_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    assert len(expand(dataset("data/*.parquet"), **places)) == 3
    assert len(expand(dataset("data/rust/*.parquet"), **places)) == 1
    assert len([path for path in hub.asked if "/tree/" in path]) == 1


def test_paths_that_climb_out_are_not_files_of_a_dataset(tmp_path: Path, hub: Hub) -> None:
    hub.listed = ["../evil.parquet", "data/../../evil.parquet", "/evil.parquet", *hub.listed]
    units = expand(dataset("*.parquet"), recipe_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert [unit.files for unit in units] == sorted(name for name in FILES if "parquet" in name)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (dataset("data/go/*.parquet"), "no_file_matches"),
        (dataset("data/go/1.parquet"), "no_such_file"),
        (dataset(hub="our/gone"), "no_such_dataset"),
        (dataset("data/python/1.parquet", hub="our/gone"), "no_such_dataset"),
        (dataset(revision="f" * 40), "no_such_revision"),
        (dataset("data/python/1.parquet", revision="f" * 40), "no_such_revision"),
    ],
    ids=lambda value: getattr(value, "key", value),
)
def test_what_is_not_there_has_one_reason(
    tmp_path: Path, hub: Hub, source: Source, reason: str
) -> None:
    assert hub.url
    places = {"recipe_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    with pytest.raises(FetchError) as caught:
        fetch(expand(source, **places)[0], **places)
    assert str(caught.value) == reason
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {".lock", "files.json"}


@pytest.mark.parametrize(("status", "reason"), [(401, "hub_failed: 401"), (403, "hub_failed: 403")])
def test_a_hub_that_refuses_is_a_reason(tmp_path: Path, hub: Hub, status: int, reason: str) -> None:
    hub.status = status
    with pytest.raises(FetchError) as caught:
        expand(dataset(), recipe_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert str(caught.value) == reason


CODE = """
import pathlib, sys, time
from training.corpus.clients import FetchError
from training.corpus.source import Source
from training.corpus.sources import expand, fetch
here = pathlib.Path(sys.argv[1])
time.sleep = lambda _: None  # the client waits longer and longer between its tries
source = Source(hub="our/code", revision=sys.argv[2], files=sys.argv[3])
try:
    for unit in expand(source, recipe_dir=here, cache_dir=here / "cache"):
        print(fetch(unit, recipe_dir=here, cache_dir=here / "cache")[0].name)
except FetchError as error:
    print("reason:", error)
"""


def in_a_process(folder: Path, files: str, **variables: str) -> str:
    """Return what the code above prints; the client reads its variables when it is imported."""
    command = [sys.executable, "-c", CODE, str(folder), COMMIT, files]
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", **variables}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=150
    )
    return done.stdout.strip()


@pytest.mark.e2e
def test_offline_mode_takes_what_is_cached_and_says_so_of_the_rest(
    tmp_path: Path, hub: Hub
) -> None:
    pattern = "data/python/1.parquet"
    assert in_a_process(tmp_path, pattern, HF_ENDPOINT=hub.url) == "1.parquet"
    hub.asked.clear()
    offline = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "1"}
    assert in_a_process(tmp_path, pattern, **offline) == "1.parquet"
    assert in_a_process(tmp_path, "data/rust/1.parquet", **offline) == "reason: hub_is_offline"
    assert in_a_process(tmp_path, "data/*.parquet", **offline) == "reason: hub_is_offline"
    assert hub.asked == []


@pytest.mark.e2e
def test_a_hub_that_does_not_answer_is_one_reason(tmp_path: Path) -> None:
    found = in_a_process(tmp_path, "data/rust/1.parquet", HF_ENDPOINT="http://127.0.0.1:9")
    assert found == "reason: hub_unreachable"
