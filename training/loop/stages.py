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


START = "start"
"""The model that people have first; later ones are `turn-1` and so on."""


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
    yield _sessions(recipe, out, "0", model=START, seed=0)
    for turn in range(1, recipe.turns + 1):
        yield from _turn(recipe, out, turn, results, first=out / released / "model", today=today)
    if recipe.turns and last_released(results, before=recipe.turns) != START:
        arms = (START, f"turn-{recipe.turns}")
        yield from _trial(recipe, out, "last", arms, seed=recipe.turns + 1, today=today)


def last_released(results: Results, *, before: int) -> str:
    """Return the name of the model that people have before a turn.

    Args:
        results: What finished stages said, those of all earlier turns among them.
        before: Number of the turn.
    """
    for turn in range(before - 1, 0, -1):
        if results(f"experiment-{turn}")["verdict"]["decision"] == "ship":
            return f"turn-{turn}"
    return START


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
    recipe: LoopRecipe,
    out: Path,
    turn: int,
    results: Results,
    *,
    first: Path,
    today: date,
) -> Iterator[Stage]:
    """Yield one turn: from what people took, to whether they take more of the next model's.

    Args:
        recipe: Of the loop.
        out: Folder of the loop.
        turn: From 1 on.
        results: What finished stages said.
        first: Hugging Face folder of the first model. Each turn begins with that, and so is held to
            limits against it: what earlier turns have learnt, their pairs say again.
        today: First day of its experiment.
    """
    name = f"turn-{turn}"
    yield Stage(
        f"pairs-{turn}",
        (
            *("telemetry", "pairs", "--out", str(out / f"pairs-{turn}")),
            *_options(recipe.tables["pairs"]),
        ),
        environment={"FIMBLE_DATA_DIR": str(out / f"sessions-{turn - 1}" / "data")},
    )
    learning = {
        **recipe.tables["learning"],
        "name": f"{recipe.name}-{name}",
        "preferences": str(out / f"pairs-{turn}"),
        "earlier_preferences": [str(out / f"pairs-{each}") for each in range(turn - 1, 0, -1)],
        "data": str(out / "instructions"),
        "model": {"path": str(first)},
    }
    yield _stage(out, name, ("tune", "prefer"), learning)
    yield _export(out, out / name / "model", name)
    arms = (last_released(results, before=turn), name)
    yield from _trial(recipe, out, str(turn), arms, seed=turn, today=today)


def _trial(
    recipe: LoopRecipe, out: Path, name: str, arms: tuple[str, str], *, seed: int, today: date
) -> Iterator[Stage]:
    """Yield sessions in which people have one of two models, and what the A/B test says."""
    path = out / f"experiments-{name}" / f"{arms[1]}.toml"
    trial = _registration(recipe, out, name, arms, today)
    sessions = _sessions(recipe, out, name, model=arms[0], seed=seed, experiments=path.parent)
    yield sessions._replace(registration=(path, trial))
    yield Stage(
        f"experiment-{name}",
        ("telemetry", "experiment", "analyse", str(path)),
        environment={"FIMBLE_DATA_DIR": str(out / f"sessions-{name}" / "data")},
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


def _sessions(
    recipe: LoopRecipe,
    out: Path,
    name: str,
    *,
    model: str,
    seed: int,
    experiments: Path | None = None,
) -> Stage:
    table = {
        **recipe.tables["sessions"],
        "corpus": str(out / "corpus"),
        "model": str(out / "models" / model),
        "seed": seed,
        # Code is recorded where the next turn learns from it, and nowhere else.
        "level": "content" if seed < recipe.turns else "keys",
    }
    if experiments is not None:
        table["experiments"] = str(experiments)
    return _stage(out, f"sessions-{name}", ("eval", "sessions"), table)


def _registration(
    recipe: LoopRecipe, out: Path, name: str, arms: tuple[str, str], today: date
) -> dict[str, Any]:
    """Return an A/B test: the model that people have, against another one."""
    return {
        "unit": "request",
        "main_metric": "taken_per_opportunity",
        "minimal_effect": 0.02,
        "before_days": 0,
        **recipe.tables["experiment"],
        "name": f"{recipe.name}-turn-{name}",
        "start": today,
        "stop": today + timedelta(days=2),
        "arms": [{"name": arm, "model": str(out / "models" / arm), "weight": 0.5} for arm in arms],
    }


def _options(table: dict[str, Any]) -> tuple[str, ...]:
    """Return a table as options of a command: `per_language = 5` as `--per-language 5`."""
    return tuple(
        word for key, value in table.items() for word in (f"--{key.replace('_', '-')}", str(value))
    )
