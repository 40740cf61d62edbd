"""`fimble telemetry report`: what stands on the page, for much data, little, and none."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fimble.cli import main
from fimble.clock import SystemClock
from fimble.events import SESSION_END_S, Kept, Outcome
from telemetry.metrics.definition import definitions
from telemetry.metrics.question import Question, ask_ratio, ask_spread
from telemetry.operations.scrape import Sample
from telemetry.operations.store import OperationsStore
from telemetry.reader import reading
from telemetry.report.texts import ms_text, reach_text, value_text
from telemetry.warehouse import Warehouse
from tests.stand_ins.browser import opened, program
from tests.stand_ins.made_events import ENDED, STARTED, resolved, retained, served, shown
from tests.stand_ins.spool_writer import lines_of, session

Report = Callable[..., str]
EXPERIMENT = """\
name = "longer"
unit = "user"
main_metric = "taken_per_opportunity"
minimal_effect = 0.02
start = 2026-09-02
stop = 2026-09-05
before_days = 1
[[arms]]
name = "control"
weight = 0.5
[[arms]]
name = "longer"
weight = 0.5
max_new_tokens = 96
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and no registered experiment."""
    folder = tmp_path / "data"
    (folder / "spool").mkdir(parents=True)
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(folder))
    monkeypatch.setenv("FIMBLE_EXPERIMENTS_DIR", str(tmp_path / "none"))
    return folder


@pytest.fixture
def report(data: Path, tmp_path: Path) -> Report:
    """Write the page, and return it."""

    def write(*arguments: str) -> str:
        assert data.is_dir()
        out = tmp_path / "it's 🙂.html"
        assert main(["telemetry", "report", "--out", str(out), *arguments]) == 0
        return out.read_text(encoding="utf-8")

    return write


def text_of(page: str) -> str:
    """Return what can be read on a page, without its plots."""
    bare = re.sub(r"<(script|style|svg).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare)).replace("&#39;", "'")


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a simulated company with an experiment."""
    folder = tmp_path_factory.mktemp("company")
    (folder / "registered").mkdir()
    (folder / "registered" / "longer.toml").write_text(EXPERIMENT)
    simulated = ["--users", "50", "--days", "4", "--start", "2026-09-01", "--effect", "0.3"]
    simulated += ["--experiment", str(folder / "registered" / "longer.toml")]
    assert main(["telemetry", "simulate", "--out", str(folder / "data"), *simulated]) == 0
    return folder


@pytest.fixture(scope="module")
def company_file(company: Path) -> Path:
    """The page about the company."""
    out = company / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIMBLE_DATA_DIR", str(company / "data"))
        registered = str(company / "registered")
        assert main(["telemetry", "report", "--out", str(out), "--experiments", registered]) == 0
    return out


@pytest.fixture
def company_page(company_file: Path) -> str:
    return company_file.read_text(encoding="utf-8")


def test_the_page_tells_what_the_metrics_are(company: Path, company_page: str) -> None:
    text = text_of(company_page)
    with reading(company / "none", Warehouse(company / "data" / "warehouse")) as connection:
        [whole] = ask_ratio(connection, Question(metric="acceptance_rate_750"))
        by_language = ask_ratio(
            connection, Question(metric="taken_per_opportunity", by=("language",))
        )
        [spread] = ask_spread(connection, Question(metric="total_ms"))
    of = definitions()["acceptance_rate_750"]
    assert f"{of.title} {value_text(whole, 'share')} {reach_text(whole, 'share')}" in text
    assert len(by_language) == 8
    for row in by_language:
        assert f"{value_text(row, 'share')} {reach_text(row, 'share')}" in text
    assert f"{ms_text(spread.percentiles[0])} ms median" in text
    for heading in ("Day by day", "By language", "By editor", "By team", "Latency", "Retention"):
        assert heading in text
    assert all(each.misleads in text.replace("&gt;", ">") for each in definitions().values())


def test_the_page_tells_what_experiments_decided(company_page: str) -> None:
    text = text_of(company_page)
    assert "longer: ship longer" in text
    assert "Unit user, " in text
    assert "taken per opportunity: difference to the control" in text


def test_the_page_needs_nothing_from_elsewhere(company_page: str) -> None:
    assert re.findall(r"""(?:src|href|action)=["'](?!#)""", company_page) == []
    assert re.findall(r"url\(|@import|<link|<iframe|<img", company_page) == []
    assert "default-src &#39;none&#39;; style-src" in company_page
    assert company_page.count("<svg") > 10
    assert " style=" not in company_page


def test_nothing_recorded_is_a_page_that_says_so(report: Report) -> None:
    text = text_of(report())
    assert "nothing was recorded in these days" in text
    assert "Acceptance" not in text
    assert "Intervals" not in text


def test_one_completion_is_a_page_without_intervals(data: Path, report: Report) -> None:
    done = resolved("a", Outcome.ACCEPTED, chars=10)
    events = [STARTED, served("a"), shown("a"), done]
    events += [retained("a", SESSION_END_S, Kept.KEPT, chars=9), ENDED]
    (data / "spool" / "s-0.jsonl").write_bytes(b"".join(lines_of(events, "s")))
    text = text_of(report())
    assert "these are the data of one user" in text
    assert "Acceptance of what could be read 100.0% " in text
    assert "python 1 100.0% 100.0% 100.0% 100.0% 90.0% 0.0% 100 100" in text
    assert "end 90.0% 100% 1 0" in text
    assert "1 withheld" not in text
    legend = re.search(r"<figcaption>([^.]*)\. Share of the answers", report())
    assert legend is not None
    assert re.sub(r"<.*?>", "", legend[1]).strip() == "a new generation"


