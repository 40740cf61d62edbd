"""Where a checkpoint comes from, written beside it for the manifest of a release."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING

from fimble.files import sha256_of, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.recipe import PretrainRecipe

ORIGIN_NAME = "origin.json"
CARD_NAME = "card.json"
_PLACES = ("corpus", "tokenizer", "jobs")
"""Fields of a recipe that say where things lie, not what is trained."""


def write_origin(folder: Path, recipe: PretrainRecipe, scores: Mapping[str, float]) -> None:
    """Write `origin.json` into a checkpoint: digests of recipe and data card, and scores.

    Args:
        folder: The checkpoint, a Hugging Face folder.
        recipe: The run that made it.
        scores: From `training.validation.measure`.
    """
    settings = {k: v for k, v in dataclasses.asdict(recipe).items() if k not in _PLACES}
    card = recipe.corpus / CARD_NAME
    origin: dict[str, object] = {
        "recipe_sha256": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "data_card_sha256": sha256_of(card) if card.exists() else "",
        "scores": {name: round(value, 4) for name, value in sorted(scores.items())},
    }
    write_json(folder / ORIGIN_NAME, origin)
