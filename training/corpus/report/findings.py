"""What somebody should look at before training on a corpus: rules over its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from training.corpus.card import Card
    from training.corpus.report.summary import LanguageSummary, StageShare

MAX_PROJECT_SHARE = 0.3
MIN_VALIDATION_SHARE = 0.01
MAX_VALIDATION_SHARE = 0.05
MAX_STAGE_RATE = 0.5
MIN_STAGE_FILES = 20
"""A share of fewer files says nothing."""


def findings(
    card: Card, languages: Sequence[LanguageSummary], shares: Sequence[StageShare]
) -> list[str]:
    """Return one sentence for each thing to look at, the gravest first."""
    return [
        *_decontamination(card),
        *_validation(languages),
        *_concentration(languages),
        *_stages(shares),
        *_skipped(card),
    ]


def _decontamination(card: Card) -> Iterator[str]:
    if not card.benchmarks:
        yield (
            "Nothing was decontaminated: no benchmark was named, so that scores on benchmarks "
            "measured after training on this corpus may be scores of memory."
        )


def _validation(languages: Sequence[LanguageSummary]) -> Iterator[str]:
    kept = sum(each.kept.bytes for each in languages)
    held_out = sum(each.validation.bytes for each in languages)
    share = held_out / kept if kept else 0.0
    if share < MIN_VALIDATION_SHARE:
        low = f"{MIN_VALIDATION_SHARE:.0%}"
        yield f"Validation is {share:.2%} of the bytes; under {low} its losses are noisy."
    if share > MAX_VALIDATION_SHARE:
        high = f"{MAX_VALIDATION_SHARE:.0%}"
        yield f"Validation is {share:.1%} of the bytes; what is over {high} is lost to training."
    without = [each.language for each in languages if not each.validation.files]
    if without and held_out:
        yield f"No validation project holds files in {', '.join(sorted(without))}."


def _concentration(languages: Sequence[LanguageSummary]) -> Iterator[str]:
    for each in languages:
        if each.largest_share > MAX_PROJECT_SHARE:
            yield (
                f"{each.language}: the project {each.largest_project} has {each.largest_share:.0%} "
                f"of the bytes (of {each.projects:,} projects)."
            )


def _stages(shares: Sequence[StageShare]) -> Iterator[str]:
    for stage in dict.fromkeys(each.stage for each in shares):
        harsh = [
            f"{each.language} ({each.rate:.0%} of {each.read.files:,})"
            for each in shares
            if each.stage == stage
            and each.rate > MAX_STAGE_RATE
            and each.read.files >= MIN_STAGE_FILES
        ]
        if harsh:
            yield f"The stage “{stage}” drops more than half of the files in {', '.join(harsh)}."


def _skipped(card: Card) -> Iterator[str]:
    skipped = sum(1 for each in card.sources if each.skipped)
    if skipped:
        yield f"{skipped:,} of {len(card.sources):,} sources were skipped; see Sources."
