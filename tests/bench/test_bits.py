"""Bits per byte of two models, of the same held-out text."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.training.bits import bits_per_byte, main
from tests.stand_ins.tiny_model import tiny_checkpoint, tiny_model_folder

TEXT = "# 🙂\ndef add(a, b):\n    return a + b\n"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is held out, and one that is not."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = [
        {"project": split, "language": language, "path": "a.x", "split": split, "text": TEXT * 20}
        for split, language in (("validation", "python"), ("validation", "go"), ("train", "rust"))
    ]
    (folder / "files").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "files" / "a.parquet")
    return folder


def test_held_out_text_alone_is_measured(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = bits_per_byte(corpus, tiny_checkpoint(), num_bytes=500)
    assert set(first) == {"python", "go", "mean"}
    assert first["mean"] == pytest.approx((first["python"] + first["go"]) / 2)
    # A model of random weights spreads its bets: far from none, and not beyond all reason.
    assert 1 < first["python"] < 30
    models = [str(tiny_checkpoint()), str(tiny_model_folder())]
    monkeypatch.setattr(sys, "argv", ["bits", str(corpus), *models, "--kilobytes", "1"])
    main()
    table = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [cells[0] for cells in table] == ["go", "python", "mean"]
    # The same model, rounded to 8 bits.
    for _, exact, rounded, _ in table:
        assert float(rounded) == pytest.approx(float(exact), rel=0.02)
