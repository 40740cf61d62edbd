"""The order of the stages, and what makes a build resumable.

    fetch -> read -> stages of one file -> relations between files -> write

Every result lies in a folder named by the hash of all that decides it (archives, recipe, code), and
appears by one rename. So a build that was killed goes on where it stopped, and a changed recipe
repeats only what it changed.
"""

from __future__ import annotations

import logging
import shutil
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from fimble.errors import InputError
from fimble.files import sha256_of
from fimble.locks import try_lock
from training.corpus import folders, redaction
from training.corpus.archives import ArchiveError
from training.corpus.digests import code_digest, digest_of, file_name
from training.corpus.read import Reading, read_source
from training.corpus.recipe import DecontaminationRules
from training.corpus.source import Source, repeated_keys
from training.corpus.sources import FetchError, expand, fetch
from training.corpus.stages import sign, steps
from training.corpus.tables import write_table
from training.corpus.write import Writing, write_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from training.corpus.engine import Engine
    from training.corpus.recipe import Recipe, Rules
    from training.corpus.relations import Relations

_LOG = logging.getLogger(__name__)
_DOWNLOADS_AT_ONCE = 4


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
    """Folder of what was read of it; None where the source is skipped."""
    skipped: str | None = None
    """Why it is skipped."""


def fetch_all(
    recipe: Recipe, recipe_dir: Path, cache_dir: Path, stages_dir: Path
) -> list[Prepared]:
    """Return all sources in the order of their keys; what cannot be had has a reason."""
    code = code_digest("training.corpus.read")

    def units_of(entry: Source) -> list[Prepared]:
        try:
            units = expand(entry, recipe_dir=recipe_dir, cache_dir=cache_dir)
        except FetchError as error:
            return [_skipped(entry, error)]
        return [prepare(unit) for unit in units]

    def prepare(source: Source) -> Prepared:
        try:
            paths = tuple(fetch(source, recipe_dir=recipe_dir, cache_dir=cache_dir))
        except FetchError as error:
            return _skipped(source, error)
        downloads = tuple(archive_of(path) for path in paths)
        # Another project's split must not make this source be read again.
        one = recipe.splits.of(source.project_name)
        splits = asdict(recipe.splits) if source.many_projects else one.value
        rules = [asdict(recipe.limits), recipe.exclude, recipe.keep_out, splits]
        digest = digest_of([code, asdict(source), rules, [asdict(each) for each in downloads]])
        folder = stages_dir / f"{digest[:16]}-{file_name(source.key)}"
        return Prepared(source=source, paths=paths, archives=downloads, folder=folder)

    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        units = [unit for units in pool.map(units_of, recipe.sources) for unit in units]
    if twice := repeated_keys(unit.source for unit in units):
        raise InputError(f"several entries of the recipe name {', '.join(twice)}; it must be one")
    return sorted(units, key=lambda unit: unit.source.key)


def _skipped(source: Source, error: FetchError) -> Prepared:
    _LOG.warning("%s is skipped: %s", source.key, error)
    return Prepared(source=source, skipped=str(error))


