"""What a run is, written into its folder: recipe, digests of its data, versions, the run before.

It says which later recipe may go on with the run, whether another run reads on in the same data,
and what it takes to draw the same rows again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fimble.config import from_table
from fimble.errors import ConfigError, InputError
from fimble.files import sha256_of, write_json
from training.examples.documents import corpus_files
from training.recipe import PretrainRecipe

if TYPE_CHECKING:
    from pathlib import Path

RUN_NAME = "run.json"
CARD_NAME = "card.json"
_PLACES = ("corpus", "tokenizer", "jobs", "report_to", "start")
"""Fields of a recipe that say where things lie or go, not what is trained."""
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The run whose weights another one began with."""

    name: str
    recipe_sha256: str
    step: int
    num_tokens: int
    """Trained on before, by that run and those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run; the fields are those of `run.json`."""

    recipe: dict[str, Any]
    recipe_sha256: str
    corpus_sha256: str
    tokenizer_sha256: str
    data_sha256: str
    """Of all that decides which rows are read in which order."""
    versions: dict[str, str]
    parent: Parent | None = None

    @property
    def typed_recipe(self) -> PretrainRecipe:
        """The recipe, as the run read it."""
        table = {key: value for key, value in self.recipe.items() if value is not None}
        return from_table(PretrainRecipe, table, where=RUN_NAME)


def record_of(recipe: PretrainRecipe, parent: Parent | None) -> RunRecord:
    """Return the record of a run that is about to begin.

    Raises:
        ConfigError: There is no corpus or no tokenizer.
    """
    if not recipe.tokenizer.is_file():
        raise ConfigError(f"there is no tokenizer {recipe.tokenizer}; train the vocabulary first")
    corpus, tokenizer = corpus_digest(recipe), sha256_of(recipe.tokenizer)
    settings: dict[str, Any] = _plain(dataclasses.asdict(recipe))
    drawn = (corpus, tokenizer, recipe.seed, settings["examples"], recipe.model.context_tokens)
    return RunRecord(
        recipe=settings,
        recipe_sha256=recipe_digest(recipe, parent),
        corpus_sha256=corpus,
        tokenizer_sha256=tokenizer,
        data_sha256=_digest(drawn),
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in (*_LIBRARIES, "fimble")},
        },
        parent=parent,
    )


def recipe_digest(recipe: PretrainRecipe, parent: Parent | None) -> str:
    """Return the SHA-256 of what a recipe trains; where things lie does not count."""
    settings: dict[str, Any] = {
        k: v for k, v in dataclasses.asdict(recipe).items() if k not in _PLACES
    }
    if parent is not None and recipe.start is not None:
        settings["start"] = [parent.recipe_sha256, parent.step, recipe.start.optimiser]
    return _digest(settings)


def corpus_digest(recipe: PretrainRecipe) -> str:
    """Return a SHA-256 that changes with the corpus: of its data card and its files' sizes.

    A corpus without a card is read whole.
    """
    files = corpus_files(recipe.corpus)
    card = recipe.corpus / CARD_NAME
    if card.exists():
        return _digest([sha256_of(card), [(path.name, path.stat().st_size) for path in files]])
    return _digest([(path.name, sha256_of(path)) for path in files])


def write_record(out: Path, record: RunRecord) -> None:
    """Write the record of a run, or check that it is the one that the folder holds.

    Raises:
        ConfigError: The folder holds another run.
    """
    path = out / RUN_NAME
    if path.exists():
        _check_same(out, read_record(out), record)
    write_json(path, dataclasses.asdict(record))


def read_record(folder: Path) -> RunRecord:
    """Return the record in a run's folder.

    Raises:
        InputError: There is none.
    """
    path = folder / RUN_NAME
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{folder} holds no pretraining run: no {RUN_NAME} in it") from error
    parent = table.pop("parent", None)
    return RunRecord(**table, parent=Parent(**parent) if parent else None)


def _check_same(out: Path, old: RunRecord, new: RunRecord) -> None:
    """Refuse to go on with a run under other settings than it began with."""
    before, now = _lasting(old), _lasting(new)
    for key in before | now:
        if before.get(key) != now.get(key):
            raise ConfigError(
                f"{out} holds a run that began with {key} = {before.get(key)}; now it is "
                f"{now.get(key)}. Take another folder; `[start] run = {str(out)!r}` begins there "
                "with these weights"
            )


def _lasting(record: RunRecord) -> dict[str, object]:
    """Return what must not change while a run lasts, by dotted key."""
    recipe = record.recipe
    chosen: dict[str, object] = {
        "corpus": record.corpus_sha256,
        "tokenizer": record.tokenizer_sha256,
        "seed": recipe["seed"],
        "batch.rows": recipe["batch"]["rows"],
        "optimiser.matrices": recipe["optimiser"]["matrices"],
        "start": recipe["start"],
    }
    for table in ("model", "examples"):
        chosen |= {f"{table}.{key}": value for key, value in recipe[table].items()}
    return chosen


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as JSON would give them back: paths are texts, tuples are lists."""
    return json.loads(json.dumps(settings, default=str))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
