"""The data card: what went in, what came out, and why the rest did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from fimble.errors import InputError
from training.corpus.digests import library_versions
from training.corpus.pipeline import Archive, Prepared
from training.corpus.relations import Relations

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from training.corpus.recipe import Recipe

STAGES = (
    "read", "path", "decode", "licence", "lines", "origin", "syntax", "quality", "redaction",
    "decontamination", "exact_duplicates", "near_duplicates", "balance",
)  # fmt: skip
"""Stages in their order; every dropped file names one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Files and their bytes: of the LF text where it was decoded, else as read."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCount:
    """What one stage got, kept and dropped, and the files dropped by reason."""

    stage: str
    read: Count
    kept: Count
    reasons: dict[str, Count]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCard:
    """One package: what it is, what was downloaded, what remained."""

    source: str
    project: str
    version: str
    licence: str
    split: str
    """Side of its projects; `train, validation` where a source holds projects of both."""
    skipped: str
    """Why nothing of it was used; empty if it was used."""
    archives: tuple[Archive, ...]
    read: Count
    kept: Count
    languages: dict[str, Count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redactions:
    """Stand-ins in the kept files."""

    secrets: int
    emails: int
    ips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Groups of nearly equal files, of which one each is kept."""

    clusters: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The whole card, as `card.json` holds it."""

    name: str
    digest: str
    """Hash of recipe, code, libraries and archives: equal digest, equal bytes."""
    libraries: dict[str, str]
    read: Count
    kept: Count
    dropped: Count
    languages: dict[str, dict[str, Count]]
    """Kept files by language and split."""
    licences: dict[str, Count]
    """Kept files by licence."""
    projects: dict[str, int]
    """Projects with kept files, by split."""
    redactions: Redactions
    near_duplicates: Clusters
    benchmarks: tuple[Archive, ...]
    """What was kept out by decontamination; empty means that nothing was looked for."""
    stages: tuple[StageCount, ...]
    sources: tuple[SourceCard, ...]

    def to_json(self) -> dict[str, object]:
        """Return the card as JSON values."""
        return asdict(self)

    def summary(self) -> str:
        """Return what a person wants to know first, as a few lines."""
        lines = [
            f"{self.name}: kept {_shown(self.kept)} of {_shown(self.read)}",
            *(
                f"  {language:<12} "
                + ", ".join(f"{split} {_shown(count)}" for split, count in splits.items())
                for language, splits in self.languages.items()
            ),
            *(f"skipped {each.source}: {each.skipped}" for each in self.sources if each.skipped),
        ]
        return "\n".join(lines)


def _shown(count: Count) -> str:
    return f"{count.files:,} files ({count.bytes / 1e6:,.1f} MB)"


def card_from_json(value: dict[str, object], *, where: Path) -> Card:
    """Return the card that `to_json` gave.

    Raises:
        InputError: The value is not a card of this version.
    """
    from fimble.config import from_table

    try:
        return from_table(Card, value, where=str(where))
    except InputError as error:
        raise InputError(f"{where} is no data card of this version: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a build knows when it is done, for the card."""

    digest: str
    """Hash of everything that decides the corpus."""
    prepared: Sequence[Prepared]
    """All sources, the skipped ones too."""
    benchmarks: tuple[Archive, ...]
    relations: Relations


def make_card(recipe: Recipe, findings: Findings, counts: Sequence[Path]) -> Card:
    """Return the card of a finished build.

    Args:
        recipe: What was asked for.
        findings: What became of it.
        counts: Parquet files with the answer of `queries/counts.sql`.
    """
    rows = pq.read_table(list(counts)).to_pylist()
    kept = [row for row in rows if row["stage"] is None]
    clusters = pq.read_table(findings.relations.clusters)["cluster"]
    num_clusters = len(clusters.unique())
    sides = {(row["split"], row["project"]) for row in kept}
    return Card(
        name=recipe.name,
        digest=findings.digest,
        libraries=library_versions(),
        read=_count(rows),
        kept=_count(kept),
        dropped=_count(row for row in rows if row["stage"] is not None),
        languages={
            language: _counts_by(of, "split") for language, of in _grouped(kept, "language").items()
        },
        licences=_counts_by(kept, "licence"),
        projects={
            split: sum(side == split for side, _ in sides)
            for split in sorted({side for side, _ in sides})
        },
        redactions=Redactions(
            secrets=_total(kept, "secrets"), emails=_total(kept, "emails"), ips=_total(kept, "ips")
        ),
        near_duplicates=Clusters(clusters=num_clusters, files=len(clusters)),
        benchmarks=findings.benchmarks,
        stages=_stage_counts(rows),
        sources=_source_cards(findings.prepared, rows),
    )


def _stage_counts(rows: list[dict[str, object]]) -> tuple[StageCount, ...]:
    counts: list[StageCount] = []
    remaining = rows
    for stage in STAGES:
        dropped = [row for row in remaining if row["stage"] == stage]
        passed = [row for row in remaining if row["stage"] != stage]
        reasons = _counts_by(dropped, "reason")
        counts.append(
            StageCount(stage=stage, read=_count(remaining), kept=_count(passed), reasons=reasons)
        )
        remaining = passed
    assert all(row["stage"] is None for row in remaining), "every stage is listed"
    return tuple(counts)


def _source_cards(
    prepared: Sequence[Prepared], rows: list[dict[str, object]]
) -> tuple[SourceCard, ...]:
    by_source = _grouped(rows, "source")
    cards: list[SourceCard] = []
    for each in prepared:
        source = each.source
        own = by_source.get(source.key, [])
        kept = [row for row in own if row["stage"] is None]
        cards.append(
            SourceCard(
                source=source.key,
                project=source.project_name,
                version=source.version,
                licence=source.licence,
                split=", ".join(sorted({str(row["split"]) for row in own})),
                skipped=each.skipped or "",
                archives=each.archives,
                read=_count(own),
                kept=_count(kept),
                languages=_counts_by(kept, "language"),
            )
        )
    return tuple(cards)


def _count(rows: Iterable[dict[str, object]]) -> Count:
    found = list(rows)
    return Count(files=_total(found, "files"), bytes=_total(found, "bytes"))


def _total(rows: list[dict[str, object]], key: str) -> int:
    return sum(int(str(row[key])) for row in rows)


def _grouped(rows: list[dict[str, object]], key: str) -> dict[str, list[dict[str, object]]]:
    groups: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault(str(row[key]), []).append(row)
    return dict(sorted(groups.items()))


def _counts_by(rows: list[dict[str, object]], key: str) -> dict[str, Count]:
    return {name: _count(of) for name, of in _grouped(rows, key).items()}
