"""The data card: what went in, what came out, and why the rest did not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fimble.errors import InputError
from training.corpus.pipeline import Archive, library_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from training.corpus.engine import LocalEngine
    from training.corpus.pipeline import Prepared
    from training.corpus.recipe import Recipe

STAGES = (
    "read", "path", "decode", "licence", "lines", "origin", "syntax", "exact_duplicates",
    "code_duplicates", "balance",
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
    skipped: str
    """Why nothing of it was used; empty if it was used."""
    archives: tuple[Archive, ...]
    read: Count
    kept: Count
    languages: dict[str, Count]


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


# grain: one row per source, language, split, licence, stage and reason; stage is null if kept.
_COUNTS = """
select source, language, split, licence, stage, reason, count(*) as files, sum(size_bytes) as bytes
from (
    select a.source as source, a.language as language, a.split as split, a.licence as licence,
        a.size_bytes as size_bytes,
        case when a.stage is not null then a.stage else d.stage end as stage,
        case when a.reason is not null then a.reason else d.reason end as reason
    from annotated a left join decisions d on a.id = d.id
) x
group by source, language, split, licence, stage, reason
order by source, language, split, licence, stage, reason
"""


def make_card(
    recipe: Recipe,
    digest: str,
    prepared: Sequence[Prepared],
    relations: dict[str, list[str]],
    engine: LocalEngine,
) -> Card:
    """Return the card of a finished build.

    Args:
        recipe: What was asked for.
        digest: Hash of everything that decides the corpus.
        prepared: All sources, the skipped ones too.
        relations: Parquet files of `annotated` and `decisions`.
        engine: Counts the rows.
    """
    rows = engine.sql(_COUNTS, relations).to_pylist()
    kept = [row for row in rows if row["stage"] is None]
    return Card(
        name=recipe.name,
        digest=digest,
        libraries=library_versions(),
        read=_count(rows),
        kept=_count(kept),
        dropped=_count(row for row in rows if row["stage"] is not None),
        languages={
            language: _counts_by(of, "split") for language, of in _grouped(kept, "language").items()
        },
        licences=_counts_by(kept, "licence"),
        stages=_stage_counts(rows),
        sources=_source_cards(recipe, prepared, rows),
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
    recipe: Recipe, prepared: Sequence[Prepared], rows: list[dict[str, object]]
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
                split=recipe.splits.of(source.project_name).value,
                skipped=each.skipped or "",
                archives=each.archives,
                read=_count(own),
                kept=_count(kept),
                languages=_counts_by(kept, "language"),
            )
        )
    return tuple(cards)


def _count(rows: Iterable[dict[str, object]]) -> Count:
    files = num_bytes = 0
    for row in rows:
        files += int(str(row["files"]))
        num_bytes += int(str(row["bytes"]))
    return Count(files=files, bytes=num_bytes)


def _grouped(rows: list[dict[str, object]], key: str) -> dict[str, list[dict[str, object]]]:
    groups: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault(str(row[key]), []).append(row)
    return dict(sorted(groups.items()))


def _counts_by(rows: list[dict[str, object]], key: str) -> dict[str, Count]:
    return {name: _count(of) for name, of in _grouped(rows, key).items()}
