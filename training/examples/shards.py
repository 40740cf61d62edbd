"""Rows of tokens on disk, one folder an epoch, built shard by shard.

    epoch-0003/shard-0007.tokens.npy   (R, T) uint16, rows
    epoch-0003/shard-0007.docs.npy     (N, 2) int32, row and document of each example
    epoch-0003/shard-0007.json         counts; written last, so it marks the shard as finished
    epoch-0003/DONE                    number of shards; the epoch is complete

A shard is a function of (corpus, tokenizer, recipe, seed, epoch, shard number) alone. Shards are
built by processes while training reads the epoch before, so the corpus may exceed memory, and the
graphics card never waits for a tokenizer.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fimble.errors import ConfigError
from fimble.files import write_json, write_whole
from training.examples.build import PAD_ID, Document, document_rng, examples, load_tokenizer
from training.examples.pack import pack

if TYPE_CHECKING:
    from pathlib import Path

    from training.recipe import PretrainRecipe

COLUMNS = ("project", "path", "language", "text")
_DOCUMENT_ORDER = -1
"""Stands for a document in the key of the draw that orders all of them."""


class ShardPlan(NamedTuple):
    """Where one shard comes from and goes to."""

    recipe: PretrainRecipe
    documents: Path
    """From `write_documents`."""
    folder: Path
    """Of the epoch."""
    epoch: int
    shard: int
    num_shards: int


def write_documents(corpus: Path, split: str, out: Path) -> int:
    """Copy one split of a corpus into a file that processes map into memory; return its rows.

    Args:
        corpus: Output folder of `fimble corpus build`.
        split: `train` or `validation`.
        out: The file to write; left alone where it exists.

    Raises:
        ConfigError: The corpus has no such files.
    """
    if not out.exists():
        sources = sorted((corpus / "files").glob("*.parquet"))
        if not sources:
            raise ConfigError(f"there are no files/*.parquet in {corpus}; build the corpus first")
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = out.with_suffix(".part")
        schema = pa.schema([(name, pa.large_string()) for name in COLUMNS])
        with pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for source in sources:
                for batch in pq.ParquetFile(source).iter_batches(1024, columns=[*COLUMNS, "split"]):
                    table = pa.Table.from_batches([batch])
                    chosen = table.filter(pc.field("split") == split)
                    writer.write_table(chosen.select(COLUMNS).cast(schema))
        aside.replace(out)
    return open_documents(out).num_rows


def open_documents(path: Path) -> pa.Table:
    """Return the documents of `write_documents`, mapped into memory."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def document_at(table: pa.Table, doc_id: int) -> Document:
    """Return one document of `open_documents`."""
    project, path, language, text = (table[name][doc_id].as_py() for name in COLUMNS)
    return Document(doc_id, project, path, language, text)


def num_shards_for(documents: Path, shard_bytes: int = 16 << 20) -> int:
    """Return how many shards an epoch has."""
    return max(1, round(documents.stat().st_size / shard_bytes))


def build_epoch(recipe: PretrainRecipe, documents: Path, folder: Path, epoch: int) -> None:
    """Build what is missing of one epoch, on `recipe.jobs` processes.

    Args:
        recipe: The run.
        documents: From `write_documents`.
        folder: The epoch's folder.
        epoch: Its number, from 0.
    """
    if (folder / "DONE").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    count = num_shards_for(documents)
    plans = [ShardPlan(recipe, documents, folder, epoch, shard, count) for shard in range(count)]
    missing = [plan for plan in plans if not (folder / f"shard-{plan.shard:04}.json").exists()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(recipe.jobs, mp_context=context) as pool:
        list(pool.map(build_shard, missing))
    write_whole(folder / "DONE", str(count).encode())


def build_shard(plan: ShardPlan) -> None:
    """Build and write one shard."""
    recipe = plan.recipe
    table = open_documents(plan.documents)
    order = document_rng(recipe.seed, plan.epoch, _DOCUMENT_ORDER).permutation(table.num_rows)
    tokenizer = load_tokenizer(recipe.tokenizer)
    drawn = [
        example
        for doc_id in order[plan.shard :: plan.num_shards]
        for example in examples(
            document_at(table, int(doc_id)),
            config=recipe.examples,
            tokenizer=tokenizer,
            context_tokens=recipe.model.context_tokens,
            rng=document_rng(recipe.seed, plan.epoch, int(doc_id)),
        )
    ]
    lengths = np.array([len(example.ids) for example in drawn], dtype=np.int64)
    packing = pack(lengths, recipe.model.context_tokens)
    rows = np.full((len(packing.rows), recipe.model.context_tokens), PAD_ID, dtype=np.uint16)
    docs = np.zeros((len(drawn), 2), dtype=np.int32)
    written = 0
    for row, members in enumerate(packing.rows):
        place = 0
        for index in members:
            ids = drawn[index].ids
            rows[row, place : place + len(ids)] = ids
            place += len(ids)
            docs[written] = row, drawn[index].doc_id
            written += 1
    stem = f"shard-{plan.shard:04}"
    _save(plan.folder / f"{stem}.tokens.npy", rows)
    _save(plan.folder / f"{stem}.docs.npy", docs)
    summary: dict[str, object] = {
        "rows": len(rows),
        "tokens": int(lengths.sum()),
        "padding_tokens": packing.num_padding_tokens,
        "examples": dict(Counter(example.kind for example in drawn)),
    }
    write_json(plan.folder / f"{stem}.json", summary)


def _save(path: Path, array: np.ndarray) -> None:
    """Write an array whole: another process may be mapping the file of the same name."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with aside.open("wb") as file:
        np.save(file, array)
    aside.replace(path)


class EpochRows:
    """The rows of one finished epoch in the order in which training reads them.

    The order is a permutation of all rows drawn from (seed, epoch), so a position in it is all that
    a resume needs.
    """

    def __init__(self, folder: Path, *, seed: int, epoch: int) -> None:
        count = int((folder / "DONE").read_text())
        self._shards = [
            np.load(folder / f"shard-{shard:04}.tokens.npy", mmap_mode="r")
            for shard in range(count)
        ]
        self._starts = np.cumsum([0, *(len(shard) for shard in self._shards)])
        rng = document_rng(seed, epoch, _DOCUMENT_ORDER)
        self._order = rng.permutation(int(self._starts[-1]))
        self._folder = folder

    def __len__(self) -> int:
        return len(self._order)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows `start` to `stop` of the reading order, (R, T) uint16."""
        return np.stack([self._row(int(row)) for row in self._order[start:stop]])

    def documents(self, start: int, stop: int) -> list[int]:
        """Return the documents that rows `start` to `stop` of the reading order hold."""
        found: set[int] = set()
        for row in self._order[start:stop]:
            shard = int(np.searchsorted(self._starts, row, side="right")) - 1
            docs = np.load(self._folder / f"shard-{shard:04}.docs.npy")
            found.update(docs[docs[:, 0] == row - self._starts[shard], 1].tolist())
        return sorted(found)

    def _row(self, row: int) -> np.ndarray:
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._shards[shard][row - self._starts[shard]]


def epoch_summary(folder: Path) -> dict[str, int]:
    """Return the counts of an epoch: rows, tokens, padding_tokens, and examples by kind."""
    total: Counter[str] = Counter()
    for path in sorted(folder.glob("shard-*.json")):
        summary = json.loads(path.read_text())
        total.update(summary.pop("examples"))
        total.update(summary)
    return dict(total)
