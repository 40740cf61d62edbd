"""What the report says, as rows: each question is a query of `training/corpus/queries`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from training.corpus.redaction import redact
from training.corpus.relations import query
from training.corpus.tables import write_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from training.corpus.engine import Engine

_BINS_PER_OCTAVE = 4
_OCTAVES = 31  # files hold up to 1 MB; a recipe may allow more, and Parquet fields end at 2 GiB


class Kept(NamedTuple):
    """Kept files of one project, language, split and licence."""

    project: str
    language: str
    split: str
    licence: str
    files: int
    bytes: int
    most_bytes: int
    most_lines: int
    secrets: int
    emails: int
    ips: int
    redacted_files: int


class Drop(NamedTuple):
    """Files of one language with one outcome; stage and reason are None where they are kept."""

    language: str
    """Empty where a file has none of ours."""
    stage: str | None
    reason: str | None
    files: int
    bytes: int


class Length(NamedTuple):
    """Kept files of one language whose length lies in one bin."""

    language: str
    measure: str
    """`bytes` or `lines`."""
    low: int
    """Least length in the bin."""
    high: int
    """First length beyond the bin."""
    files: int
    bytes: int


class Pick(NamedTuple):
    """A file to show, and why."""

    id: str
    source: str
    project: str
    path: str
    language: str
    size_bytes: int
    num_lines: int | None
    stage: str
    reason: str
    detail: str | None
    place: int


class Text(NamedTuple):
    """The text of a file, without secrets."""

    id: str
    source: str
    path: str
    text: str | None
    """None where it was never opened or is no text."""


class ClusterSize(NamedTuple):
    """Clusters of near duplicates of one size."""

    cluster_files: int
    across_projects: int
    """1 if their files are of several projects, else 0."""
    clusters: int
    bytes: int


class Member(NamedTuple):
    """A file of one of the largest clusters."""

    cluster: int
    cluster_files: int
    cluster_bytes: int
    projects: int
    id: str
    source: str
    path: str
    language: str
    is_dropped: int
    place: int


class Facts(NamedTuple):
    """All answers."""

    kept: list[Kept]
    drops: list[Drop]
    lengths: list[Length]
    picks: list[Pick]
    texts: dict[str, Text]
    cluster_sizes: list[ClusterSize]
    members: list[Member]


Row = TypeVar("Row", Kept, Drop, Length, Pick, Text, ClusterSize, Member)


def gather(relations: Mapping[str, Sequence[Path]], engine: Engine, scratch: Path) -> Facts:
    """Return what the report says about a corpus.

    Args:
        relations: Parquet files of `annotated`, `decisions` and `clusters`.
        engine: Answers the queries.
        scratch: Folder for the answers that every machine of the engine sees; it is emptied first
            and removed in the end.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        return _gather(relations, engine, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _gather(relations: Mapping[str, Sequence[Path]], engine: Engine, scratch: Path) -> Facts:
    given = {name: relations[name] for name in ("annotated", "decisions")}
    outcomes = engine.sql(query("report_outcomes"), given, scratch / "outcomes")
    bins = scratch / "bins.parquet"
    write_table(_bins(), bins)
    known = {"outcomes": outcomes, "bins": [bins], "clusters": relations["clusters"]}

    def rows(kind: type[Row], name: str, *of: str) -> list[Row]:
        answer = engine.sql(query(name), {each: known[each] for each in of}, scratch / name)
        return _rows(kind, answer)

    picks = rows(Pick, "report_picks", "outcomes")
    wanted = scratch / "wanted.parquet"
    write_table(_wanted(picks), wanted)
    known |= {"annotated": relations["annotated"], "wanted": [wanted]}
    texts = rows(Text, "report_texts", "annotated", "wanted")
    return Facts(
        kept=rows(Kept, "report_kept", "outcomes"),
        drops=rows(Drop, "report_drops", "outcomes"),
        lengths=rows(Length, "report_lengths", "outcomes", "bins"),
        picks=picks,
        texts={each.id: _without_secrets(each) for each in texts},
        cluster_sizes=rows(ClusterSize, "report_cluster_sizes", "clusters", "outcomes"),
        members=sorted(
            rows(Member, "report_cluster_members", "clusters", "outcomes"),
            key=lambda member: (-member.cluster_files, member.cluster, member.place),
        ),
    )


def bin_edges() -> list[int]:
    """Return the ascending edges of the bins of lengths: four per octave, from 0."""
    steps = range(_BINS_PER_OCTAVE * _OCTAVES + 1)
    return sorted({0, *(round(2 ** (step / _BINS_PER_OCTAVE)) for step in steps)})


def _bins() -> pa.Table:
    edges = pa.array(bin_edges(), pa.int64())
    return pa.table({"low": edges[:-1], "high": edges[1:]})


def _wanted(picks: Iterable[Pick]) -> pa.Table:
    """Return the ids of the files to show, and of the copies that were kept in their place."""
    ids = {pick.id for pick in picks}
    ids |= {pick.detail for pick in picks if pick.detail and pick.stage in COPIES}
    return pa.table({"id": pa.array(sorted(ids), pa.string())})


STAND_IN = "stand_in"
"""Stage of a `Pick` that is kept and shown for its stand-ins."""
COPIES = frozenset(("exact_duplicates", "near_duplicates"))
"""Stages whose detail is the id of the copy that is kept."""


def _rows(kind: type[Row], paths: Sequence[Path]) -> list[Row]:
    """Return the rows of an answer, ascending: an engine may spread them over files as it likes."""
    found: list[Row] = []
    for path in paths:
        columns = pq.read_table(path, columns=list(kind._fields)).to_pydict()
        found += map(kind._make, zip(*(columns[name] for name in kind._fields), strict=True))
    return sorted(found, key=lambda row: [(value is not None, value) for value in row])


def _without_secrets(shown: Text) -> Text:
    """Return the text with stand-ins; what was dropped early never came to that stage."""
    return shown if shown.text is None else shown._replace(text=redact(shown.text).text)
