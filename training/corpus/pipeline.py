"""The order of the stages, and what makes a build resumable.

    fetch -> read -> decode, licence, lines, origin, syntax, hash -> duplicates, caps -> write

Every result lies in a folder named by the hash of all that decides it (archives, recipe, code), and
appears by one rename. So a build that was killed goes on where it stopped, and a changed recipe
repeats only the sources it changed.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow.parquet as pq

from fimble import languages, text
from fimble.errors import InputError
from fimble.files import sha256_of
from training.corpus import (
    archives,
    filters,
    licence,
    parse_child,
    read,
    relations,
    stages,
    tables,
    write,
)
from training.corpus.archives import ArchiveError
from training.corpus.read import Reading, read_source
from training.corpus.relations import decisions_sql
from training.corpus.source import Source
from training.corpus.sources import FetchError, fetch
from training.corpus.stages import steps
from training.corpus.write import Writing, write_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    import pyarrow as pa

    from training.corpus.engine import LocalEngine
    from training.corpus.recipe import Recipe

_LOG = logging.getLogger(__name__)
_DOWNLOADS_AT_ONCE = 4
_PER_FILE = (languages, text, archives, filters, licence, parse_child, read, stages, tables)
_ACROSS_FILES = (relations, write)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A downloaded file, or a local folder."""

    name: str
    size_bytes: int
    sha256: str
    """Of the file; of a folder, the hash of its paths and the hashes of its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A source after fetching: what it is and where its stages lie."""

    source: Source
    paths: tuple[Path, ...] = ()
    archives: tuple[Archive, ...] = ()
    folder: Path | None = None
    """Folder of its stages; None where the source is skipped."""
    skipped: str | None = None
    """Why it is skipped."""


def fetch_all(
    recipe: Recipe, recipe_dir: Path, cache_dir: Path, stages_dir: Path
) -> list[Prepared]:
    """Return all sources in the order of their keys; what cannot be had has a reason."""
    code = code_digest(_PER_FILE)

    def prepare(source: Source) -> Prepared:
        try:
            paths = tuple(fetch(source, recipe_dir=recipe_dir, cache_dir=cache_dir))
        except FetchError as error:
            _LOG.warning("%s is skipped: %s", source.key, error)
            return Prepared(source=source, skipped=str(error))
        downloads = tuple(_archive(path) for path in paths)
        rules = [asdict(recipe.limits), recipe.exclude, recipe.splits.of(source.project_name)]
        digest = _digest([code, asdict(source), rules, [asdict(each) for each in downloads]])
        folder = stages_dir / f"{digest[:16]}-{file_name(source.key)}"
        return Prepared(source=source, paths=paths, archives=downloads, folder=folder)

    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        return list(pool.map(prepare, sorted(recipe.sources, key=lambda source: source.key)))


def read_all(recipe: Recipe, prepared: Sequence[Prepared], engine: LocalEngine) -> list[Prepared]:
    """Read every source that was not read before; return them with those that cannot be read."""
    tasks = [
        (
            Reading(
                source=each.source,
                splits=recipe.splits,
                exclude=(*recipe.exclude, *each.source.exclude),
                limits=recipe.limits,
                archives=each.paths,
            ),
            each.folder,
        )
        for each in prepared
        if each.folder is not None
    ]
    outcomes = engine.map(_read_one, tasks, title="read")
    failures = {
        reading.source.key: reason for (reading, _), reason in zip(tasks, outcomes, strict=True)
    }
    result: list[Prepared] = []
    for each in prepared:
        reason = failures.get(each.source.key)
        if reason is None:
            result.append(each)
        else:
            _LOG.warning("%s is skipped: %s", each.source.key, reason)
            result.append(Prepared(source=each.source, archives=each.archives, skipped=reason))
    if all(each.folder is None for each in result):
        skipped = ", ".join(f"{each.source.key} ({each.skipped})" for each in result)
        raise InputError(f"no source of the recipe can be used: {skipped}")
    return result


def _read_one(task: tuple[Reading, Path]) -> str | None:
    """Read one source into its folder; return why that is impossible, or None."""
    reading, folder = task
    out = folder / "read.parquet"
    if out.is_file():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        read_source(reading, out)
    except ArchiveError as error:
        return str(error)
    return None


def annotate_all(prepared: Sequence[Prepared], limit_s: float, engine: LocalEngine) -> list[Path]:
    """Run the per-file stages over every row group; return the annotated files in order."""
    tasks: list[tuple[Path, int, Path]] = []
    for each in prepared:
        if each.folder is not None:
            rows = each.folder / "read.parquet"
            tasks += [
                (rows, group, each.folder / f"annotated-{group:04}.parquet")
                for group in range(pq.read_metadata(rows).num_row_groups)
            ]
    todo = [task for task in tasks if not task[2].is_file()]
    engine.map(partial(_annotate_one, limit_s=limit_s), todo, title="filter")
    return [out for _, _, out in tasks]


