"""Which plots the page has, and the tables behind them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from training.corpus.report import plots
from training.corpus.report.facts import Length
from training.corpus.report.summary import Quantiles, grouped, quantiles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.corpus.report.facts import ClusterSize, Facts
    from training.corpus.report.summary import ProjectSummary


class LengthRow(NamedTuple):
    """Lengths of one language: two plots and their numbers."""

    language: str
    histogram: Markup
    tail: Markup
    bytes: Quantiles
    lines: Quantiles


class BinTable(NamedTuple):
    """Files by octave of length and language: what the plots of lengths were drawn from."""

    measure: str
    """`bytes` or `lines`."""
    languages: list[str]
    rows: list[tuple[int, int, list[int]]]
    """Least length, first length beyond, and the files of each language."""


class Figure(NamedTuple):
    """A plot and the table behind it."""

    svg: Markup
    description: str
    rows: list[tuple[int, int]]


def length_rows(facts: Facts) -> list[LengthRow]:
    """Return the lengths of each language, the one with most bytes first."""
    by_language = grouped(facts.kept, lambda row: row.language)
    of_bytes, of_lines = (_bins_of(facts, measure) for measure in ("bytes", "lines"))
    pooled = _pooled([row for rows in of_lines.values() for row in rows])
    longest_bytes = max((row.most_bytes for row in facts.kept), default=1)
    longest_lines = max((row.most_lines for row in facts.kept), default=1)
    top = max((max(row[1:]) for bins in of_bytes.values() for row in plots.half_octaves(bins)),
              default=1.0)  # fmt: skip
    rows: list[LengthRow] = []
    for language, kept in by_language.items():
        sizes = quantiles_of(of_bytes[language], max(row.most_bytes for row in kept))
        lines = quantiles_of(of_lines[language], max(row.most_lines for row in kept))
        histogram = plots.histogram(
            of_bytes[language],
            language=language,
            top=top * 1.05,
            longest=longest_bytes,
            description=_told("bytes", sizes),
        )
        tail = plots.tails(
            of_lines[language],
            pooled,
            language=language,
            longest=longest_lines,
            description=_told("lines", lines),
        )
        # Markup: matplotlib's own serialisation; titles were escaped by ElementTree.
        rows.append(LengthRow(language, Markup(histogram), Markup(tail), sizes, lines))  # noqa: S704
    return rows


def _told(unit: str, lengths: Quantiles) -> str:
    return (
        f"Half of the files have at most {lengths.median:,} {unit}, nine of ten at most "
        f"{lengths.p90:,}, 99 of 100 at most {lengths.p99:,}; the longest has {lengths.longest:,}."
    )


def _bins_of(facts: Facts, measure: str) -> dict[str, list[Length]]:
    found: dict[str, list[Length]] = defaultdict(list)
    for row in facts.lengths:
        if row.measure == measure:
            found[row.language].append(row)
    return found


def _pooled(bins: Sequence[Length]) -> list[Length]:
    """Return the bins of all languages together, ascending."""
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    for row in bins:
        files, num_bytes = sums.get((row.low, row.high), (0, 0))
        sums[row.low, row.high] = (files + row.files, num_bytes + row.bytes)
    return [Length("", "lines", *edges, *sums[edges]) for edges in sorted(sums)]


def bin_tables(facts: Facts) -> list[BinTable]:
    """Return the tables behind the plots of lengths, by octave."""
    return [_bin_table(measure, _bins_of(facts, measure)) for measure in ("bytes", "lines")]


def _bin_table(measure: str, bins: dict[str, list[Length]]) -> BinTable:
    languages = sorted(bins)
    octaves: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for language, rows in bins.items():
        for row in rows:
            octaves[row.low.bit_length()][language] += row.files
    return BinTable(
        measure,
        languages,
        [
            (1 << bits >> 1, 1 << bits, [octaves[bits][language] for language in languages])
            for bits in sorted(octaves)
        ],
    )


def rank_plot(projects: Sequence[ProjectSummary]) -> Figure:
    """Return the kept bytes of projects by rank; the table has a row for each doubling of it."""
    sizes = [each.kept.bytes for each in projects]
    whole = sum(sizes) or 1
    description = (
        f"Projects: {len(sizes):,}; the largest has {max(sizes, default=0) / whole:.1%} of the "
        f"bytes, the ten largest {sum(sizes[:10]) / whole:.0%}."
    )
    ranks = [1 << step for step in range(len(sizes).bit_length())]
    rows = [(rank, sizes[rank - 1]) for rank in ranks]
    svg = Markup(plots.ranks(sizes, description=description))  # noqa: S704 - as above
    return Figure(svg, description, rows)


def cluster_plot(sizes: Sequence[ClusterSize]) -> Figure:
    """Return the sizes of clusters; the table has clusters by their number of files."""
    by_size: dict[int, int] = defaultdict(int)
    for row in sizes:
        by_size[row.cluster_files] += row.clusters
    description = (
        f"Clusters: {sum(by_size.values()):,}; the largest has {max(by_size, default=0):,} files."
    )
    svg = Markup(plots.cluster_sizes(sizes, description=description))  # noqa: S704 - as above
    return Figure(svg, description, sorted(by_size.items()))
