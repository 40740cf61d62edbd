"""Orders that take no memory, and documents that are read when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fimble.errors import ConfigError
from training.examples.build import document_rng
from training.examples.documents import Documents, write_documents
from training.examples.order import Order

if TYPE_CHECKING:
    from pathlib import Path


@given(size=st.integers(0, 5000), seed=st.integers(0, 1 << 40))
def test_an_order_holds_everything_once(size: int, seed: int) -> None:
    order = Order(size, document_rng(seed, 0, 0))
    assert np.array_equal(np.sort(order.at(np.arange(size))), np.arange(size))


def test_an_order_is_computed_place_by_place() -> None:
    order = Order(10**12, document_rng(0, 0, 0))
    places = np.array([0, 999_999_999_999, 17])
    assert order.at(places).tolist() == [int(order.at(places[n : n + 1])[0]) for n in range(3)]
    assert len(order) == 10**12


def test_orders_look_random() -> None:
    """Of a random order, neighbours are a third of its size apart, and places are not correlated.

    The standard errors are 0.24 / sqrt(n) of the size, and 1 / sqrt(n): 0.0011 and 0.0045.
    """
    size = 50_000
    for seed in range(5):
        found = Order(size, document_rng(seed, 1, 0)).at(np.arange(size))
        assert np.abs(np.diff(found)).mean() / size == pytest.approx(1 / 3, abs=0.006)
        assert abs(np.corrcoef(found, np.arange(size))[0, 1]) < 0.02


def test_seeds_and_epochs_give_other_orders() -> None:
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    orders = [Order(100, document_rng(*key)).at(np.arange(100)).tolist() for key in keys]
    assert len({tuple(order) for order in orders}) == 3


def test_documents_come_back_as_they_were_across_batches_and_files(tmp_path: Path) -> None:
    texts = [f"x = {n}\r\n# 👋\n" * (n % 3) for n in range(2600)]
    rows = [
        {
            "project": f"p{n % 7}",
            "path": f"{n}.py",
            "language": "python",
            "split": "validation" if n % 10 == 3 else "train",
            "text": text,
        }
        for n, text in enumerate(texts)
    ]
    (tmp_path / "files").mkdir()
    for part, (start, stop) in enumerate(((0, 700), (700, 701), (701, 2600))):
        table = pa.Table.from_pylist(rows[start:stop])
        pq.write_table(table, tmp_path / "files" / f"{part}.parquet")
    out = tmp_path / "rows" / "train.arrow"
    expected = [row for row in rows if row["split"] == "train"]
    assert write_documents(tmp_path, "train", out) == len(expected)
    documents = Documents(out)
    for doc_id in (0, 1, 1023, 1024, 2047, 2048, len(expected) - 1):
        document = documents[doc_id]
        assert (document.doc_id, document.project) == (doc_id, expected[doc_id]["project"])
        assert (document.path, document.text) == (
            expected[doc_id]["path"],
            expected[doc_id]["text"],
        )
    with pytest.raises(IndexError, match=f"there are {len(expected)}"):
        documents[len(expected)]


def test_a_corpus_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there are no files/\*.parquet in"):
        write_documents(tmp_path, "train", tmp_path / "train.arrow")
