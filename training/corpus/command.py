"""`fimble corpus build`: a recipe in, a folder with a clean corpus and its data card out."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from fimble import paths
from fimble.errors import InputError
from fimble.files import write_json, write_whole
from training.corpus import pipeline
from training.corpus.attribution import attribution
from training.corpus.card import Card, card_from_json, make_card
from training.corpus.engine import LocalEngine
from training.corpus.recipe import Recipe, Source, read_recipe

if TYPE_CHECKING:
    from pathlib import Path

_LOG = logging.getLogger(__name__)


def build(recipe: Path, out: Path, *, jobs: int = 2) -> Card:
    """Build the corpus that a recipe describes, or go on with a build that was stopped.

    Args:
        recipe: TOML file.
        out: Folder to fill: `files/*.parquet`, `dropped/*.parquet`, `card.json`, `ATTRIBUTION.md`;
            `stages/` holds what a later build can reuse.
        jobs: Number of processes.

    Returns:
        The data card.

    Raises:
        ConfigError: The recipe is wrong.
        InputError: Nothing of the sources can be used, or no file remains.
    """
    return _build(read_recipe(recipe), recipe.parent, out, jobs=jobs)


def build_directory(folder: Path, out: Path, *, licence: str, jobs: int = 2) -> Card:
    """Build a corpus from one local folder, without a recipe.

    Args:
        folder: Source code; symbolic links in it are not followed.
        out: See `build`.
        licence: SPDX expression of the code.
        jobs: Number of processes.
    """
    source = Source(directory=str(folder.resolve()), licence=licence)
    return _build(Recipe(name="directory", sources=(source,)), folder, out, jobs=jobs)


def _build(recipe: Recipe, recipe_dir: Path, out: Path, *, jobs: int) -> Card:
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; it must be at least 1")
    stages_dir = out / "stages"
    stages_dir.mkdir(parents=True, exist_ok=True)
    engine = LocalEngine(jobs=jobs, spill_dir=stages_dir)

    prepared = pipeline.fetch_all(recipe, recipe_dir, paths.cache_dir(), stages_dir)
    digest = pipeline.build_digest(recipe, prepared)
    if (card := _finished(out / "card.json", digest)) is not None:
        _LOG.info("%s is up to date", out)
        return card
    (out / "card.json").unlink(missing_ok=True)  # readers take a corpus with a card as whole

    _LOG.info("reading %d sources", len(prepared))
    prepared = pipeline.read_all(recipe, prepared, engine)
    _LOG.info("filtering")
    annotated = pipeline.annotate_all(prepared, recipe.limits.parse_s, engine)
    _LOG.info("removing duplicates and writing")
    decisions = stages_dir / "decisions.parquet"
    pipeline.decide(recipe, annotated, decisions, engine)
    pipeline.write_all(prepared, decisions, out, engine)

    relations = {"annotated": [str(path) for path in annotated], "decisions": [str(decisions)]}
    card = make_card(recipe, digest, prepared, relations, engine)
    write_whole(out / "ATTRIBUTION.md", attribution(card).encode())
    write_json(out / "card.json", card.to_json())
    pipeline.remove_stale(stages_dir, prepared)
    return card


def _finished(path: Path, digest: str) -> Card | None:
    """Return the card of a finished build of the same digest, or None."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card_from_json(value, where=path) if value.get("digest") == digest else None
