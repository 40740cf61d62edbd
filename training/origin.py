"""Where a checkpoint comes from, written beside it for the manifest of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fimble.files import sha256_of, write_json
from fimble.manifest import SNIPPETS
from training.run_record import CARD_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.recipe import PretrainRecipe
    from training.run_record import RunRecord

ORIGIN_NAME = "origin.json"


def write_origin(
    folder: Path, record: RunRecord, recipe: PretrainRecipe, scores: Mapping[str, float]
) -> None:
    """Write `origin.json` into a checkpoint: digests of recipe and data card, scores, parent.

    It also says whether the model knows prompts with code of other files.

    Args:
        folder: The checkpoint, a Hugging Face folder.
        record: The run that made it.
        recipe: What it was trained by.
        scores: From `training.validation.measure`.
    """
    card = recipe.corpus / CARD_NAME
    has_snippets = recipe.examples.snippet_rate > 0 and recipe.examples.fim_rate > 0
    origin: dict[str, object] = {
        "recipe_sha256": record.recipe_sha256,
        "data_card_sha256": sha256_of(card) if card.exists() else "",
        "context": [SNIPPETS] if has_snippets else [],
        "parent": record.parent.recipe_sha256 if record.parent else "",
        "scores": {name: round(value, 4) for name, value in sorted(scores.items())},
    }
    write_json(folder / ORIGIN_NAME, origin)
