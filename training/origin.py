"""Where a checkpoint comes from, written beside it for the manifest of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fimble.files import sha256_of, write_json
from training.run_record import CARD_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.run_record import RunRecord

ORIGIN_NAME = "origin.json"


def write_origin(
    folder: Path, record: RunRecord, corpus: Path, scores: Mapping[str, float]
) -> None:
    """Write `origin.json` into a checkpoint: digests of recipe and data card, scores, parent.

    Args:
        folder: The checkpoint, a Hugging Face folder.
        record: The run that made it.
        corpus: Output folder of `fimble corpus build`.
        scores: From `training.validation.measure`.
    """
    card = corpus / CARD_NAME
    origin: dict[str, object] = {
        "recipe_sha256": record.recipe_sha256,
        "data_card_sha256": sha256_of(card) if card.exists() else "",
        "parent": record.parent.recipe_sha256 if record.parent else "",
        "scores": {name: round(value, 4) for name, value in sorted(scores.items())},
    }
    write_json(folder / ORIGIN_NAME, origin)
