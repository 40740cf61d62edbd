"""The recipe of a whole loop: a table for every stage, read by the stage itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fimble.config import toml_table
from fimble.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TABLES = (
    "corpus",
    "vocabulary",
    "pretraining",
    "instructions",
    "sft",
    "preferences",
    "dpo",
    "gate",
    "evaluation",
    "sessions",
    "pairs",
    "learning",
    "experiment",
)
"""Tables of a recipe, in the order in which their stages run."""
MAX_TURNS = 20


@dataclass(frozen=True, slots=True)
class LoopRecipe:
    """What a loop does.

    The tables hold what the recipes of the stages hold, without the paths between stages, which the
    loop fills in. `corpus`, `vocabulary` and `pretraining` are those of `fimble corpus build`,
    `fimble vocab train` and `fimble train`; `instructions`, `sft`, `preferences`, `dpo` and `gate`
    those of `fimble tune` `data`, `sft`, `pairs`, `prefer` and `gate`; `sessions` is that of
    `fimble eval sessions`, `learning` that of `fimble tune prefer` on what people took.
    `evaluation` and `pairs` hold options of `fimble eval run` and `fimble telemetry pairs`,
    `experiment` the registration of the A/B tests.
    """

    name: str
    """Of the models: NAME, NAME-sft, NAME-dpo, NAME-turn-1, and so on."""
    turns: int
    """How often it learns from what people took; 0 ends with the first sessions."""
    tables: dict[str, dict[str, Any]]


def read_recipe(path: Path) -> LoopRecipe:
    """Read a recipe.

    Raises:
        ConfigError: It cannot be read, or names something else than what a loop has.
    """
    table = toml_table(path)
    name, turns = table.pop("name", None), table.pop("turns", 1)
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{path}: name is {name!r}; it must be the name of the model")
    if type(turns) is not int or not 0 <= turns <= MAX_TURNS:
        raise ConfigError(f"{path}: turns is {turns!r}; it must be 0 to {MAX_TURNS}")
    if unknown := sorted(set(table) - set(TABLES)):
        raise ConfigError(
            f"{path}: unknown key {', '.join(unknown)}; allowed are name, turns, "
            f"{', '.join(TABLES)}"
        )
    wrong = [key for key, value in table.items() if not isinstance(value, dict)]
    if wrong:
        raise ConfigError(f"{path}: {', '.join(wrong)} must be a table")
    tables = {key: dict(table.get(key, {})) for key in TABLES}
    _make_absolute(tables["corpus"], path.resolve().parent)
    return LoopRecipe(name, turns, tables)


def _make_absolute(corpus: dict[str, Any], folder: Path) -> None:
    """Let folders of sources be relative to the loop's recipe, as in a corpus' own."""
    for source in corpus.get("sources", ()):
        if isinstance(source, dict) and isinstance(source.get("directory"), str):
            source["directory"] = str((folder / source["directory"]).resolve())