def test_what_backends_said_stands_beside_what_editors_saw(data: Path, report: Report) -> None:
    assert 'id="backends"' not in report()
    at_ms = SystemClock().wall_ms() - 120_000
    samples = [Sample(at_ms, "gpu <1>", "up", {}, 1.0)]
    samples += [Sample(at_ms, "gpu <1>", "DCGM_FI_DEV_GPU_UTIL", {"gpu": "0"}, 75.0)]
    samples += [Sample(at_ms, "gpu <1>", "DCGM_FI_DEV_FB_USED", {"gpu": "0"}, 4096.0)]
    counted = {"success": 60, "failure": 20, "generated_tokens_sum": 600, "duration_sum": 12.0}
    for step_ms, part in ((0, 0), (10_000, 1)):
        samples += [Sample(at_ms + step_ms, "gpu <1>", "tgi_queue_size", {}, 2.0 + 2 * part)]
        for name, count in {**counted, "duration_count": 60}.items():
            said = (f"tgi_request_{name}", {}, float(count * part))
            samples.append(Sample(at_ms + step_ms, "gpu <1>", *said))
    OperationsStore(data / "warehouse").add(samples)
    done = resolved("a", Outcome.ACCEPTED, chars=10)
    (data / "spool" / "s-0.jsonl").write_bytes(
        b"".join(lines_of([STARTED, served("a"), shown("a"), done, ENDED], "s"))
    )
    page = report()
    row = next(r for r in page.split("<tr>") if "gpu &lt;1&gt;" in r)
    told = text_of(row)
    assert re.search(r" 100% 6\.0 25% 200 (2\.0|3\.0|4\.0) 4\.0 at most 60 75% 4,096 MiB", told)
    for title in ("Requests per second", "Longest queue", "GPU in use"):
        assert f"<h4>{title}</h4>" in page
    assert "<h4>95% of new answers in editors, ms</h4>" not in page  # none in these hours


def test_small_groups_are_withheld_and_names_of_others_are_text_only(
    data: Path, report: Report
) -> None:
    strange = replace(STARTED, editor="<img src=x onerror=alert(1)>", team="\u202eevil")
    for number in range(6):
        model = "</script><script>alert(1)" if number else "rare"
        each = replace(served("a"), model=model)
        done = resolved("a", Outcome.ACCEPTED if number else Outcome.NOT_SHOWN, chars=10)
        start = replace(strange, user_key=f"u{number}")
        lines = lines_of([start, each, done, ENDED], f"s{number}")
        (data / "spool" / f"s{number}-0.jsonl").write_bytes(b"".join(lines))
    page = report()
    text = text_of(page)
    assert "rare &lt;5 withheld" in text
    assert "&lt;/script&gt;&lt;script&gt;alert(1) 5 100.0%" in text
    assert "6 users are few" in text
    assert "<img" not in page
    assert page.count("<script>") == 1
    assert "⟨U+202E⟩evil" in page


def test_days_are_chosen_and_doubts_are_told(data: Path, report: Report, tmp_path: Path) -> None:
    lines = lines_of(session(30, seed=1), "s")
    (data / "spool" / "s-0.jsonl").write_bytes(b"".join([lines[0], *lines[9:-1]]))
    (tmp_path / "registered").mkdir()
    (tmp_path / "registered" / "bad.toml").write_text("name = 3")
    text = text_of(report("--experiments", str(tmp_path / "registered")))
    assert "events are missing" in text
    assert "an experiment cannot be read: " in text
    assert "1 of 1 sessions were killed, or are open" in text
    assert "nothing was recorded" in text_of(report("--since", "2027-01-01"))


def test_wrong_options_are_one_message(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = data / "no" / "such.html"
    (data / "no").write_text("")
    for arguments, message in (
        (["--since", "2026-09-02", "--until", "2026-09-01"], "are none"),
        (["--experiments", str(tmp_path / "missing")], "there is no folder"),
        (["--out", str(out)], "cannot write the result"),
    ):
        assert main(["telemetry", "report", "--out", str(tmp_path / "x.html"), *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.startswith("fimble: ")
    assert not (tmp_path / "x.html").exists()


@pytest.mark.e2e
@pytest.mark.skipif(program() is None, reason="needs Chromium")
async def test_a_browser_shows_the_page_on_a_desk_and_on_a_phone(
    company_file: Path, tmp_path: Path
) -> None:
    name = program()
    assert name is not None
    async with opened(name) as page:
        for width in (1200, 390):
            await page.screenshot(tmp_path / f"{width}.png", width=width, height=900)
            await page.open(company_file.as_uri())
            await page.wait_for("What is what")
            wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert await page.value(wide) is True
            plots = "[...document.querySelectorAll('svg')]"
            drawn = f"{plots}.every(each => each.getBoundingClientRect().height > 2)"
            assert await page.value(drawn) is True
        await page.value("document.querySelector('table.sortable th.n button').click()")
        users = "[...document.querySelectorAll('table.sortable')[0].tBodies[0].rows]"
        counts = await page.value(f"{users}.map(row => Number(row.cells[1].textContent))")
        assert counts == sorted(counts, reverse=True) != []
        assert (page.hosts, page.errors) == (set(), [])
