"""The documents of one split of a corpus, copied into a file that processes map into memory.

A document is read when it is asked for, so the corpus may exceed memory: what a process holds is
the footer of the file, some 24 bytes for every 1,024 documents.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fimble.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

COLUMNS = ("project", "path", "language", "text")
_BATCH_DOCUMENTS = 1024
"""Documents of each batch but the last, so that a number says in which batch a document is."""


class Document(NamedTuple):
    """One file of the corpus."""

    doc_id: int
    """Place in the corpus."""
    project: str
    path: str
    language: str
    text: str


def corpus_files(corpus: Path) -> list[Path]:
    """Return the Parquet files of a corpus, in the order in which their documents are numbered.

    Raises:
        ConfigError: There are none.
    """
    sources = sorted((corpus / "files").glob("*.parquet"))
    if not sources:
        raise ConfigError(f"there are no files/*.parquet in {corpus}; build the corpus first")
    return sources


def write_documents(corpus: Path, split: str, out: Path) -> int:
    """Copy one split of a corpus into a file for `Documents`; return how many it holds.

    Args:
        corpus: Output folder of `fimble corpus build`.
        split: `train` or `validation`.
        out: The file to write; left alone where it exists.

    Raises:
        ConfigError: The corpus has no such files.
    """
    if not out.exists():
        sources = corpus_files(corpus)
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = out.with_name(f"{out.name}.{os.getpid()}.part")
        schema = pa.schema([(name, pa.large_string()) for name in COLUMNS])
        with pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in _batches(sources, split, schema):
                writer.write_table(batch.combine_chunks(), max_chunksize=_BATCH_DOCUMENTS)
        aside.replace(out)
    return len(Documents(out))


def _batches(sources: Sequence[Path], split: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the documents of a split, `_BATCH_DOCUMENTS` at a time."""
    waiting = schema.empty_table()
    for source in sources:
        file = pq.ParquetFile(source)
        for batch in file.iter_batches(_BATCH_DOCUMENTS, columns=[*COLUMNS, "split"]):
            chosen = pa.Table.from_batches([batch]).filter(pc.field("split") == split)
            waiting = pa.concat_tables([waiting, chosen.select(COLUMNS).cast(schema)])
            while waiting.num_rows >= _BATCH_DOCUMENTS:
                yield waiting.slice(0, _BATCH_DOCUMENTS)
                # Copied, or else what was written stays in memory with what waits.
                waiting = waiting.slice(_BATCH_DOCUMENTS).combine_chunks()
    if waiting.num_rows:
        yield waiting


class Documents:
    """The documents of `write_documents`, by number."""

    def __init__(self, path: Path) -> None:
        """Open the file; nothing is read yet."""
        self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._batch = functools.lru_cache(maxsize=256)(self._reader.get_batch)
        count = self._reader.num_record_batches
        last = self._batch(count - 1).num_rows if count else 0
        self._size = max(0, count - 1) * _BATCH_DOCUMENTS + last

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, doc_id: int) -> Document:
        """Return one document."""
        return Document(doc_id, *(self._value(doc_id, name) for name in COLUMNS))

    def language(self, doc_id: int) -> str:
        """Return the language of a document without reading its text."""
        return self._value(doc_id, "language")

    def origin(self, doc_id: int) -> Document:
        """Return a document without its text."""
        names = COLUMNS[:-1]
        return Document(doc_id, *(self._value(doc_id, name) for name in names), text="")

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield project and size of the text in bytes of each document, without reading texts."""
        for number in range(self._reader.num_record_batches):
            batch = self._reader.get_batch(number)
            sizes = pc.call_function("binary_length", [batch.column("text")])
            yield from zip(batch.column("project").to_pylist(), sizes.to_pylist(), strict=True)

    @property
    def text_bytes(self) -> int:
        """Size of all texts, with a few bytes for each; the same wherever the file was written."""
        batches = (self._reader.get_batch(n) for n in range(self._reader.num_record_batches))
        return sum(batch.column("text").nbytes for batch in batches)

    def _value(self, doc_id: int, name: str) -> str:
        if not 0 <= doc_id < self._size:
            raise IndexError(f"there is no document {doc_id}; there are {self._size}")
        batch = self._batch(doc_id // _BATCH_DOCUMENTS)
        return batch.column(name)[doc_id % _BATCH_DOCUMENTS].as_py()