def _annotate_one(task: tuple[Path, int, Path], *, limit_s: float) -> None:
    rows, group, out = task
    with pq.ParquetFile(rows) as file:
        table = file.read_row_group(group)
    for step in steps(limit_s):
        table = step.run(table)
    write_table(table, out)


def decide(recipe: Recipe, annotated: Sequence[Path], out: Path, engine: LocalEngine) -> None:
    """Write which files are dropped because of other files."""
    if not annotated:
        raise InputError("the sources of the recipe hold no file at all")
    table = engine.sql(decisions_sql(recipe.caps), {"annotated": [str(p) for p in annotated]})
    write_table(table, out)


def write_all(
    prepared: Sequence[Prepared], decisions: Path, out: Path, engine: LocalEngine
) -> None:
    """Write `files/` and `dropped/` of the corpus; each appears whole."""
    aside = decisions.parent / "out"
    shutil.rmtree(aside, ignore_errors=True)
    for name in ("files", "dropped"):
        (aside / name).mkdir(parents=True)
    writings = [
        Writing(
            key=each.source.key,
            annotated=tuple(sorted(each.folder.glob("annotated-*.parquet"))),
            decisions=decisions,
            files=aside / "files" / f"{file_name(each.source.key)}.parquet",
            dropped=aside / "dropped" / f"{file_name(each.source.key)}.parquet",
        )
        for each in prepared
        if each.folder is not None
    ]
    written = engine.map(write_source, writings, title="write")
    if not any(each.num_kept for each in written):
        num_dropped = sum(each.num_dropped for each in written)
        raise InputError(f"no file remains of {num_dropped} in {len(written)} sources")
    for name in ("files", "dropped"):
        shutil.rmtree(out / name, ignore_errors=True)
        (aside / name).rename(out / name)


@contextmanager
def alone_in(stages_dir: Path) -> Iterator[None]:
    """Hold the folder of the stages, and clear what a killed build left half-written.

    Raises:
        InputError: Another build is at work there.
    """
    with (stages_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another build is at work in {stages_dir.parent}") from None
        for path in stages_dir.rglob(".*.part"):
            path.unlink()
        yield


def remove_stale(stages_dir: Path, prepared: Sequence[Prepared]) -> None:
    """Remove the stages of recipes and code that are no longer."""
    used = {each.folder for each in prepared}
    for folder in stages_dir.iterdir():
        if folder.is_dir() and folder not in used:
            shutil.rmtree(folder)


def build_digest(recipe: Recipe, prepared: Sequence[Prepared]) -> str:
    """Return the hash of everything that decides the corpus."""
    folders = [each.folder.name if each.folder else None for each in prepared]
    return _digest([code_digest((*_PER_FILE, *_ACROSS_FILES)), asdict(recipe), folders])


def code_digest(modules: Sequence[ModuleType]) -> str:
    """Return the hash of what some modules do, and of the versions of the libraries they use.

    Comments, docstrings and layout do not count, so that better words repeat no stage.
    """
    trees = [ast.parse(Path(str(module.__file__)).read_text("utf-8")) for module in modules]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            node.body = [each for each in node.body if not _is_string(each)]
    return _digest([[ast.dump(tree) for tree in trees], library_versions()])


def _is_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of every library that decides what is kept."""
    import platform
    from importlib.metadata import version

    from fimble.languages import LANGUAGES

    wheels = {row.grammar.partition(":")[0].replace("_", "-") for row in LANGUAGES}
    names = sorted({"tree-sitter", "pyarrow", "duckdb", *wheels})
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def file_name(key: str) -> str:
    """Return the key of a source as a file name."""
    return quote(key.replace(":", "-", 1), safe="@+~=")


def write_table(table: pa.Table, out: Path) -> None:
    """Write a table to a Parquet file, whole."""
    aside = out.with_name(f".{out.name}.{os.getpid()}.part")
    pq.write_table(table, aside, compression="zstd")
    aside.replace(out)


def _archive(path: Path) -> Archive:
    if path.is_file():
        return Archive(name=path.name, size_bytes=path.stat().st_size, sha256=sha256_of(path))
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    hashes = [(file.relative_to(path).as_posix(), sha256_of(file)) for file in files]
    size_bytes = sum(file.stat().st_size for file in files)
    return Archive(name=path.name, size_bytes=size_bytes, sha256=_digest(hashes))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
