"""Metrics of real servers on loopback ports, from their text to the views."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from fimble.cli import main
from fimble.errors import InputError
from lsp_server.serving.metrics import Histogram
from telemetry.operations.scrape import Sample, backend_of, samples_in
from telemetry.operations.store import OperationsStore
from telemetry.warehouse import GRACE_MS, Warehouse
from tests.stand_ins.spool_writer import START_MS, lines_of, session

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
MINUTE_MS, DAY_MS = 60_000, 86_400_000
TGI = """# HELP tgi_queue_size Requests that wait
# TYPE tgi_queue_size gauge
tgi_queue_size 3
# TYPE tgi_request_success counter
tgi_request_success{method="generate"} 10
# TYPE tgi_request_failure counter
tgi_request_failure{err="overloaded \\"now\\""} 2
# TYPE tgi_request_duration histogram
tgi_request_duration_bucket{le="0.1"} 1
tgi_request_duration_bucket{le="+Inf"} 2
tgi_request_duration_sum 0.3
tgi_request_duration_count 2
# TYPE process_open_fds gauge
process_open_fds 12
tgi_batch_next_size NaN
"""


def test_an_answer_becomes_the_samples_that_are_ours() -> None:
    found = samples_in(TGI, backend="b", at_ms=7)
    assert [(each.metric, dict(each.labels), each.value) for each in found] == [
        ("tgi_queue_size", {}, 3.0),
        ("tgi_request_success_total", {"method": "generate"}, 10.0),
        ("tgi_request_failure_total", {"err": 'overloaded "now"'}, 2.0),
        ("tgi_request_duration_bucket", {"le": "0.1"}, 1.0),
        ("tgi_request_duration_bucket", {"le": "+Inf"}, 2.0),
        ("tgi_request_duration_sum", {}, 0.3),
        ("tgi_request_duration_count", {}, 2.0),
    ]
    assert {(each.at_ms, each.backend) for each in found} == {(7, "b")}


def test_what_our_own_server_writes_is_understood() -> None:
    histogram = Histogram((0.1, 0.5))
    histogram.record(0.2)
    lines = ["# TYPE tgi_request_duration histogram", *histogram.lines("tgi_request_duration")]
    found = samples_in("\n".join(lines) + "\n", backend="b", at_ms=0)
    assert [(dict(e.labels).get("le"), e.value) for e in found] == [
        *(("0.1", 0.0), ("0.5", 1.0), ("+Inf", 1.0)),
        *((None, 0.2), (None, 1.0)),
    ]


@pytest.mark.parametrize(
    "text", ["", "<html>404 😀</html>", '{"error": 1}', "tgi_queue_size", 'a{b="', "x y z\n"]
)
def test_rubbish_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        samples_in(text, backend="b", at_ms=0)


def test_too_many_samples_are_no_answer() -> None:
    text = "".join(f'tgi_x{{n="{n}"}} 1\n' for n in range(20_001))
    with pytest.raises(ValueError, match="more than 20000 samples"):
        samples_in(text, backend="b", at_ms=0)


def test_an_address_needs_no_path_and_may_have_a_name() -> None:
    named = [backend_of(text) for text in ("http://h:1", "a=https://h/m?x=1", "http://u:p@h:2/")]
    assert [(each.name, each.url) for each in named] == [
        ("h:1", "http://h:1/metrics"),
        ("a", "https://h/m?x=1"),
        ("h:2", "http://u:p@h:2/metrics"),
    ]
    for wrong in ("h:1", "ftp://h", "http://", "a b=http://h", "=http://h", ""):
        with pytest.raises(InputError):
            backend_of(wrong)


@dataclass
class Answers:
    """What a server says, one answer after the other, the last one for ever."""

    texts: list[bytes]
    status: int = 200
    num_asked: int = 0
    url: str = field(default="")

    def next(self) -> bytes:
        self.num_asked += 1
        return self.texts[min(self.num_asked, len(self.texts)) - 1]


def serving(answers: Answers) -> Iterator[Answers]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.next()
            self.send_response(answers.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:  # the other side had enough
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answers.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield answers
    server.shutdown()
    server.server_close()


@pytest.fixture
def tgi() -> Iterator[Answers]:
    later = TGI.replace("} 10", "} 40").replace("_size 3", "_size 5")
    yield from serving(Answers([TGI.encode(), later.encode()]))


@pytest.fixture
def rubbish() -> Iterator[Answers]:
    yield from serving(Answers([b"\xff\xfe<html>", TGI.encode()]))


@pytest.fixture
def flood() -> Iterator[Answers]:
    yield from serving(Answers([b"tgi_queue_size 1\n" * 600_000]))


@pytest.fixture
def failing() -> Iterator[Answers]:
    yield from serving(Answers([TGI.encode()], status=503))


def telemetry(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fimble", "telemetry", "operations", *arguments],
        env={**os.environ, "FIMBLE_DATA_DIR": os.fspath(folder)},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=150,
    )


@pytest.mark.e2e
@pytest.mark.slow
def test_backends_are_polled_and_one_in_trouble_costs_a_line_and_a_row(
    tgi: Answers, rubbish: Answers, flood: Answers, failing: Answers, free_port: int, tmp_path: Path
) -> None:
    backends = [f"good={tgi.url}", f"bad={rubbish.url}", f"flood={flood.url}"]
    backends += [f"failing={failing.url}", f"gone=http://127.0.0.1:{free_port}"]
    done = telemetry(tmp_path, "scrape", *backends, "--polls", "2", "--every-s", "1")
    assert (done.returncode, tgi.num_asked) == (0, 2)
    said = [line.split("backend ")[1].split(":")[0] for line in done.stderr.splitlines()]
    assert sorted(said) == [
        "bad gives metrics again",
        *(f"{name} gives no metrics" for name in ("bad", "failing", "flood", "gone")),
    ]
    files = OperationsStore(tmp_path / "warehouse").files()
    rows = duckdb.sql(
        "select backend, list(value order by at_ms) from "
        f"read_parquet({[str(path) for path in files]}) where metric = 'up' group by all"
    ).fetchall()
    assert dict(rows) == {
        "good": [1.0, 1.0],
        "bad": [0.0, 1.0],
        **{name: [0.0, 0.0] for name in ("failing", "flood", "gone")},
    }
    asked = telemetry(
        tmp_path,
        *("sql", "select max(queue_max) from backends where backend = 'good'", "--format", "csv"),
    )
    assert (asked.stdout, asked.stderr) == ("max(queue_max)\n5.0\n", "")


@pytest.mark.e2e
def test_a_signal_ends_it_and_what_was_polled_is_kept(tgi: Answers, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fimble", "telemetry", "operations", "scrape", tgi.url]
    environment = {**os.environ, "FIMBLE_DATA_DIR": os.fspath(tmp_path)}
    process = subprocess.Popen(
        [*command, "--every-s", "1"], env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while tgi.num_asked < 2 and process.poll() is None:
        threading.Event().wait(0.02)
    second = telemetry(tmp_path, "scrape", tgi.url)
    assert (second.returncode, "another process already" in second.stderr) == (2, True)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=150)
    assert (process.returncode, errors) == (0, "")
    assert len(OperationsStore(tmp_path / "warehouse").files()) >= 1


def test_wrong_options_get_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIMBLE_DATA_DIR", os.fspath(tmp_path))
    for wrong in (["h:1"], ["http://h:1", "http://h:1"], ["http://h:1", "--every-s", "0"]):
        assert main(["telemetry", "operations", "scrape", *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def sample(at_ms: int, metric: str, value: float, **labels: str) -> Sample:
    return Sample(at_ms, "b", metric, labels, value)


def test_hours_become_days_and_old_days_go(tmp_path: Path) -> None:
    store = OperationsStore(tmp_path)
    with store.writing():
        for hour in (0, 1, 23, 24, 25):
            store.add([sample(START_MS + hour * 3_600_000 + n, "up", hour) for n in range(3)])
        store.add([sample(START_MS + 5, "up", 0.5)])
        names = [path.name for path in store.files()]
        assert names[:2] == ["2026-09-01T00.2.parquet", "2026-09-01T01.1.parquet"]
        now_ms = START_MS + DAY_MS + 2 * 3_600_000
        before = values(store)
        store.tidy(now_ms=now_ms, keep_days=2)
        days = ["2026-09-01.1.parquet", "2026-09-02T00.1.parquet", "2026-09-02T01.1.parquet"]
        assert [path.name for path in store.files()] == days
        assert values(store) == before
        assert len(before) == 16
        store.add([sample(START_MS + 9, "up", 0.25)])  # the clock was set back
        assert store.files()[0].name == "2026-09-01.2.parquet"
        assert len(values(store)) == 17
        for path in store.folder.glob("2026-09-01*"):
            os.utime(path, (0, (now_ms - GRACE_MS - 1000) / 1000))
        store.tidy(now_ms=now_ms, keep_days=2)
        assert sorted(path.name for path in store.folder.glob("2026-09-01*")) == [
            "2026-09-01.2.parquet"
        ]
        store.tidy(now_ms=now_ms + 4 * DAY_MS, keep_days=2)
        assert store.files() == []


def values(store: OperationsStore) -> list[Any]:
    names = [str(path) for path in store.files()]
    return duckdb.sql(f"select at_ms, value from read_parquet({names}) order by all").fetchall()


def asked(
    data: Path, samples: list[Sample], sql: str, monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    """Return what a query gives over samples, and over the events in the spool."""
    from telemetry.operations.views import Days, asking

    monkeypatch.setenv("FIMBLE_DATA_DIR", os.fspath(data))
    OperationsStore(data / "warehouse").add(samples)
    with asking(Warehouse(data / "warehouse"), Days()) as connection:
        return connection.execute(sql).fetchall()


def test_counters_become_rates_also_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [START_MS + n * 15_000 for n in range(5)]
    counted = [100, 130, 160, 15, 30]  # it began anew before the fourth poll
    samples = [sample(t, "tgi_request_success_total", n) for t, n in zip(at, counted, strict=True)]
    samples += [
        sample(t, "tgi_request_failure", n, err=err)
        for err in ("a", "b")
        for t, n in zip(at, (0, 3, 3, 3, 3), strict=True)
    ]
    samples += [sample(t, "tgi_request_generated_tokens_sum", 10 * n) for n, t in enumerate(at)]
    samples += [sample(at[0], "tgi_request_duration_sum", 1.0)]
    samples += [sample(at[1], "tgi_request_duration_sum", 4.0)]
    samples += [sample(t, "tgi_request_duration_count", 6 * n) for n, t in enumerate(at[:2])]
    samples += [sample(at[0], "DCGM_FI_DEV_GPU_UTIL", use, gpu=gpu) for gpu, use in GPUS.items()]
    columns = "requests_per_s, errors_per_s, generated_tokens_per_s, latency_ms, gpu_use_share"
    found = asked(tmp_path, samples, f"select {columns} from backends order by minute", monkeypatch)
    assert found == [
        (
            pytest.approx(75 / 45),
            pytest.approx(6 / 45),
            pytest.approx(30 / 45),
            500.0,
            pytest.approx(0.6),
        ),
        (pytest.approx(1.0), 0.0, pytest.approx(10 / 15), None, None),
    ]


GPUS = {"0": 80.0, "1": 40.0}


def test_vllm_has_the_same_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [
        *(sample(START_MS, "vllm:num_requests_waiting", 2.0, model_name="m"),),
        *(sample(START_MS, "vllm:num_requests_running", 7.0, model_name="m"),),
        *(sample(START_MS + n * 10_000, "vllm:generation_tokens_total", 50 * n) for n in (0, 1)),
    ]
    columns = "queue_max, batch_max, generated_tokens_per_s, requests_per_s"
    found = asked(tmp_path, samples, f"select {columns} from backends", monkeypatch)
    assert found == [(2.0, 7.0, 5.0, None)]


LLAMA_CPP_METRICS = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total {prompt}
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed.
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total {predicted}
# HELP llamacpp:requests_processing Number of requests processing
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 3
# HELP llamacpp:requests_deferred Number of requests deferred
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 1
"""
"""As llama-server 0c1e57098 writes them."""


