"""Rows of tokens on disk, one folder an epoch, built shard by shard.

    epoch-0003/shard-0007.tokens.npy   (R, T) uint16, rows
    epoch-0003/shard-0007.docs.npy     (N, 2) int32, row and document of each example, by row; so
                                   are documents whose code stands before one
    epoch-0003/shard-0007.json         counts; written last, so it marks the shard as finished
    epoch-0003/DONE                    number of shards; the epoch is complete

A shard is a function of (corpus, tokenizer, recipe, seed, epoch, shard number) alone: it can be
deleted and drawn again. Shards are built by processes while training reads the epoch before, so the
corpus may exceed memory, and the graphics card never waits for a tokenizer.
"""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fimble.files import write_json, write_whole
from training.examples.build import PAD_ID, document_rng, examples, load_tokenizer
from training.examples.documents import Documents
from training.examples.neighbours import Neighbours, neighbourhoods
from training.examples.order import Order
from training.examples.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tokenizers import Tokenizer

    from training.examples.build import Example
    from training.recipe import PretrainRecipe

MAX_VOCABULARY = 1 << 16
"""Tokens are stored in 16 bits."""
_ORDER = -1
"""Stands for a document in the key of the draw that orders all of them."""
_MAX_OPEN_SHARDS = 1024
"""Shards mapped at a time: a process may have some 65,000 maps, a large corpus has more shards."""


class EpochPlan(NamedTuple):
    """Where one epoch comes from and goes to."""

    recipe: PretrainRecipe
    documents: Path
    """From `write_documents`."""
    folder: Path
    """Of the epoch."""
    epoch: int
    """Its number, from 0."""

    @property
    def num_shards(self) -> int:
        """How many shards the epoch has."""
        text_bytes = Documents(self.documents).text_bytes
        return max(1, round(text_bytes / self.recipe.examples.shard_bytes))


def build_share(plan: EpochPlan, index: int, count: int) -> None:
    """Build what is missing of one process's share of an epoch.

    Args:
        plan: The epoch.
        index: Of the process, from 0.
        count: Of processes.
    """
    num_shards = plan.num_shards
    for shard in range(index, num_shards, count):
        if not _path(plan.folder, shard, "json").exists():
            _build_shard(plan, shard, num_shards)


def mark_built(plan: EpochPlan) -> None:
    """Note that all shards of an epoch are there."""
    write_whole(plan.folder / "DONE", str(plan.num_shards).encode())


def is_built(folder: Path) -> bool:
    """Return whether an epoch's folder is complete."""
    return (folder / "DONE").exists()


def _build_shard(plan: EpochPlan, shard: int, num_shards: int) -> None:
    """Build and write one shard."""
    drawn = _examples_of(plan, shard, num_shards)
    lengths = np.array([len(example.ids) for example in drawn], dtype=np.int64)
    packing = pack(lengths, plan.recipe.model.context_tokens)
    rows = np.full((len(packing.rows), plan.recipe.model.context_tokens), PAD_ID, dtype=np.uint16)
    docs: list[tuple[int, int]] = []
    for row, members in enumerate(packing.rows):
        place = 0
        for index in members:
            ids = drawn[index].ids
            rows[row, place : place + len(ids)] = ids
            place += len(ids)
            docs += [(row, doc_id) for doc_id in (drawn[index].doc_id, *drawn[index].others)]
    _save(_path(plan.folder, shard, "tokens.npy"), rows)
    _save(_path(plan.folder, shard, "docs.npy"), np.array(docs, dtype=np.int32).reshape(-1, 2))
    summary: dict[str, object] = {
        "rows": len(rows),
        "tokens": int(lengths.sum()),
        "padding_tokens": packing.num_padding_tokens,
        "with_snippets": sum(bool(example.others) for example in drawn),
        "examples": dict(Counter(example.kind for example in drawn)),
    }
    write_json(_path(plan.folder, shard, "json"), summary)


def _examples_of(plan: EpochPlan, shard: int, num_shards: int) -> list[Example]:
    """Return the examples of the documents that belong to a shard in this epoch."""
    recipe = plan.recipe
    documents = Documents(plan.documents)
    tokenizer = _tokenizer(recipe.tokenizer)
    return [
        example
        for doc_id, neighbours in _members(plan, documents, shard, num_shards)
        for example in examples(
            documents[doc_id],
            config=recipe.examples,
            tokenizer=tokenizer,
            context_tokens=recipe.model.context_tokens,
            rng=document_rng(recipe.seed, plan.epoch, doc_id),
            neighbours=neighbours,
        )
    ]