def read_all(recipe: Recipe, prepared: Sequence[Prepared], engine: Engine) -> list[Prepared]:
    """Read every source that was not read before; return them with those that cannot be read."""
    tasks = [
        (
            Reading(
                source=each.source,
                splits=recipe.splits,
                exclude=(*recipe.exclude, *each.source.exclude),
                keep_out=frozenset(recipe.keep_out),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One row group of what was read, ready for the stages; travels to a worker process."""

    key: str
    """Of the source."""
    rows: Path
    row_group: int
    annotated: Path
    """Where the table with stages and reasons goes."""
    bands: Path
    """Where the buckets of similar files go."""


def annotate_all(
    prepared: Sequence[Prepared], rules: Rules, digest: str, engine: Engine
) -> list[Annotation]:
    """Run the stages that look at one file at a time; return what was written, in order.

    Args:
        prepared: Sources that were read.
        rules: What the stages go by.
        digest: What `rules_digest` gives for the rules.
        engine: Where to run.
    """
    name = digest[:16]
    annotations: list[Annotation] = []
    for each in prepared:
        if each.folder is None:
            continue
        rows, folder = each.folder / "read.parquet", each.folder / name
        folder.mkdir(exist_ok=True)
        annotations += [
            Annotation(
                key=each.source.key,
                rows=rows,
                row_group=group,
                annotated=folder / f"annotated-{group:04}.parquet",
                bands=folder / f"bands-{group:04}.parquet",
            )
            for group in range(pq.read_metadata(rows).num_row_groups)
        ]
    if not annotations:
        raise InputError("the sources of the recipe hold no file at all")
    todo = [each for each in annotations if not each.annotated.is_file()]
    engine.map(partial(_annotate_one, rules=rules), todo, title="filter")
    return annotations


def rules_digest(rules: Rules, benchmarks: Sequence[Archive]) -> str:
    """Return the hash of everything that decides what the stages of one file do.

    Args:
        rules: What they go by.
        benchmarks: The benchmark files of the rules.
    """
    hashes = [each.sha256 for each in benchmarks]
    code = code_digest("training.corpus.stages", (redaction.RULES,))
    return digest_of([code, {**asdict(rules), "benchmarks": hashes}])


def _annotate_one(task: Annotation, *, rules: Rules) -> None:
    with pq.ParquetFile(task.rows) as file:
        table = file.read_row_group(task.row_group)
    for step in steps(rules):
        table = step.run(table)
    table, bands = sign(table)
    write_table(bands, task.bands)
    write_table(table, task.annotated)  # last: where it is, the task is done


def write_all(
    prepared: Sequence[Prepared],
    annotations: Sequence[Annotation],
    relations: Relations,
    out: Path,
    engine: Engine,
) -> None:
    """Write `files/` and `dropped/` of the corpus; each appears whole."""
    annotated: dict[str, list[Path]] = defaultdict(list)
    for each in annotations:
        annotated[each.key].append(each.annotated)
    aside = out / "stages" / "out"
    shutil.rmtree(aside, ignore_errors=True)
    for name in ("files", "dropped"):
        (aside / name).mkdir(parents=True)
    writings = [
        Writing(
            key=each.source.key,
            annotated=tuple(annotated[each.source.key]),
            decisions=tuple(relations.decisions),
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
        if not try_lock(lock.fileno()):
            raise InputError(f"another build is at work in {stages_dir.parent}")
        for path in [*stages_dir.glob("*/.*.part"), *stages_dir.glob("*/*/.*.part")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield


def remove_stale(stages_dir: Path, used: set[Path]) -> None:
    """Remove the stages of recipes and code that are no longer.

    Args:
        stages_dir: Folder of the stages.
        used: Innermost folders that hold results of this build.
    """
    needed = used | {parent for folder in used for parent in folder.parents}
    for folder in [*stages_dir.iterdir(), *stages_dir.glob("*/*")]:
        if folder.is_dir() and folder not in needed and folder.parent not in used:
            shutil.rmtree(folder)


def build_digest(recipe: Recipe, rules: str, prepared: Sequence[Prepared]) -> str:
    """Return the hash of everything that decides the corpus.

    Args:
        recipe: What was asked for.
        rules: What `rules_digest` gives.
        prepared: All sources.
    """
    names = [each.folder.name if each.folder else None for each in prepared]
    folder = Path(__file__).parent / "queries"
    queries = [folder / f"{name}.sql" for name in ("copies", "edges", "pairs", "decisions")]
    code = [code_digest(f"training.corpus.{name}", queries) for name in ("relations", "write")]
    # Benchmarks are in the rules, by content.
    values = asdict(replace(recipe, decontamination=DecontaminationRules()))
    return digest_of([code, values, rules, names])


def archive_of(path: Path) -> Archive:
    """Return name, size and hash of a file or folder."""
    if path.is_file():
        return Archive(name=path.name, size_bytes=path.stat().st_size, sha256=sha256_of(path))
    found = folders.digest(path)
    return Archive(name=path.name, size_bytes=found.size_bytes, sha256=found.sha256)
