"""The stages of a loop, and what each gets of those before it.

Every stage is one `fimble` command in a process of its own, as a person would run it: what it needs
of memory is free again afterwards, and what is killed half way goes on as that command does.
"""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from training.loop.recipe import LoopRecipe

    Results = Callable[[str], Mapping[str, Any]]
    """Returns what a finished stage printed."""


class Stage(NamedTuple):
    """One command."""

    name: str
    """Also the name of its recipe, its log and its result."""
    command: tuple[str, ...]
    """After `fimble`."""
    recipe: dict[str, Any] | None = None
    """Written beside the others; the command gets its path first."""
    environment: Mapping[str, str] = MappingProxyType({})
    """On top of the loop's own."""
    prints_json: bool = True
    """Whether the command has `--json`."""
    registration: tuple[Path, dict[str, Any]] | None = None
    """A file that is written before the command runs, and what it holds."""


def stages(recipe: LoopRecipe, out: Path, results: Results, today: date) -> Iterator[Stage]:
    """Yield the stages in their order; each may be asked for after the one before has finished.

    Args:
        recipe: Of the loop.
        out: Folder of the loop.
        results: What finished stages said.
        today: First day of the experiments.
    """
    yield from _model_stages(recipe, out)
    released = "dpo" if results("gate")["passed"] else "pretraining"
    yield _export(out, out / released / "model", "start")
    yield _evaluation(recipe, out)
    yield _sessions(recipe, out, turn=0)
    parent = out / released / "model"
    for turn in range(1, recipe.turns + 1):
        yield from _turn(recipe, out, turn, parent=parent, today=today)
        parent = out / f"turn-{turn}" / "model"


def _model_stages(recipe: LoopRecipe, out: Path) -> Iterator[Stage]:
    """Yield what leads from sources to a candidate, and to the decision about it."""
    table, name = recipe.tables, recipe.name
    corpus, data = {"corpus": str(out / "corpus")}, {"data": str(out / "instructions")}
    yield _stage(out, "corpus", ("corpus", "build"), table["corpus"])
    yield _stage(
        out, "vocabulary", ("vocab", "train"), {**table["vocabulary"], **corpus}, prints_json=False
    )
    tokenizer = {"tokenizer": str(out / "vocabulary" / "tokenizer.json")}
    pretraining = {**table["pretraining"], **corpus, **tokenizer, "name": name}
    yield _stage(out, "pretraining", ("train",), pretraining, prints_json=False)
    yield _stage(out, "instructions", ("tune", "data"), {**table["instructions"], **corpus})
    sft = {**table["sft"], **data, **_model(out, "pretraining"), "name": f"{name}-sft"}
    yield _stage(out, "sft", ("tune", "sft"), sft)
    own = {**table["preferences"], **data, **_model(out, "sft")}
    yield _stage(out, "preferences", ("tune", "pairs"), own)
    preferences = {"preferences": str(out / "preferences")}
    dpo = {**table["dpo"], **data, **preferences, **_model(out, "sft"), "name": f"{name}-dpo"}
    yield _stage(out, "dpo", ("tune", "prefer"), dpo)
    models = {**_model(out, "pretraining", "parent"), **_model(out, "dpo", "candidate")}
    yield _stage(out, "gate", ("tune", "gate"), {**table["gate"], **data, **models})


def _turn(
    recipe: LoopRecipe, out: Path, turn: int, *, parent: Path, today: date
) -> Iterator[Stage]:
    """Yield one turn: from what people took, to whether they take more of the next model's."""
    name, before = f"turn-{turn}", out / f"sessions-{turn - 1}"
    pairs = out / f"pairs-{turn}"
    yield Stage(
        f"pairs-{turn}",
        ("telemetry", "pairs", "--out", str(pairs), *_options(recipe.tables["pairs"])),
        environment={"FIMBLE_DATA_DIR": str(before / "data")},
    )
    learning = {
        **recipe.tables["learning"],
        "name": f"{recipe.name}-{name}",
        "preferences": str(pairs),
        "data": str(out / "instructions"),
        "model": {"path": str(parent)},
    }
    yield _stage(out, name, ("tune", "prefer"), learning)
    yield _export(out, out / name / "model", name)
    registration = out / f"experiments-{turn}" / f"{name}.toml"
    trial = _registration(recipe, out, turn, today)
    yield _sessions(recipe, out, turn=turn)._replace(registration=(registration, trial))
    yield Stage(
        f"experiment-{turn}",
        ("telemetry", "experiment", "analyse", str(registration)),
        environment={"FIMBLE_DATA_DIR": str(out / f"sessions-{turn}" / "data")},
    )


def _stage(
    out: Path,
    name: str,
    command: tuple[str, ...],
    recipe: dict[str, Any],
    *,
    prints_json: bool = True,
) -> Stage:
    """Return a stage whose command takes a recipe and writes one folder of its name."""
    return Stage(name, (*command, "--out", str(out / name)), recipe, prints_json=prints_json)


def _model(out: Path, stage: str, key: str = "model") -> dict[str, Any]:
    return {key: {"path": str(out / stage / "model")}}


def _export(out: Path, model: Path, name: str) -> Stage:
    target = str(out / "models" / name)
    command = ("export", str(model), "--format", "engine", "--out", target)
    return Stage(f"export-{name}", command, prints_json=False)


def _evaluation(recipe: LoopRecipe, out: Path) -> Stage:
    """Return how the released model is measured on held-out lines."""
    command = ("eval", "run", "heldout-lines", "--model", str(out / "models" / "start"))
    places = ("--corpus", str(out / "corpus"), "--out", str(out / "evaluation"))
    return Stage("evaluation", (*command, *places, *_options(recipe.tables["evaluation"])))


def _sessions(recipe: LoopRecipe, out: Path, *, turn: int) -> Stage:
    table = {
        **recipe.tables["sessions"],
        "corpus": str(out / "corpus"),
        "model": str(out / "models" / "start"),
        "seed": turn,
        # Code is recorded where the next turn learns from it, and nowhere else.
        "level": "content" if turn < recipe.turns else "keys",
    }
    if turn:
        table["experiments"] = str(out / f"experiments-{turn}")
    return _stage(out, f"sessions-{turn}", ("eval", "sessions"), table)


def _registration(recipe: LoopRecipe, out: Path, turn: int, today: date) -> dict[str, Any]:
    """Return the A/B test of a turn: the model that people had first, against the new one."""
    half = {"weight": 0.5}
    return {
        "unit": "request",
        "main_metric": "taken_per_opportunity",
        "minimal_effect": 0.02,
        "before_days": 0,
        **recipe.tables["experiment"],
        "name": f"{recipe.name}-turn-{turn}",
        "start": today,
        "stop": today + timedelta(days=2),
        "arms": [
            {"name": "start", "model": str(out / "models" / "start"), **half},
            {"name": f"turn-{turn}", "model": str(out / "models" / f"turn-{turn}"), **half},
        ],
    }


def _options(table: dict[str, Any]) -> tuple[str, ...]:
    """Return a table as options of a command: `per_language = 5` as `--per-language 5`."""
    return tuple(
        word for key, value in table.items() for word in (f"--{key.replace('_', '-')}", str(value))
    )