def _members(
    plan: EpochPlan, documents: Documents, shard: int, num_shards: int
) -> Iterator[tuple[int, Neighbours | None]]:
    """Yield the documents of a shard, with an index of their neighbours if the recipe wants one.

    With neighbours, a shard takes whole neighbourhoods, in an order drawn for the epoch: each is
    indexed once an epoch. Training reads rows in a random order over all shards either way.
    """
    rng = document_rng(plan.recipe.seed, plan.epoch, _ORDER)
    if not plan.recipe.examples.snippet_rate:
        places = np.arange(shard, len(documents), num_shards)
        yield from ((int(doc_id), None) for doc_id in Order(len(documents), rng).at(places))
        return
    runs = list(neighbourhoods(documents))
    total_bytes = sum(run.num_bytes for run in runs)
    before_bytes = 0
    for number in Order(len(runs), rng).at(np.arange(len(runs))):
        run = runs[int(number)]
        if before_bytes * num_shards // max(1, total_bytes) == shard:
            members = range(run.start, run.stop)
            neighbours = Neighbours(documents[doc_id] for doc_id in members)
            yield from ((doc_id, neighbours) for doc_id in members)
        before_bytes += run.num_bytes


@functools.lru_cache(maxsize=1)
def _tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer, once for all shards: one that goes leaves some megabytes behind."""
    return load_tokenizer(path)


def _path(folder: Path, shard: int, ending: str) -> Path:
    return folder / f"shard-{shard:04}.{ending}"


def _save(path: Path, array: np.ndarray) -> None:
    """Write an array whole: another process may be mapping the file of the same name."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with aside.open("wb") as file:
        np.save(file, array)
    aside.replace(path)


class EpochRows:
    """The rows of one finished epoch in the order in which training reads them.

    The order is drawn from (seed, epoch), so a position in it is all that a resume needs.
    """

    def __init__(self, folder: Path, *, seed: int, epoch: int) -> None:
        """Open an epoch; rows are read when they are asked for."""
        count = int((folder / "DONE").read_text())
        sizes = [json.loads(_path(folder, n, "json").read_text())["rows"] for n in range(count)]
        self._starts = np.cumsum([0, *sizes])
        self._order = Order(int(self._starts[-1]), document_rng(seed, epoch, _ORDER))
        self._tokens = _opener(folder, "tokens.npy")
        self._docs = _opener(folder, "docs.npy")

    def __len__(self) -> int:
        return len(self._order)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows `start` to `stop` of the reading order, (R, T) uint16."""
        return np.stack([self._tokens(shard)[row] for shard, row in self._places(start, stop)])

    def documents(self, start: int, stop: int) -> list[int]:
        """Return the documents that rows `start` to `stop` of the reading order hold."""
        found: set[int] = set()
        for shard, row in self._places(start, stop):
            docs = self._docs(shard)
            first, last = np.searchsorted(docs[:, 0], (row, row + 1))
            found.update(docs[first:last, 1].tolist())
        return sorted(found)

    def _places(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return shard and row within it of each row of the reading order."""
        rows = self._order.at(np.arange(start, stop))
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        return list(zip(shards.tolist(), (rows - self._starts[shards]).tolist(), strict=True))


def _opener(folder: Path, ending: str) -> Callable[[int], np.ndarray]:
    """Return a function that maps the array of a shard; the last ones stay mapped."""

    @functools.lru_cache(maxsize=_MAX_OPEN_SHARDS)
    def opened(shard: int) -> np.ndarray:
        return np.load(_path(folder, shard, ending), mmap_mode="r")

    return opened


def epoch_summary(folder: Path) -> dict[str, int]:
    """Return the counts of an epoch.

    They are rows, tokens, padding_tokens, examples with_snippets, and examples by kind.
    """
    total: Counter[str] = Counter()
    for path in sorted(folder.glob("shard-*.json")):
        summary = json.loads(path.read_text())
        total.update(summary.pop("examples"))
        total.update(summary)
    return dict(total)
