"""A small real corpus for the tests of training: this project's own sources."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pygls
import pytest

from training.vocabulary.learn import learn

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder: our own modules to train on, our tests held out."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = [
        {
            "id": str(path.relative_to(ROOT)),
            "project": part,
            "path": path.relative_to(ROOT / part).as_posix(),
            "language": "python",
            "split": split,
            "text": path.read_text(encoding="utf-8"),
        }
        for part, split in (("fimble", "train"), ("training", "train"), ("tests", "validation"))
        for path in sorted((ROOT / part).rglob("*.py"))
        if path.stat().st_size
    ]
    (folder / "files").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "files" / "part-0000.parquet")
    return folder


@pytest.fixture(scope="session")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary of 1,024 tokens, the same until pygls is pinned anew: toy runs depend on it."""
    package = Path(pygls.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))]
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    learn(texts, size=1024).save(str(path))
    return path