def test_so_does_llama_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [
        each
        for n in (0, 1)
        for each in samples_in(
            LLAMA_CPP_METRICS.format(prompt=700 * n, predicted=50 * n),
            backend="b",
            at_ms=START_MS + n * 10_000,
        )
    ]
    columns = "queue_max, batch_max, generated_tokens_per_s, prompt_tokens_per_s"
    found = asked(tmp_path, samples, f"select {columns} from backends", monkeypatch)
    assert found == [(1.0, 3.0, 5.0, 70.0)]


def test_backends_stand_beside_what_editors_saw_in_the_same_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spool").mkdir()
    lines = lines_of(session(12, seed=2), "s")
    (tmp_path / "spool" / "s-0.jsonl").write_bytes(b"".join(lines))
    samples = [sample(START_MS + n * MINUTE_MS, "tgi_queue_size", n) for n in range(3)]
    expected = asked(
        tmp_path,
        samples,
        "select at_ms // 60000, count(*) from opportunities "
        "where cache is null or cache = 'miss' group by all order by all",
        monkeypatch,
    )
    found = asked(
        tmp_path, [], "select queue_max, num_editor_requests from serving order by 1", monkeypatch
    )
    counts = {minute - START_MS // MINUTE_MS: count for minute, count in expected}
    assert found == [(float(n), counts.get(n, 0)) for n in range(3)]
    assert sum(count for _, count in found) > 0
