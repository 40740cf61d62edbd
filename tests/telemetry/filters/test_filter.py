"""A filter learnt from a company whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import binomtest, mannwhitneyu

from fimble.cli import main
from fimble.errors import InputError
from fimble.show_filter import read_filter
from telemetry.filters.command import check
from telemetry.filters.evidence import auc, evidence_of, safe_threshold
from telemetry.filters.learn import Learnt, Wanted, learn
from telemetry.filters.rows import PARTS, Rows, read_rows
from telemetry.reader import reading
from telemetry.simulate.bulk import write_warehouse
from telemetry.simulate.company import HOPELESS_LOGPROB, Simulation
from telemetry.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: nobody accepts what the model finds less likely than `HOPELESS_LOGPROB`."""
    folder = tmp_path_factory.mktemp("company")
    simulation = Simulation(num_users=50, num_days=9, start=date(2026, 6, 1), seed=1)
    write_warehouse(simulation, Warehouse(folder / "warehouse"))
    return folder


@pytest.fixture(scope="module")
def rows(company: Path) -> Rows:
    with reading(company / "spool", Warehouse(company / "warehouse")) as connection:
        return read_rows(connection)


@pytest.fixture(scope="module")
def learnt(rows: Rows) -> Learnt:
    return learn(rows, Wanted())


def test_a_filter_hides_what_is_never_accepted_and_loses_little(
    company: Path, rows: Rows, learnt: Learnt
) -> None:
    path = company / "filter.json"
    path.write_text(learnt.file)
    found = read_filter(path)
    test = rows.of(rows.part == "test")
    hopeless = test.numbers["mean_logprob"] < HOPELESS_LOGPROB
    assert not test.is_taken[hopeless].any()
    listed = [{"mean_logprob": v, "num_chars": 20, "num_lines": 1} for v in (-4.0, -2.2, -0.2)]
    assert [found.score(each) < found.threshold for each in listed] == [True, True, False]
    evidence = check(test, found)
    assert evidence == learnt.evidence  # the server's own arithmetic gives LightGBM's scores
    assert evidence.hidden_rate > 0.95 * hopeless.mean() > 0.1
    assert evidence.lost_taken_rate < 0.01
    assert evidence.lost_chars_rate < 0.01
    assert evidence.acceptance_after > evidence.acceptance_before + 0.05
    assert evidence.auc > 0.68
    assert evidence.calibration_error < 0.06


def test_learning_twice_gives_the_same_file(rows: Rows, learnt: Learnt) -> None:
    assert learn(rows, Wanted()).file == learnt.file


def test_nobody_is_tested_on_himself(rows: Rows) -> None:
    parts = [set(rows.who[rows.part == name].tolist()) for name in sorted(set(PARTS))]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts)) == 50


def test_a_suggestion_that_was_unlikely_to_be_shown_counts_as_several(rows: Rows) -> None:
    few = rows.of(np.arange(len(rows)) < 200)
    scores = np.linspace(0, 1, 200)
    heavy = np.where(np.arange(200) < 50, 4.0, 1.0)
    weighted = evidence_of(
        replace(few, weight=heavy),
        scores,
        0.5,
    )
    copies = np.repeat(np.arange(200), heavy.astype(int))
    repeated = evidence_of(few.of(copies), scores[copies], 0.5)
    for name in ("auc", "brier", "hidden_rate", "lost_taken_rate", "acceptance_after"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name)), name


def test_auc_is_that_of_another_library() -> None:
    chance = np.random.default_rng(3)
    scores = chance.integers(0, 20, 300) / 20
    helped = chance.random(300) < scores
    other = mannwhitneyu(scores[helped], scores[~helped]).statistic
    expected = other / helped.sum() / (~helped).sum()
    assert auc(scores, helped, np.ones(300)) == pytest.approx(expected, abs=1e-12)


def test_a_threshold_is_as_high_as_can_be_said_with_certainty(rows: Rows) -> None:
    some = replace(rows.of(np.flatnonzero(rows.is_taken)[:1000]), who=np.arange(1000))
    scores = np.arange(1000) // 2 / 500  # two of each score
    found = safe_threshold(some, scores, 0.02)
    num_lost = int((scores < found).sum())

    def upper(count: int) -> float:
        interval = binomtest(count, 1000).proportion_ci(0.98, method="wilson")
        return float(interval.high)

    assert upper(num_lost) <= 0.02 < upper(num_lost + 2)
    assert safe_threshold(some.of(np.arange(100)), scores[:100], 0.01) == 0
    by_few = replace(some, who=np.arange(1000) // 100)  # all that is lost is one user's
    assert safe_threshold(by_few, scores, 0.02) < found


def test_the_commands_learn_and_check(
    company: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(company))
    path = company / "learnt 🙂.json"
    assert main(["telemetry", "filter", "train", "--out", str(path), "--json"]) == 0
    learnt = json.loads(capsys.readouterr().out)
    assert json.loads(path.read_text())["evidence"]["auc"] == learnt["auc"]
    assert main(["telemetry", "filter", "check", str(path), "--since", "2026-06-08"]) == 0
    out = capsys.readouterr().out
    assert "of what was accepted" in out
    assert main(["telemetry", "filter", "check", str(company / "none")]) == 2
    assert main(["telemetry", "filter", "train", "--out", str(path), "--explore", "0"]) == 2
    assert "explore is 0.0; it must be 0.01 to 0.5" in capsys.readouterr().err


def test_too_little_is_refused_with_what_is_needed(rows: Rows) -> None:
    with pytest.raises(InputError, match=r"too little was recorded .* needed are 300"):
        learn(rows.of(np.arange(len(rows)) < 500), Wanted())
