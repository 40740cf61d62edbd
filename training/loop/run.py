"""Runs the stages of a loop, each once, and keeps what they said."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import tomlkit

from fimble.errors import EngineError, InputError
from fimble.files import check_unused, write_json, write_whole
from training.loop.stages import Stage, stages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fimble.clock import Clock
    from training.loop.recipe import LoopRecipe

RECORD_NAME = "loop.json"


class StageFailedError(EngineError):
    """A stage ended with an error that is not the user's."""


class Loop:
    """A loop in its folder; `run` goes on where it was left."""

    def __init__(self, recipe: LoopRecipe, out: Path, *, clock: Clock) -> None:
        """Open a loop, or begin one.

        Args:
            recipe: What it does.
            out: Its folder.
            clock: Says how long stages take, and on which day experiments begin.

        Raises:
            InputError: The folder holds something else.
        """
        self._recipe = recipe
        self._out = out
        self._clock = clock
        self._path = out / RECORD_NAME
        self.record: dict[str, Any]
        if self._path.exists():
            self.record = json.loads(self._path.read_text(encoding="utf-8"))
        else:
            check_unused(out)
            day = datetime.fromtimestamp(clock.wall_ms() / 1000, UTC).date().isoformat()
            self.record = {"name": recipe.name, "day": day, "stages": []}

    def run(self, say: Callable[[str], None]) -> dict[str, Any]:
        """Run what is left, and return the record.

        Args:
            say: Is told each stage.

        Raises:
            InputError: A stage refuses what the recipe says, or that has changed since it ran.
            StageFailedError: It ended for another reason.
        """
        today = date.fromisoformat(self.record["day"])
        for stage in stages(self._recipe, self._out.resolve(), self.result, today):
            digest = _digest(stage)
            done = {each["name"]: each for each in self.record["stages"]}.get(stage.name)
            if done is None:
                say(f"{stage.name} ...")
                seconds = self._run(stage)
                self.record["stages"].append(
                    {"name": stage.name, "digest": digest, "seconds": round(seconds, 1)}
                )
                write_json(self._path, self.record)
                say(f"{stage.name}: {seconds:.0f} s")
            elif done["digest"] != digest:
                raise InputError(
                    f"{self._out}: the recipe of the stage {stage.name!r} has changed since it "
                    "ran; name another folder"
                )
        return self.record

    def result(self, name: str) -> dict[str, Any]:
        """Return what a finished stage printed."""
        return json.loads((self._out / "results" / f"{name}.json").read_text(encoding="utf-8"))

    def _run(self, stage: Stage) -> float:
        """Run one stage, and return how many seconds it took."""
        command = [sys.executable, "-m", "fimble", *stage.command]
        if stage.recipe is not None:
            recipe = self._out / "recipes" / f"{stage.name}.toml"
            write_whole(recipe, tomlkit.dumps(stage.recipe).encode())
            at = 3 + next(n for n, word in enumerate(stage.command) if word == "--out")
            command.insert(at, str(recipe))
        if stage.registration is not None:
            path, table = stage.registration
            write_whole(path, tomlkit.dumps(table).encode())
        if stage.prints_json:
            command.append("--json")
        log_path = self._out / "logs" / f"{stage.name}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        started_ms = self._clock.monotonic_ms()
        with log_path.open("ab") as log:
            environment = {**os.environ, **stage.environment}
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=log, env=environment, check=False
            )
        if done.returncode:
            raise _failed(stage, done.returncode, log_path)
        if stage.prints_json:
            write_json(self._out / "results" / f"{stage.name}.json", json.loads(done.stdout))
        return (self._clock.monotonic_ms() - started_ms) / 1000


def _digest(stage: Stage) -> str:
    """Return a hash of all that a stage is told."""
    told = [stage.command, stage.recipe, stage.registration]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _failed(stage: Stage, code: int, log: Path) -> Exception:
    """Return the error of a stage that did not end well, with its last words."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    message = f"the stage {stage.name!r} failed: {last.removeprefix('fimble: ')} (see {log})"
    return InputError(message) if code == 2 else StageFailedError(message)
