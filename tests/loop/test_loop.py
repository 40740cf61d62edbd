"""The whole loop: what it refuses, how it goes on, and at toy size what it brings."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.loop.house import held_out, write_projects
from training.loop.recipe import read_recipe
from training.loop.stages import Stage, stages

TOY = Path(__file__).with_name("toy.toml")
ROOT = Path(__file__).resolve().parents[2]
NUM_HELD_OUT = 6


def write_recipe(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the toy's recipe beside its projects, with words of it replaced."""
    text = TOY.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "loop.toml"
    path.write_text(text, encoding="utf-8")
    return path


def command(recipe: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "fimble", "loop", str(recipe), "--out", str(out), "--json"]


def loop(recipe: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(recipe, out), capture_output=True, text=True, check=False)


def stage_names(out: Path) -> list[str]:
    record = json.loads((out / "loop.json").read_text(encoding="utf-8"))
    return [stage["name"] for stage in record["stages"]]


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one message of a command that refused its input."""
    assert (done.returncode, done.stdout) == (2, "")
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("fimble: ")]
    assert "Traceback" not in done.stderr
    return message


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("turns = 2", "turns = -1", "turns is -1; it must be 0 to 20"),
        ("[gate]", "[gates]", "unknown key gates; allowed are name, turns, corpus, vocabulary"),
        ('name = "house"\nturns', "turns", "name is None; it must be the name of the model"),
        ("turns = 2", "turns = [", "is not valid TOML"),
    ],
)
def test_a_recipe_that_is_no_loop_is_refused_before_anything_runs(
    tmp_path: Path, old: str, new: str, part: str
) -> None:
    message = error_of(loop(write_recipe(tmp_path, (old, new)), tmp_path / "out"))
    assert "loop.toml" in message or "TOML" in message
    assert part.split(";", maxsplit=1)[0] in message or part in message
    assert not (tmp_path / "out").exists()


def test_the_shipped_recipe_names_the_folder_of_its_sources() -> None:
    recipe = read_recipe(ROOT / "training" / "recipes" / "loop-toy.toml")
    (source,) = recipe.tables["corpus"]["sources"]
    assert source["directory"] == str(ROOT / "training")


def planned(tmp_path: Path, *decisions: str) -> dict[str, Stage]:
    """Return the stages of a loop by name, given what its A/B tests will say."""
    results = {
        "gate": {"passed": False},
        **{f"experiment-{n}": {"verdict": {"decision": d}} for n, d in enumerate(decisions, 1)},
    }
    turns = ("turns = 2", f"turns = {len(decisions)}")
    recipe = read_recipe(write_recipe(tmp_path, turns))
    found = stages(recipe, tmp_path, results.__getitem__, date(2026, 1, 5))
    return {stage.name: stage for stage in found}


def recipe_of(stage: Stage) -> dict[str, Any]:
    assert stage.recipe is not None
    return stage.recipe


def arms_of(stage: Stage) -> list[str]:
    assert stage.registration is not None
    return [arm["name"] for arm in stage.registration[1]["arms"]]


def test_code_is_recorded_only_where_a_turn_learns_from_it(tmp_path: Path) -> None:
    found = planned(tmp_path, "ship", "ship")
    levels = {
        name: stage.recipe["level"]
        for name, stage in found.items()
        if stage.recipe and "level" in stage.recipe
    }
    assert list(levels) == ["sessions-0", "sessions-1", "sessions-2", "sessions-last"]
    assert list(levels.values()) == ["content", "content", "keys", "keys"]


def test_a_turn_learns_from_all_sessions_so_far(tmp_path: Path) -> None:
    found = planned(tmp_path, "ship", "undecided", "ship")
    for turn in (1, 2, 3):
        told = recipe_of(found[f"turn-{turn}"])
        folders = [told["preferences"], *told["earlier_preferences"]]
        assert folders == [str(tmp_path / f"pairs-{n}") for n in range(turn, 0, -1)]


def test_a_model_must_beat_the_last_one_that_people_got(tmp_path: Path) -> None:
    found = planned(tmp_path, "ship", "undecided", "ship")
    assert arms_of(found["sessions-1"]) == ["start", "turn-1"]
    assert arms_of(found["sessions-2"]) == ["turn-1", "turn-2"]
    assert arms_of(found["sessions-3"]) == ["turn-1", "turn-3"]
    assert arms_of(found["sessions-last"]) == ["start", "turn-3"]
    parents = {recipe_of(found[f"turn-{turn}"])["model"]["path"] for turn in (1, 2, 3)}
    assert parents == {
        str(tmp_path / "pretraining" / "model")
    }  # the gate has refused the tuned one
    assert recipe_of(found["sessions-3"])["model"] == str(tmp_path / "models" / "turn-1")
    names = [stage.registration[1]["name"] for stage in found.values() if stage.registration]
    assert len(set(names)) == 4  # a name is the key of the draw, so none is used twice
    seeds = [recipe_of(found[f"sessions-{n}"])["seed"] for n in (0, 1, 2, 3, "last")]
    assert len(set(seeds)) == 5


@pytest.mark.parametrize(
    ("decisions", "arms"),
    [
        ((), []),
        (("undecided",), [["start", "turn-1"]]),
        (("stop", "ship"), [["start", "turn-1"], ["start", "turn-2"]]),
        (("ship", "stop"), [["start", "turn-1"], ["turn-1", "turn-2"], ["start", "turn-2"]]),
    ],
)
def test_the_last_model_is_compared_with_the_first_one_once(
    tmp_path: Path, decisions: tuple[str, ...], arms: list[list[str]]
) -> None:
    found = planned(tmp_path, *decisions)
    assert [arms_of(stage) for stage in found.values() if stage.registration] == arms


@pytest.mark.slow
@pytest.mark.e2e
def test_a_stage_that_fails_is_mended_and_the_loop_goes_on_there(tmp_path: Path) -> None:
    write_projects(tmp_path / "projects", num_train=3, num_held_out=1)
    held = ('["held-12", "held-13", "held-14", "held-15", "held-16", "held-17"]', '["held-03"]')
    recipe = write_recipe(tmp_path, held, ("size = 1024", "size = 100"))
    out = tmp_path / "out"
    message = error_of(loop(recipe, out))
    assert "the stage 'vocabulary' failed: " in message
    assert "size is 100; it must be" in message
    assert stage_names(out) == ["corpus"]
    built_ns = (out / "corpus" / "card.json").stat().st_mtime_ns

    message = error_of(loop(write_recipe(tmp_path, held, ("total = 200", "total = -1")), out))
    assert "the stage 'pretraining' failed: " in message
    assert stage_names(out) == ["corpus", "vocabulary"]
    assert (out / "corpus" / "card.json").stat().st_mtime_ns == built_ns

    message = error_of(loop(write_recipe(tmp_path, held, ("size = 1024", "size = 2048")), out))
    assert "the recipe of the stage 'vocabulary' has changed since it ran" in message
    assert stage_names(out) == ["corpus", "vocabulary"]


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine 🙂", encoding="utf-8")
    message = error_of(loop(write_recipe(tmp_path), tmp_path / "out"))
    assert "holds something else" in message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.loop
@pytest.mark.timeout(3600)
def test_learning_from_people_raises_acceptance_beyond_chance_though_the_loop_is_killed(
    tmp_path: Path,
) -> None:
    write_projects(tmp_path / "projects", num_held_out=NUM_HELD_OUT)
    assert all(name in TOY.read_text(encoding="utf-8") for name in held_out(12, NUM_HELD_OUT))
    recipe, out = shutil.copy(TOY, tmp_path / "loop.toml"), tmp_path / "out"
    for _ in range(3):
        killed_after(random.SystemRandom().uniform(5, 60), recipe, out)
    done = loop(recipe, out)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [stage["name"] for stage in found["stages"]] == stage_names(out)
    first, second = found["turns"]
    # Where turn 2 was compared with turn 1, a last test compares it with the first model.
    assert [first["before"], second["before"]] in (["start", "turn-1"], ["start", "start"])
    assert (found["last"] is not None) == (second["before"] == "turn-1")
    num_stages = 23 if found["last"] else 21
    assert len(set(stage_names(out))) == len(stage_names(out)) == num_stages
    assert "The loop of" in (out / "report.html").read_text(encoding="utf-8")
    assert 10 < first["num_examples"] < second["num_examples"]
    for trial in filter(None, (first, second, found["last"])):
        assert [test["metric"] for test in trial["tests"]] == ["acceptance_rate"]
        assert all(test["low"] < test["effect"] < test["high"] for test in trial["tests"])
    both_turns = found["last"] or second
    assert both_turns["verdict"] == "ship"
    assert found["released"] == ("turn-2" if second["verdict"] == "ship" else second["before"])


def killed_after(seconds: float, recipe: Path, out: Path) -> None:
    """Run the loop, and kill it and all that it started."""
    process = subprocess.Popen(
        command(recipe, out),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
