"""The arithmetic, the cuts and the rules behind the page about a corpus."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from fimble.pages.page import percent, size
from training.corpus.card import Card, Clusters, Count, Redactions, SourceCard
from training.corpus.pipeline import Archive
from training.corpus.report.excerpts import (
    cut_line,
    cut_path,
    diff,
    excerpt,
    line_with_stand_in,
    visible,
)
from training.corpus.report.facts import Drop, Kept, Length, Pick, bin_edges
from training.corpus.report.findings import findings
from training.corpus.report.plots import half_octaves, tail
from training.corpus.report.summary import (
    Sum,
    languages_of,
    projects_of,
    quantile,
    stage_shares,
)


def kept(project: str, num_bytes: int, *, language: str = "python", split: str = "train") -> Kept:
    return Kept(
        project, language, split, "MIT", files=2, bytes=num_bytes, most_bytes=num_bytes,
        most_lines=3, secrets=0, emails=0, ips=0, redacted_files=0,
    )  # fmt: skip


def pick(stage: str, reason: str, *, language: str = "python", detail: str | None = None) -> Pick:
    return Pick("00", "pypi:a==1", "a", "a.py", language, 1, 1, stage, reason, detail, 1)


def test_bins_touch_and_cover_every_length() -> None:
    edges = bin_edges()
    assert edges[:12] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13]
    assert edges == sorted(set(edges))
    assert edges[-1] == 2**31


def lengths(values: list[int]) -> list[Length]:
    edges = bin_edges()
    inside = [(lo, hi, [v for v in values if lo <= v < hi]) for lo, hi in pairwise(edges)]
    return [Length("c", "bytes", lo, hi, len(v), sum(v)) for lo, hi, v in inside if v]


@pytest.mark.parametrize("seed", range(20))
def test_quantiles_from_bins_are_near_those_of_all_values(seed: int) -> None:
    draw = random.Random(seed)
    values = sorted(max(1, round(draw.lognormvariate(8, 1.5))) for _ in range(3000))
    for rate in (0.5, 0.9, 0.99):
        exact = values[math.ceil(rate * len(values)) - 1]
        assert quantile(lengths(values), rate) == pytest.approx(exact, rel=0.06)


def test_quantiles_of_one_file_are_its_bin() -> None:
    assert quantile(lengths([1]), 0.5) == 1
    assert 861 <= quantile(lengths([1000]), 0.5) <= 1023


def test_concentration_is_that_of_the_formula() -> None:
    rows = [kept("a", 600), kept("b", 300), kept("c", 100), kept("z", 7, language="go")]
    python, go = languages_of(rows)
    # Shares 0.6, 0.3, 0.1: 0.36 + 0.09 + 0.01.
    assert (python.language, python.hhi) == ("python", pytest.approx(0.46))
    assert python.effective_projects == pytest.approx(1 / 0.46)
    assert (python.largest_project, python.largest_share) == ("a", pytest.approx(0.6))
    assert (go.hhi, go.largest_share, go.kept) == (1.0, 1.0, Sum(2, 7))


def test_languages_of_empty_files_have_no_share() -> None:
    (only,) = languages_of([kept("a", 0)])
    assert (only.hhi, only.largest_share, only.effective_projects) == (0.0, 0.0, 0.0)


def test_projects_come_by_size_and_then_by_name() -> None:
    rows = [
        kept("b", 5),
        kept("a", 5),
        kept("c", 9),
        kept("c", 1, language="go", split="validation"),
    ]
    assert [(p.project, p.kept, p.languages, p.splits) for p in projects_of(rows)] == [
        ("c", Sum(4, 10), ("python", "go"), ("train", "validation")),
        ("a", Sum(2, 5), ("python",), ("train",)),
        ("b", Sum(2, 5), ("python",), ("train",)),
    ]


def test_a_stage_is_measured_by_what_came_to_it() -> None:
    rows = [
        Drop("go", None, None, 25, 250),
        Drop("go", "lines", "few_letters", 25, 250),
        Drop("go", "path", "vendored", 50, 500),
        Drop("", "path", "no_language", 1000, 1000),
    ]
    path, lines = stage_shares(rows, ["path", "lines"])
    assert (path.read, path.dropped, path.rate) == (Sum(100, 1000), Sum(50, 500), 0.5)
    assert (lines.read, lines.dropped, lines.rate) == (Sum(50, 500), Sum(25, 250), 0.5)


def card(*, benchmarks: int = 1, skipped: str = "") -> Card:
    none = Count(files=0, bytes=0)
    source = SourceCard(
        source="npm:a@1", project="a", version="1", licence="MIT", split="train", skipped=skipped,
        archives=(), read=none, kept=none, languages={},
    )  # fmt: skip
    return Card(
        name="x", digest="0", libraries={}, read=none, kept=none, dropped=none, languages={},
        licences={}, projects={}, redactions=Redactions(secrets=0, emails=0, ips=0),
        near_duplicates=Clusters(clusters=0, files=0), stages=(), sources=(source,),
        benchmarks=(Archive(name="b.jsonl", size_bytes=1, sha256="0"),) * benchmarks,
    )  # fmt: skip


SOUND = [kept(f"p{n}", 100) for n in range(32)] + [kept("held", 100, split="validation")]


def test_a_sound_corpus_gives_no_finding() -> None:
    assert findings(card(), languages_of(SOUND), []) == []


def test_a_build_without_benchmarks_is_a_finding() -> None:
    (found,) = findings(card(benchmarks=0), languages_of(SOUND), [])
    assert found.startswith("Nothing was decontaminated: ")


@pytest.mark.parametrize(
    ("validation_bytes", "said"),
    [(0, "0.00%"), (32, "0.99%"), (33, None), (168, None), (169, "5.0%"), (1000, "23.8%")],
)
def test_validation_is_a_finding_below_one_and_above_five_percent(
    validation_bytes: int, said: str | None
) -> None:
    rows = [*SOUND[:-1], kept("held", validation_bytes, split="validation")]
    found = findings(card(), languages_of(rows), [])
    assert len(found) == (said is not None)
    assert said is None or found[0].startswith(f"Validation is {said} of the bytes; ")


def test_a_language_without_validation_is_a_finding() -> None:
    rows = [*SOUND, *(kept(f"g{n}", 10, language="go") for n in range(10))]
    assert findings(card(), languages_of(rows), []) == ["No validation project holds files in go."]


def test_a_project_that_outweighs_its_language_is_a_finding() -> None:
    assert findings(card(), languages_of([*SOUND, kept("giant", 1414)]), []) == []
    assert findings(card(), languages_of([*SOUND, kept("giant", 1450)]), []) == [
        "python: the project giant has 31% of the bytes (of 34 projects)."
    ]


@pytest.mark.parametrize(("dropped", "of", "is_found"), [(50, 100, 0), (51, 100, 1), (19, 19, 0)])
def test_a_stage_that_drops_most_of_a_language_is_a_finding(
    dropped: int, of: int, is_found: int
) -> None:
    rows = [Drop("go", "lines", "x", dropped, 1), Drop("go", None, None, of - dropped, 1)]
    found = findings(card(), languages_of(SOUND), stage_shares(rows, ["lines"]))
    said = "The stage “lines” drops more than half of the files in go (51% of 100)."
    assert found == [said] * is_found


def test_skipped_sources_are_a_finding() -> None:
    found = findings(card(skipped="gone"), languages_of(SOUND), [])
    assert found == ["1 of 1 sources were skipped; see Sources."]


def test_what_is_invisible_or_moves_text_becomes_visible() -> None:
    assert visible("a\x00\x1b\r\u202e\u2028\ufeff\u00adb") == (
        "a⟨U+0000⟩⟨U+001B⟩⟨U+000D⟩⟨U+202E⟩⟨U+2028⟩⟨U+FEFF⟩⟨U+00AD⟩b"
    )
    assert visible("é\t漢字 مرحبا 👩‍💻") == "é\t漢字 مرحبا 👩‍💻"


def test_long_lines_say_how_much_is_left_out() -> None:
    assert cut_line("x" * 160) == "x" * 160
    assert cut_line("x" * 1160) == "x" * 160 + " … 1,000 more characters"
    line = "a" * 500 + "MARK" + "b" * 500
    assert cut_line(line, around=500) == (
        "… 460 characters … " + "a" * 40 + "MARK" + "b" * 116 + " … 384 more characters"
    )
    assert cut_line("") == ""


def test_long_paths_keep_their_ends() -> None:
    path = "/".join(f"folder{n}" for n in range(100)) + "/file.py"
    assert len(cut_path(path)) == 161
    assert cut_path(path).endswith("/file.py")


def test_an_excerpt_of_an_empty_text_is_one_empty_line() -> None:
    assert excerpt("", pick("decode", "empty")) == (1, 1, ("",), None)


def test_an_excerpt_shows_the_longest_line_and_what_stands_before_it() -> None:
    lines = [f"line {n}" for n in range(1, 101)]
    lines[69] = "y" * 5000
    shown = excerpt("\n".join(lines), pick("lines", "line_too_long"))
    assert (shown.first_line, shown.num_lines, shown.marked) == (62, 100, 8)
    assert shown.lines[8] == "y" * 160 + " … 4,840 more characters"
    assert shown.lines[0] == "line 62"
    assert len(shown.lines) == 30


def test_an_excerpt_marks_what_python_refuses() -> None:
    shown = excerpt("x = 1\nprint 'two'\n", pick("syntax", "not_python3"))
    assert shown == (1, 3, ("x = 1", "print 'two'", ""), 1)
    nul = excerpt("x = 1\n\x00\n", pick("syntax", "not_python3"))
    assert nul.lines[1] == "⟨U+0000⟩"


def test_an_excerpt_marks_the_passage_of_a_benchmark_across_lines_and_escapes() -> None:
    words = "one two three four five six seven eight nine ten"
    text = "# start\n\ntext = 'One TWO\\nthree, four,\n five six\tseven (eight) nine\n ten'\n"
    shown = excerpt(text, pick("decontamination", "benchmark_text", detail=f"a.jsonl:7: {words}"))
    assert shown.marked == 2
    unknown = pick("decontamination", "benchmark_text", detail="a.jsonl:7: (not) [here] *")
    assert excerpt(text, unknown).marked is None


def test_a_difference_is_cut() -> None:
    assert diff("a\nb\nc", "a\nB\nc") == ("@@ -1,3 +1,3 @@", " a", "-b", "+B", " c")
    assert diff("a", "a") == ()
    old, new = ("\n".join(f"{side} {n}" for n in range(50_000)) for side in ("old", "new"))
    assert len(diff(old, new)) == 60


def test_the_line_of_a_stand_in_is_found() -> None:
    text = "x = 1\n  token = 'redacted_0123abcd'\n# by user0a1b2c@example.org at 198.51.100.7\n"
    assert line_with_stand_in(text, "secrets") == "token = 'redacted_0123abcd'"
    assert line_with_stand_in(text, "emails") == "# by user0a1b2c@example.org at 198.51.100.7"
    assert line_with_stand_in(text, "ips") == "# by user0a1b2c@example.org at 198.51.100.7"
    assert line_with_stand_in("x = 1\n", "secrets") is None


def test_plots_lose_no_file_and_no_byte() -> None:
    bins = lengths([16, 17, 100, 5000, 5001, 900_000])
    wide = half_octaves(bins)
    assert sum(files for _, files, _ in wide) == pytest.approx(1)
    assert sum(num_bytes for _, _, num_bytes in wide) == pytest.approx(1)


def test_tails_begin_with_all_files_and_fall() -> None:
    points = tail(lengths([1, 1, 2, 8]))
    assert points == [(1, 1.0), (2, 0.5), (8, 0.25)]


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (99_950, "100 kB"),
     (999_499, "999 kB"), (999_500, "1.0 MB"), (593_050_859, "593 MB"), (4_942_302_059, "4.9 GB"),
     (12_345_678_901_234, "12,346 GB")],
)  # fmt: skip
def test_bytes_are_shown_with_their_unit(number: int, shown: str) -> None:
    assert size(number) == shown


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(0, "0%"), (0.00001, "<0.1%"), (0.0005, "0.1%"), (0.012, "1.2%"), (0.5, "50%"),
     (0.9949, "99.5%"), (0.99994, ">99.9%"), (1.0, "100%")],
)  # fmt: skip
def test_shares_are_never_rounded_to_nothing_or_all(rate: float, shown: str) -> None:
    assert percent(rate) == shown
