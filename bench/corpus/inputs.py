"""The input of the measurements: real source files in Parquet shards, cut or grown to a size.

Files come from the packages of `input.toml`, from a folder of source code, or from a folder of
Parquet files with `path` and `text`. Every run on the same packages gives the same shards. Beyond
what there is, files come again with a third of their names changed by a seed: they parse as
before, and are near duplicates of nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fimble.languages import LANGUAGES, by_path, grammar
from fimble.paths import cache_dir
from fimble.text import decode_source, to_lf
from training.corpus.archives import read_members
from training.corpus.filters import reason_by_path
from training.corpus.recipe import Limits, read_recipe
from training.corpus.sources import FetchError, fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RECIPE = Path(__file__).with_name("input.toml")
SHARD_BYTES = 16_000_000
SCHEMA = pa.schema([
    (name, pa.string()) for name in ("id", "path", "project", "language", "licence", "text")
])  # fmt: skip
_NAME = re.compile(r"(?<![\w#@\\])[A-Za-z](?!_)\w{3,}")
_PERMISSIVE = "MIT"
"""What files count as that come without a licence, so that the rule on licences lets them pass."""
_NOT_NAMES = {"True", "False", "None", "true", "false", "null"}


class SourceText(NamedTuple):
    """One file of the input."""

    path: str
    licence: str
    text: str

    @property
    def size_bytes(self) -> int:
        """Size of the text in UTF-8."""
        return len(self.text.encode())


class Input(NamedTuple):
    """Shards that are ready to be measured on."""

    folder: Path
    num_files: int
    size_bytes: int
    """Of the texts."""

    @property
    def shards(self) -> list[Path]:
        """The Parquet files in their order."""
        return sorted(self.folder.glob("*.parquet"))


def prepare(origin: Path | None, out: Path, size_bytes: int) -> Input:
    """Return shards of about a size, from `out` if they are there.

    Args:
        origin: Folder of source code or of Parquet files; None takes the packages of `input.toml`.
        out: Folder to fill.
        size_bytes: Size of all texts; input that is too small is grown.
    """
    asked = {"origin": str(origin or RECIPE.name), "size_bytes": size_bytes}
    note = out / "input.json"
    if note.is_file() and (found := json.loads(note.read_text("utf-8")))["asked"] == asked:
        return Input(out, found["num_files"], found["size_bytes"])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    files = sorted(_files_of(origin), key=lambda file: _hash(file.path))
    chosen = _of_size(files, size_bytes)
    num_files, num_bytes = _write_shards(chosen, out)
    result = {"asked": asked, "num_files": num_files, "size_bytes": num_bytes}
    note.write_text(json.dumps(result), "utf-8")
    return Input(out, num_files, num_bytes)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _files_of(origin: Path | None) -> Iterator[SourceText]:
    if origin is None:
        yield from _from_packages()
    elif any(origin.glob("*.parquet")):
        for path in sorted(origin.glob("*.parquet")):
            for row in pq.read_table(path).to_pylist():
                licence = row.get("licence") or _PERMISSIVE
                yield SourceText(f"{path.stem}/{row['path']}", licence, row["text"])
    else:
        yield from _from_archive(origin.resolve(), _PERMISSIVE, origin.resolve().name)


def _from_packages() -> Iterator[SourceText]:
    for source in read_recipe(RECIPE).sources:
        try:
            archives = fetch(source, recipe_dir=RECIPE.parent, cache_dir=cache_dir())
        except FetchError as error:
            print(f"without {source.key}: {error}", file=sys.stderr)
            continue
        for number, archive in enumerate(archives):
            top = f"{source.project_name}-{number}" if number else source.project_name
            yield from _from_archive(archive, source.licence, top)


def _from_archive(archive: Path, licence: str, top: str) -> Iterator[SourceText]:
    for member in read_members(archive, Limits(), reason_by_path):
        text = decode_source(member.content) if member.content else None
        if text is not None and text.strip():
            yield SourceText(f"{top}/{member.path}", licence, to_lf(text))


def _of_size(files: list[SourceText], size_bytes: int) -> Iterator[SourceText]:
    """Yield files, then changed copies of them, until they come to a size."""
    total_bytes = 0
    for copy in range(1000):
        names = Names(copy)
        for file in files:
            if total_bytes >= size_bytes:
                return
            changed = file
            if copy:
                path = f"copy{copy}-{file.path}"
                changed = SourceText(path, file.licence, names.changed(file.text))
            total_bytes += changed.size_bytes
            yield changed


class Names(dict[str, str]):
    """What each name is called in one copy of the input; most keep their name."""

    def __init__(self, copy: int) -> None:
        super().__init__()
        self._copy = copy

    def __missing__(self, name: str) -> str:
        draw = _hash(f"{self._copy} {name}")[0]
        kept = name in _reserved_words() or draw >= 256 // 3
        self[name] = name if kept else f"{name}_{self._copy}"
        return self[name]

    def changed(self, text: str) -> str:
        """Return a text with the names of this copy."""
        return _NAME.sub(lambda match: self[match.group()], text)


@cache
def _reserved_words() -> frozenset[str]:
    """Return every word that a grammar of ours spells itself."""
    words = set(_NOT_NAMES)
    for language in LANGUAGES:
        grammar_of = grammar(language.name)
        kinds = (grammar_of.node_kind_for_id(i) for i in range(grammar_of.node_kind_count))
        words |= {kind for kind in kinds if kind and kind.isidentifier()}
    return frozenset(words)


def _write_shards(files: Iterable[SourceText], out: Path) -> tuple[int, int]:
    """Write files to shards; return their number and the bytes of their texts."""
    num_files = num_bytes = shard_bytes = 0
    shard: list[dict[str, str]] = []
    num_shards = 0
    for file in files:
        language = by_path(file.path)
        assert language is not None, "paths without a language were left out"
        row = {"id": _hash(file.path).hex()[:16], "language": language.name, **file._asdict()}
        shard.append({**row, "project": file.path.partition("/")[0]})
        num_files += 1
        num_bytes += file.size_bytes
        shard_bytes += file.size_bytes
        if shard_bytes >= SHARD_BYTES:
            _write_shard(shard, out / f"{num_shards:05}.parquet")
            shard.clear()
            shard_bytes, num_shards = 0, num_shards + 1
    if shard:
        _write_shard(shard, out / f"{num_shards:05}.parquet")
    return num_files, num_bytes


def _write_shard(rows: list[dict[str, str]], path: Path) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    pq.write_table(table, path, compression="zstd", row_group_size=1000)
