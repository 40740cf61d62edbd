"""What the template shows, section by section: chosen, ordered and cut."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from training.corpus.report.excerpts import Excerpt, diff, excerpt, line_with_stand_in
from training.corpus.report.facts import COPIES, STAND_IN
from training.corpus.report.figures import bin_tables, cluster_plot, length_rows, rank_plot
from training.corpus.report.findings import findings
from training.corpus.report.summary import (
    Sum,
    grouped,
    languages_of,
    projects_of,
    stage_shares,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.corpus.card import Card
    from training.corpus.report.facts import ClusterSize, Facts, Member, Pick, Text
    from training.corpus.report.summary import StageShare

MAX_PROJECTS = 500
"""Rows of the table of projects; the rest is one row."""
MAX_CLUSTER_PATHS = 6
MAX_SKIPPED = 200


class Sample(NamedTuple):
    """A dropped file as the page shows it."""

    pick: Pick
    excerpt: Excerpt | None
    """None where the file was never opened, or a difference says more."""
    copy: Text | None
    """The copy that is kept; None where that is not why it was dropped."""
    diff: tuple[str, ...]
    """Lines of the difference to that copy."""


class Redacted(NamedTuple):
    """Stand-ins in the kept files of one language."""

    language: str
    files: int
    """Files with a stand-in."""
    of: int
    """All kept files."""
    secrets: int
    emails: int
    ips: int


class StandIn(NamedTuple):
    """A line with a stand-in, as it is in the kept text."""

    kind: str
    pick: Pick
    line: str


class Cluster(NamedTuple):
    """One of the largest clusters."""

    files: int
    bytes: int
    projects: int
    members: tuple[Member, ...]
    """The kept file first."""


class ClusterTotals(NamedTuple):
    """All clusters together, and those with files of several projects."""

    clusters: int
    files: int
    clusters_across: int
    files_across: int


def view(card: Card, facts: Facts) -> dict[str, object]:
    """Return the values of the template.

    Args:
        card: The data card.
        facts: Answers of the queries.
    """
    languages = languages_of(facts.kept)
    stages = [each.stage for each in card.stages]
    shares = stage_shares(facts.drops, stages)
    projects = projects_of(facts.kept)
    licences = grouped(facts.kept, lambda row: row.licence)
    skipped = [each for each in card.sources if each.skipped]
    return {
        "card": card,
        "findings": findings(card, languages, shares),
        "languages": languages,
        "stages": stages,
        "shares": _by_language(shares),
        "lengths": length_rows(facts),
        "bin_tables": bin_tables(facts),
        "projects": projects[:MAX_PROJECTS],
        "other_projects": _sum([each.kept for each in projects[MAX_PROJECTS:]]),
        "num_projects": len(projects),
        "rank_plot": rank_plot(projects),
        "licences": {name: total(rows) for name, rows in licences.items()},
        "held_out": [each for each in projects if "validation" in each.splits],
        "skipped": skipped[:MAX_SKIPPED],
        "num_skipped": len(skipped),
        "samples": _samples(facts, stages),
        "redactions": _redactions(facts),
        "stand_ins": _stand_ins(facts),
        "clusters": _clusters(facts.members),
        "cluster_totals": _cluster_totals(facts.cluster_sizes),
        "cluster_plot": cluster_plot(facts.cluster_sizes),
    }


def _sum(sums: Sequence[Sum]) -> Sum:
    return Sum(sum(each.files for each in sums), sum(each.bytes for each in sums))


def _by_language(shares: Sequence[StageShare]) -> dict[str, list[StageShare]]:
    groups: dict[str, list[StageShare]] = defaultdict(list)
    for each in shares:
        groups[each.language].append(each)
    return dict(groups)


def _samples(facts: Facts, stages: Sequence[str]) -> dict[str, dict[str, list[Sample]]]:
    """Return the samples by stage, in the order of the stages, and by reason."""
    found: dict[str, dict[str, list[Sample]]] = {stage: {} for stage in stages}
    for pick in sorted(facts.picks, key=lambda pick: (pick.reason, pick.place)):
        if pick.stage in found:
            found[pick.stage].setdefault(pick.reason, []).append(_sample(pick, facts.texts))
    return {stage: reasons for stage, reasons in found.items() if reasons}


def _sample(pick: Pick, texts: dict[str, Text]) -> Sample:
    shown = texts.get(pick.id)
    text = shown.text if shown else None
    copy = texts.get(pick.detail or "") if pick.stage in COPIES else None
    if pick.stage == "near_duplicates" and text and copy and copy.text:
        return Sample(pick, None, copy, diff(copy.text, text))
    return Sample(pick, None if text is None else excerpt(text, pick), copy, ())


def _redactions(facts: Facts) -> list[Redacted]:
    return [
        Redacted(
            language=language,
            files=sum(row.redacted_files for row in rows),
            of=total(rows).files,
            secrets=sum(row.secrets for row in rows),
            emails=sum(row.emails for row in rows),
            ips=sum(row.ips for row in rows),
        )
        for language, rows in grouped(facts.kept, lambda row: row.language).items()
    ]


def _stand_ins(facts: Facts) -> list[StandIn]:
    found: list[StandIn] = []
    for pick in facts.picks:
        shown = facts.texts.get(pick.id)
        if pick.stage == STAND_IN and shown and shown.text:
            line = line_with_stand_in(shown.text, pick.reason)
            if line is not None:
                found.append(StandIn(pick.reason, pick, line))
    return found


def _clusters(members: Sequence[Member]) -> list[Cluster]:
    groups: dict[int, list[Member]] = {}
    for member in members:
        groups.setdefault(member.cluster, []).append(member)
    return [
        Cluster(
            files=group[0].cluster_files,
            bytes=group[0].cluster_bytes,
            projects=group[0].projects,
            members=tuple(group[:MAX_CLUSTER_PATHS]),
        )
        for group in groups.values()
    ]


def _cluster_totals(sizes: Sequence[ClusterSize]) -> ClusterTotals:
    across = [row for row in sizes if row.across_projects]
    return ClusterTotals(
        clusters=sum(row.clusters for row in sizes),
        files=sum(row.clusters * row.cluster_files for row in sizes),
        clusters_across=sum(row.clusters for row in across),
        files_across=sum(row.clusters * row.cluster_files for row in across),
    )
