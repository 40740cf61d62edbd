"""`fimble corpus build`: a recipe in, a folder with a clean corpus and its data card out."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fimble import paths
from fimble.errors import InputError
from fimble.files import write_json, write_whole
from training.corpus import pipeline, relations, tracking
from training.corpus.attribution import attribution
from training.corpus.benchmarks import files_at
from training.corpus.card import Card, Findings, card_from_json, make_card
from training.corpus.engine import LocalEngine
from training.corpus.recipe import Caps, LicenceRules, Recipe, read_recipe
from training.corpus.report.page import write_report
from training.corpus.source import UNKNOWN_LICENCE, Projects, Source
from training.corpus.tables import short_hash

if TYPE_CHECKING:
    import argparse

    from training.corpus.engine import Engine

_LOG = logging.getLogger(__name__)
_ENGINES = ("local", "spark")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble corpus`."""
    verbs = parser.add_subparsers(dest="corpus_verb", metavar="VERB", required=True)
    make = verbs.add_parser("build", help="build a corpus, or go on with a build that was stopped")
    make.add_argument("recipe", type=Path, nargs="?", help="TOML recipe of the corpus")
    make.add_argument("--source", type=Path, help="a folder of source code, instead of a recipe")
    make.add_argument(
        "--licence",
        help="SPDX expression of the code in --source; without it licences are not looked at",
    )
    make.add_argument("--out", type=Path, required=True, help="folder to fill")
    make.add_argument("--jobs", type=int, default=2, help="number of processes (default: 2)")
    make.add_argument(
        "--engine",
        choices=_ENGINES,
        default="local",
        help="where the stages run: on this machine, or in the Spark session that the environment "
        "describes (SPARK_REMOTE)",
    )
    make.add_argument("--json", action="store_true", help="print the data card as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen verb."""
    if (arguments.recipe is None) == (arguments.source is None):
        raise InputError("give either a recipe or --source DIR")
    if arguments.licence is not None and arguments.source is None:
        raise InputError("--licence goes with --source; a recipe names the licence of each source")
    engine = _spark_engine() if arguments.engine == "spark" else None
    if arguments.source is None:
        card = build(arguments.recipe, arguments.out, jobs=arguments.jobs, engine=engine)
    else:
        card = build_directory(
            arguments.source,
            arguments.out,
            licence=arguments.licence,
            jobs=arguments.jobs,
            engine=engine,
        )
    print(json.dumps(card.to_json()) if arguments.json else card.summary())  # noqa: T201 - the result
    return 0


def _spark_engine() -> Engine:
    from training.corpus import engine_spark

    return engine_spark.SparkEngine(engine_spark.session())


def build(recipe: Path, out: Path, *, jobs: int = 2, engine: Engine | None = None) -> Card:
    """Build the corpus that a recipe describes, or go on with a build that was stopped.

    Args:
        recipe: TOML file.
        out: Folder to fill: `files/*.parquet`, `dropped/*.parquet`, `card.json`, `report.html`,
            `ATTRIBUTION.md`; `stages/` holds what a later build can reuse.
        jobs: Number of processes of the embedded engine.
        engine: Where to run the stages; None is the embedded engine.

    Returns:
        The data card.

    Raises:
        ConfigError: The recipe is wrong.
        InputError: Nothing of the sources can be used, or no file remains.
    """
    return _build(read_recipe(recipe), recipe.parent, out, jobs=jobs, engine=engine)


def build_directory(
    folder: Path,
    out: Path,
    *,
    licence: str | None = None,
    jobs: int = 2,
    engine: Engine | None = None,
) -> Card:
    """Build a corpus from one local folder, without a recipe.

    Each top-level folder is a project, and one in twenty of them, at least one of several, is held
    out for validation. Nothing is left out for balance.

    Args:
        folder: Source code; symbolic links in it are not followed.
        out: See `build`.
        licence: SPDX expression of the code; None lets every licence pass, as for one's own code.
        jobs: See `build`.
        engine: See `build`.

    Raises:
        InputError: There is no such folder, or no file of it remains.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise InputError(f"--source {folder} is no folder")
    source = Source(
        directory=folder.name,
        project=folder.name or "root",
        projects=Projects.TOP_FOLDERS,
        licence=licence or UNKNOWN_LICENCE,
    )
    recipe = Recipe(
        name="directory",
        sources=(source,),
        validation=_held_out(folder),
        licence=LicenceRules(enabled=licence is not None),
        caps=Caps(enabled=False),
    )
    return _build(recipe, folder.parent, out, jobs=jobs, engine=engine)


def _held_out(folder: Path) -> tuple[str, ...]:
    """Return one in twenty of the top-level folders, at least one of several, by hash."""
    names = [each.name for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
    names = [name for name in names if not name.startswith(".")]
    num_held_out = max(1, round(len(names) / 20)) if len(names) > 1 else 0
    return tuple(sorted(sorted(names, key=short_hash)[:num_held_out]))


def _build(
    recipe: Recipe, recipe_dir: Path, out: Path, *, jobs: int, engine: Engine | None
) -> Card:
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; it must be at least 1")
    out = out.resolve()  # workers have folders of their own
    stages_dir = out / "stages"
    stages_dir.mkdir(parents=True, exist_ok=True)
    with pipeline.alone_in(stages_dir):
        if engine is not None:
            return _build_stages(recipe, recipe_dir.resolve(), out, engine)
        with LocalEngine(jobs=jobs, spill_dir=stages_dir) as local:
            return _build_stages(recipe, recipe_dir.resolve(), out, local)


def _build_stages(recipe: Recipe, recipe_dir: Path, out: Path, engine: Engine) -> Card:
    stages_dir = out / "stages"
    rules = recipe.rules(_benchmarks(recipe, recipe_dir))
    prepared = pipeline.fetch_all(recipe, recipe_dir, paths.cache_dir().resolve(), stages_dir)
    benchmarks = tuple(pipeline.archive_of(path) for path in rules.benchmarks)
    rules_digest = pipeline.rules_digest(rules, benchmarks)
    digest = pipeline.build_digest(recipe, rules_digest, prepared)
    if (card := _finished(out / "card.json", digest)) is not None:
        _LOG.info("%s is up to date", out)
        return card
    (out / "card.json").unlink(missing_ok=True)  # readers take a corpus with a card as whole

    prepared = pipeline.read_all(recipe, prepared, engine)
    annotations = pipeline.annotate_all(prepared, rules, rules_digest, engine)
    decided = stages_dir / f"relations-{digest[:16]}"
    found = relations.decide(recipe, annotations, decided, engine)
    pipeline.write_all(prepared, annotations, found, out, engine)

    counts = relations.counts(found, decided, engine)
    findings = Findings(
        digest=digest,
        prepared=prepared,
        benchmarks=benchmarks,
        relations=found,
    )
    card = make_card(recipe, findings, counts)
    write_whole(out / "ATTRIBUTION.md", attribution(card).encode())
    write_report(out, card, found.by_name(), engine)
    write_json(out / "card.json", card.to_json())  # last: where it is, the corpus is whole
    tracking.record(card, out, recipe.name)
    pipeline.remove_stale(stages_dir, {decided, *(each.annotated.parent for each in annotations)})
    return card


def _benchmarks(recipe: Recipe, recipe_dir: Path) -> tuple[Path, ...]:
    """Return the benchmark files that must not be in the corpus, in order.

    Raises:
        InputError: A path is not there, or holds no benchmark.
    """
    if not recipe.decontamination.enabled:
        return ()
    places = [recipe_dir / path for path in recipe.decontamination.benchmarks]
    if variable := os.environ.get("FIMBLE_BENCHMARKS"):
        places.append(Path(variable).expanduser())
    return tuple(sorted({path.resolve() for place in places for path in files_at(place)}))


def _finished(path: Path, digest: str) -> Card | None:
    """Return the card of a finished build of the same digest, or None."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card_from_json(value, where=path) if value.get("digest") == digest else None
