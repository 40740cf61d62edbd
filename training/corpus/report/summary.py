"""Sums and shares of what the queries answered: plain arithmetic over rows."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from training.corpus.report.facts import Drop, Kept, Length


class Sum(NamedTuple):
    """Files and their bytes."""

    files: int
    bytes: int


class LanguageSummary(NamedTuple):
    """What is kept of one language."""

    language: str
    kept: Sum
    train: Sum
    validation: Sum
    projects: int
    largest_project: str
    largest_share: float
    """Share of the largest project in the language's bytes, 0 to 1."""
    hhi: float
    """Herfindahl-Hirschman index of the projects: the sum of their squared shares, 0 to 1.

    Source: Rhoades 1993, The Herfindahl-Hirschman Index, Federal Reserve Bulletin 79.
    """

    @property
    def effective_projects(self) -> float:
        """How many projects of equal size would be as concentrated."""
        return 1 / self.hhi if self.hhi else 0.0


class ProjectSummary(NamedTuple):
    """What is kept of one project."""

    project: str
    kept: Sum
    languages: tuple[str, ...]
    """The largest first."""
    licences: tuple[str, ...]
    splits: tuple[str, ...]


class Quantiles(NamedTuple):
    """Lengths of kept files of one language, interpolated within bins."""

    median: int
    p90: int
    p99: int
    longest: int


class StageShare(NamedTuple):
    """What a stage did to a language."""

    language: str
    stage: str
    read: Sum
    dropped: Sum

    @property
    def rate(self) -> float:
        """Share of the files that came in and were dropped, 0 to 1."""
        return self.dropped.files / self.read.files if self.read.files else 0.0


def total(rows: Iterable[Kept | Drop | Length]) -> Sum:
    """Return the files and bytes of some rows."""
    files = num_bytes = 0
    for row in rows:
        files, num_bytes = files + row.files, num_bytes + row.bytes
    return Sum(files, num_bytes)


def grouped(kept: Iterable[Kept], key: Callable[[Kept], str]) -> dict[str, list[Kept]]:
    """Return the rows by a key, the one with most bytes first."""
    groups: dict[str, list[Kept]] = defaultdict(list)
    for row in kept:
        groups[key(row)].append(row)
    return dict(sorted(groups.items(), key=lambda item: (-total(item[1]).bytes, item[0])))


def languages_of(kept: Sequence[Kept]) -> list[LanguageSummary]:
    """Return the languages, the one with most bytes first."""
    summaries: list[LanguageSummary] = []
    for language, rows in grouped(kept, lambda row: row.language).items():
        whole = total(rows)
        projects = {
            name: total(of).bytes for name, of in grouped(rows, lambda row: row.project).items()
        }
        largest, largest_bytes = next(iter(projects.items()))
        squares = sum(size * size for size in projects.values())
        summaries.append(
            LanguageSummary(
                language=language,
                kept=whole,
                train=total(row for row in rows if row.split == "train"),
                validation=total(row for row in rows if row.split == "validation"),
                projects=len(projects),
                largest_project=largest,
                largest_share=largest_bytes / whole.bytes if whole.bytes else 0.0,
                hhi=squares / whole.bytes**2 if whole.bytes else 0.0,
            )
        )
    return summaries


def projects_of(kept: Sequence[Kept]) -> list[ProjectSummary]:
    """Return the projects, the one with most bytes first."""
    return [
        ProjectSummary(
            project=project,
            kept=total(rows),
            languages=tuple(grouped(rows, lambda row: row.language)),
            licences=tuple(grouped(rows, lambda row: row.licence)),
            splits=tuple(sorted({row.split for row in rows})),
        )
        for project, rows in grouped(kept, lambda row: row.project).items()
    ]


def stage_shares(drops: Sequence[Drop], stages: Sequence[str]) -> list[StageShare]:
    """Return what each stage got and dropped of each language.

    Args:
        drops: All outcomes.
        stages: Names of the stages in their order.
    """
    shares: list[StageShare] = []
    for language in sorted({row.language for row in drops if row.language}):
        remaining = [row for row in drops if row.language == language]
        for stage in stages:
            dropped = [row for row in remaining if row.stage == stage]
            shares.append(StageShare(language, stage, total(remaining), total(dropped)))
            remaining = [row for row in remaining if row.stage != stage]
    return shares


def quantile(bins: Sequence[Length], rate: float) -> int:
    """Return the length that a share of the files does not exceed, about.

    Within a bin, lengths are taken as evenly spread; bins are narrow (a quarter of an octave).

    Args:
        bins: Of one language and measure, ascending; at least one.
        rate: The share, 0 to 1.
    """
    wanted = rate * total(bins).files
    seen = 0
    for row in bins:
        if seen + row.files >= wanted:
            return row.low + round((row.high - 1 - row.low) * (wanted - seen) / row.files)
        seen += row.files
    return bins[-1].high - 1


def quantiles_of(bins: Sequence[Length], longest: int) -> Quantiles:
    """Return the usual quantiles of one language.

    Args:
        bins: Of one language and measure, ascending; at least one.
        longest: The greatest length, which bounds the others.
    """
    median, p90, p99 = (min(quantile(bins, rate), longest) for rate in (0.5, 0.9, 0.99))
    return Quantiles(median, p90, p99, longest)
