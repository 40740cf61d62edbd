"""What simulated people would take of models: where they look, and how an answer is judged."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.training import taken
from bench.training.taken import Answer, Look, _answer, answers, looks, main
from fimble.fim import FIMBLE
from fimble.languages import by_name
from tests.stand_ins.tiny_model import tiny_checkpoint
from training.tuning.encoding import Encoder

BLOCK = """def function_{n}(items, factor):
    total_{n} = sum(item * factor for item in items)
    if total_{n} > {n}:
        total_{n} = total_{n} - {n}
    return total_{n}


"""
TEXT = "# 🙂\n" + "".join(BLOCK.format(n=number) for number in range(12))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two projects that are held out, one that is not, and a language that we do not know."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = [
        {"project": project, "language": language, "path": "a.py", "split": split, "text": TEXT}
        for project, language, split in (
            ("first", "python", "validation"),
            ("second", "python", "validation"),
            ("learnt", "python", "train"),
            ("unknown", "klingon", "validation"),
        )
    ]
    (folder / "files").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "files" / "a.parquet")
    return folder


def test_people_look_where_the_file_goes_on_as_it_stands(corpus: Path) -> None:
    found = list(looks(corpus, seed=0))
    assert {look.project for look in found} == {"first", "second"}
    assert len(found) > 10
    for look in found:
        assert look.prefix + look.true + look.suffix == TEXT
        assert look.true
    assert found == list(looks(corpus, seed=0)) != list(looks(corpus, seed=1))


@pytest.fixture
def rest() -> Look:
    """A place in a line, and what stands there."""
    prefix, mark, suffix = TEXT.partition("total_7 = sum(")
    true, end, after = suffix.partition("\n")
    python = by_name("python")
    assert python is not None
    return Look("first", "a.py", python, prefix + mark, end + after, true)


def test_an_answer_is_taken_as_far_as_it_is_right(rest: Look) -> None:
    encoder = Encoder(tiny_checkpoint(), FIMBLE.name)

    def judged(text: str) -> Answer:
        return _answer([*encoder.text(text), encoder.end_id], encoder, rest)

    true = rest.true
    right = judged(true)
    assert (right.num_chars, right.num_taken) == (len(true), len(true))
    assert right.num_tokens == len(encoder.text(true))
    started = true.replace("factor", "weight")
    assert 0 < judged(started).num_taken < judged(started).num_chars == len(started)
    assert judged("nothing(of, the, kind))").num_taken == 0
    assert judged("  ") == Answer(0, 0, 0)


def test_answers_do_not_depend_on_what_else_is_asked(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list(looks(corpus, seed=0))[:7]
    monkeypatch.setattr(taken, "AT_ONCE", 3)
    together = answers(tiny_checkpoint(), asked)
    assert together == [answers(tiny_checkpoint(), [look])[0] for look in asked]
    assert any(answer.num_chars for answer in together)


def test_a_model_does_not_differ_from_itself(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(taken, "MAX_NEW_TOKENS", 4)
    folder = str(tiny_checkpoint())
    monkeypatch.setattr(sys, "argv", ["taken", str(corpus), folder, folder])
    main()
    first, second, difference = capsys.readouterr().out.splitlines()
    num_looks = len(list(looks(corpus, seed=0)))
    assert first == second
    assert f" of {num_looks} shown, " in first
    assert difference == "  accepted a look: +0.0% (+0.0% to +0.0%)"
