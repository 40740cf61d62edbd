"""`fimble corpus build`: a recipe in, a folder with a clean corpus and its data card out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from fimble import paths
from fimble.errors import InputError
from fimble.files import write_json, write_whole
from training.corpus import pipeline
from training.corpus.attribution import attribution
from training.corpus.card import Card, card_from_json, make_card
from training.corpus.engine import LocalEngine
from training.corpus.recipe import Recipe, read_recipe
from training.corpus.source import Source

if TYPE_CHECKING:
    import argparse

_LOG = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble corpus`."""
    verbs = parser.add_subparsers(dest="corpus_verb", metavar="VERB", required=True)
    make = verbs.add_parser("build", help="build a corpus, or go on with a build that was stopped")
    make.add_argument("recipe", type=Path, nargs="?", help="TOML recipe of the corpus")
    make.add_argument("--source", type=Path, help="a folder of source code, instead of a recipe")
    make.add_argument("--licence", help="SPDX expression of the code in --source")
    make.add_argument("--out", type=Path, required=True, help="folder to fill")
    make.add_argument("--jobs", type=int, default=2, help="number of processes (default: 2)")
    make.add_argument("--json", action="store_true", help="print the data card as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen verb."""
    if (arguments.recipe is None) == (arguments.source is None):
        raise InputError("give either a recipe or --source DIR")
    if arguments.source is None:
        card = build(arguments.recipe, arguments.out, jobs=arguments.jobs)
    elif arguments.licence is None:
        raise InputError("--source needs --licence, the SPDX expression of the code, e.g. MIT")
    else:
        card = build_directory(
            arguments.source, arguments.out, licence=arguments.licence, jobs=arguments.jobs
        )
    print(json.dumps(card.to_json()) if arguments.json else card.summary())  # noqa: T201 - the result
    return 0


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

    Raises:
        InputError: There is no such folder, or no file of it remains.
    """
    folder = folder.resolve()
    source = Source(directory=folder.name, project=folder.name or "root", licence=licence)
    return _build(Recipe(name="directory", sources=(source,)), folder.parent, out, jobs=jobs)


def _build(recipe: Recipe, recipe_dir: Path, out: Path, *, jobs: int) -> Card:
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; it must be at least 1")
    stages_dir = out / "stages"
    stages_dir.mkdir(parents=True, exist_ok=True)
    with pipeline.alone_in(stages_dir), LocalEngine(jobs=jobs, spill_dir=stages_dir) as engine:
        return _build_stages(recipe, recipe_dir, out, engine)


def _build_stages(recipe: Recipe, recipe_dir: Path, out: Path, engine: LocalEngine) -> Card:
    stages_dir = out / "stages"
    prepared = pipeline.fetch_all(recipe, recipe_dir, paths.cache_dir(), stages_dir)
    digest = pipeline.build_digest(recipe, prepared)
    if (card := _finished(out / "card.json", digest)) is not None:
        _LOG.info("%s is up to date", out)
        return card
    (out / "card.json").unlink(missing_ok=True)  # readers take a corpus with a card as whole

    prepared = pipeline.read_all(recipe, prepared, engine)
    annotated = pipeline.annotate_all(prepared, recipe.limits.parse_s, engine)
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
