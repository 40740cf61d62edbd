"""The page and the database: whole, self-contained, and with nothing of an answer in charge."""

from __future__ import annotations

import html.parser
import re
from typing import TYPE_CHECKING

import duckdb
import pytest

from eval_harness.records import Asked
from eval_harness.report.names import short_names
from eval_harness.report.programs import MAX_DIFFERENCES, says_of
from eval_harness.verdict import State
from fimble.cli import main
from tests.eval_harness.report.runs import HOSTILE, problems, write_run

if TYPE_CHECKING:
    from pathlib import Path

P, W = State.PASSED, State.WRONG


class Outline(html.parser.HTMLParser):
    """Collects tags and what they point to, and sees that they are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "rect", "path", "use"}:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"href", "src"}:
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass


def outline_of(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    return parser


@pytest.fixture
def two_runs(tmp_path: Path) -> list[str]:
    """Return two runs on the same problems, one of them with texts that would like to be code."""
    asked = [Asked("toy", p) for p in problems()]
    names = [p.problem_id for p in problems()]
    first = {(name, 0): W for name in names}
    second = {(name, 0): P if place % 2 else W for place, name in enumerate(names)}
    return [
        str(write_run(tmp_path / "a" / "run", asked, first, texts={"python/1": HOSTILE})),
        str(write_run(tmp_path / "b" / "run", asked, second, name=HOSTILE)),
    ]


def test_the_page_needs_nothing_and_obeys_nobody(tmp_path: Path, two_runs: list[str]) -> None:
    page = tmp_path / "report.html"
    assert main(["eval", "report", *two_runs, "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    outline = outline_of(text)
    assert outline.tags.count("script") == 1
    assert all(link.startswith("#") and link[1:] in outline.ids for link in outline.links)
    assert "default-src &#39;none&#39;" in text
    assert "alert(1)" in text  # shown, escaped
    assert "<script>alert" not in text
    assert not re.search("[\u202e\x1b\x00]", text)
    assert "⟨U+202E⟩" in text
    assert text.count("<svg") >= 3


def test_the_page_shows_what_differs(tmp_path: Path, two_runs: list[str]) -> None:
    page = tmp_path / "report.html"
    main(["eval", "report", *two_runs, "--html", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "b/run minus a/run" in text
    assert "3 problems differ." in text
    assert text.count('<span class="plus">better</span>') == 3
    assert "<mark>    return 1\n</mark>" in text
    assert "wrong → passed" in text


def test_the_page_names_what_the_training_data_knew_and_where(tmp_path: Path) -> None:
    marks = {"python/1": "left out of the corpus: <b>x.go</b> of p", "python/4": "in the corpus: y"}
    asked = [
        Asked(
            suite="toy",
            problem=problem,
            contaminated=marks.get(problem.problem_id, ""),
            is_unchecked=problem.problem_id == "python/5",
        )
        for problem in problems()
    ]
    states = {(problem.problem_id, 0): W for problem in problems()}
    first = write_run(tmp_path / "a", asked, states)
    second = write_run(tmp_path / "b", asked, states | {("python/4", 0): P})
    page = tmp_path / "report.html"
    main(["eval", "report", str(first), str(second), "--html", str(page)])
    text = page.read_text(encoding="utf-8")
    section = text.partition('<section id="known">')[2].partition("</section>")[0]
    assert section.count("<details") == 2
    assert section.count(">python/python/1<") == section.count(">python/python/4<") == 2
    assert "left out of the corpus: &lt;b&gt;x.go&lt;/b&gt; of p" in section
    assert section.count('<td class="n">100</td>') == 1
    assert section.count('<td class="n">0</td>') == 3
    assert "wrong → passed, known to the training data" in text
    assert "2 problems stood in the training data" in text
    assert "1 problems were not looked for in the training data" in text
    assert "without contaminated" in text


def test_a_page_without_a_corpus_says_nothing_of_it(tmp_path: Path, two_runs: list[str]) -> None:
    page = tmp_path / "report.html"
    main(["eval", "report", *two_runs, "--html", str(page)])
    assert "training data" not in page.read_text(encoding="utf-8")


def test_equal_runs_give_equal_pages(tmp_path: Path, two_runs: list[str]) -> None:
    pages = [tmp_path / "1.html", tmp_path / "2.html"]
    for page in pages:
        main(["eval", "report", *two_runs, "--html", str(page)])
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_a_page_of_thousands_of_differences_stays_small(tmp_path: Path) -> None:
    asked = [Asked("toy", p) for p in problems(400)]
    ids = [p.problem_id for p in problems(400)]
    huge = dict.fromkeys(ids, "x = 1  # 😀\n" * 200)
    first = write_run(tmp_path / "a", asked, {(name, 0): W for name in ids}, texts=huge)
    second = write_run(tmp_path / "b", asked, {(name, 0): P for name in ids})
    page = tmp_path / "report.html"
    main(["eval", "report", str(first), str(second), "--html", str(page)])
    text = page.read_text(encoding="utf-8")
    assert text.count('class="plus">better') == MAX_DIFFERENCES
    assert "400 problems differ" in text
    assert len(text) < 500_000


def test_the_database_answers_what_the_report_says(tmp_path: Path, two_runs: list[str]) -> None:
    database = tmp_path / "out" / "results.duckdb"
    for _ in range(2):  # the second takes the place of the first
        assert main(["eval", "report", *two_runs, "--duckdb", str(database)]) == 0
    with duckdb.connect(str(database), read_only=True) as connection:

        def rows(query: str) -> list[tuple[object, ...]]:
            return connection.sql(query).fetchall()

        assert rows("select run, model_digest, sandbox from runs order by run") == [
            ("a/run", "abc", "landlock"),
            ("b/run", "abc", "landlock"),
        ]
        assert rows("select count(*) from samples") == [(12,)]
        assert rows("select sum(score) from problem_scores where run = 'b/run'") == [(3.0,)]
        assert rows(
            "select problem_id, first_score, second_score from differences "
            "where first_run = 'a/run' order by problem_id"
        ) == [(f"python/{number}", 0.0, 1.0) for number in (1, 3, 5)]
        assert rows("select state, num_samples from verdicts where run = 'b/run' order by 1") == [
            ("passed", 3),
            ("wrong", 3),
        ]
        assert rows(
            "select value, num_problems, num_clusters from scores where run = 'b/run' "
            "and metric = 'pass@1' and variant = 'main'"
        ) == [(0.5, 6, 3)]
        comments = rows(
            "select comment from duckdb_tables() union all "
            "select comment from duckdb_views() where not internal"
        )
        assert len(comments) == 7
        assert all(str(comment).startswith("grain:") for (comment,) in comments)


def test_runs_are_called_by_what_tells_them_apart() -> None:
    assert short_names(["x/a/run", "x/b/run"]) == ["a/run", "b/run"]
    assert short_names(["x/a", "x/b"]) == ["a", "b"]
    assert short_names(["same", "same"]) == ["same", "same"]


def test_failures_that_say_the_same_are_one_kind() -> None:
    first = says_of("Traceback…\n  File \"p.py\", line 3\nNameError: name 'foo' is not defined\n")
    assert first == "NameError: name '…' is not defined"
    assert says_of("program.go:12:3: undefined: x") == "program.go:N:N: undefined: x"
    assert says_of("") == ""
