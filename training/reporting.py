"""The log of a run in TensorBoard, Weights & Biases, MLflow or Trackio.

The trackers are those of accelerate, which transformers' own trainer builds on. They run in a
process of their own that is fed through a pipe: a tracking server that is slow, gone or never
answers costs training nothing but a warning at the end, and nothing a tracker does to a process is
done to one that trains.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from fimble.errors import ConfigError
from fimble.files import write_json
from training.corpus.tracking import MLFLOW_ALWAYS, MLFLOW_DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from accelerate.tracking import GeneralTracker

    from training.recipe import PretrainRecipe

_LOG = logging.getLogger(__name__)

LIMIT_S = 60.0
"""Longest time that trackers may take after the end of a run."""
PROJECT = "fimble"
"""Project or experiment of the runs."""
TRACKERS_NAME = "trackers.json"
OUTPUT_NAME = "trackers.txt"
_PACKAGES = {
    "tensorboard": ("tensorboardX", "tensorboard"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "trackio": ("trackio",),
}
_OF_TORCHRUN = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)
"""What would make the process of the trackers wait for the other processes of the run."""


class Setup(NamedTuple):
    """What the process of the trackers is told first; travels as JSON."""

    trackers: list[str]
    name: str
    folder: str
    settings: dict[str, Any]


def check_trackers(names: tuple[str, ...]) -> None:
    """Refuse trackers that cannot be had, before anything starts.

    Raises:
        ConfigError: One is unknown, not installed, or has nowhere to write to.
    """
    for name in names:
        if name not in _PACKAGES:
            raise ConfigError(f"report_to has {name!r}; allowed are {', '.join(_PACKAGES)}")
        packages = _PACKAGES[name]
        if not any(importlib.util.find_spec(package) for package in packages):
            raise ConfigError(
                f"report_to has {name!r}, but it is not installed: pip install {packages[0]}"
            )
    if "mlflow" in names and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise ConfigError(
            "report_to has 'mlflow', but MLFLOW_TRACKING_URI does not say where runs go"
        )


class Reporter:
    """Feeds the trackers of a run; calling it with a line of the log returns at once."""

    def __init__(self, recipe: PretrainRecipe, out: Path) -> None:
        """Start the trackers that the recipe names, if any.

        Args:
            recipe: The run.
            out: Its folder.
        """
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._output = out / OUTPUT_NAME
        self._names = recipe.report_to
        if not self._names:
            return
        settings = dict(_flattened(dataclasses.asdict(recipe)))
        setup = Setup(list(self._names), recipe.name, str(out.absolute()), settings)
        self._lines.put(json.dumps(setup._asdict()))
        kept = {k: v for k, v in os.environ.items() if k not in _OF_TORCHRUN}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**MLFLOW_DEFAULTS, **kept, **MLFLOW_ALWAYS},
                text=True,
            )
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    def __call__(self, line: Mapping[str, object]) -> None:
        """Report a line of the log, soon."""
        if self._names and "step" in line:
            self._lines.put(json.dumps(line))

    def close(self) -> None:
        """Wait until everything is reported, but not for ever; warn if it could not be."""
        if not self._names:
            return
        self._lines.put(None)
        try:
            code = self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._feeder.join()
        if code:
            _LOG.warning("reporting to %s failed; see %s", ", ".join(self._names), self._output)

    def _feed(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            with pipe:
                while (line := self._lines.get()) is not None:
                    pipe.write(f"{line}\n")
                    pipe.flush()
        except OSError:
            return  # the trackers are gone; `close` says so


def values_of(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of the log by the names that trackers show."""
    numbers = {f"train/{name}": value for name, value in line.items() if name != "step"}
    numbers |= {f"eval/{name}": value for name, value in line.get("scores", {}).items()}
    return {name: value for name, value in numbers.items() if isinstance(value, int | float)}


def _flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting of nested tables by its dotted name; lists and paths as text."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{key}.")
        elif value is None or isinstance(value, bool | int | float):
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", str(value)


def _main() -> None:
    """Report what comes on standard input."""
    from accelerate.state import PartialState

    PartialState(cpu=True)  # the cards are for training
    setup = Setup(**json.loads(sys.stdin.readline()))
    trackers = [_started(name, setup) for name in setup.trackers]
    for line in sys.stdin:
        content = json.loads(line)
        for tracker in trackers:
            tracker.log(values_of(content), step=content["step"])
    for tracker in trackers:
        tracker.finish()


def _started(name: str, setup: Setup) -> GeneralTracker:
    """Return a tracker that goes on with the run it began earlier, if any."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    path = Path(setup.folder) / TRACKERS_NAME
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    is_new = name not in known
    run_id = known.setdefault(name, f"{setup.name}-{uuid4().hex[:8]}")
    resumable = {"name": setup.name, "resume": "allow"}
    arguments: dict[str, dict[str, Any]] = {
        "tensorboard": {"run_name": setup.name, "logging_dir": f"{setup.folder}/tensorboard"},
        "wandb": {"run_name": PROJECT, "id": run_id, "dir": setup.folder, **resumable},
        "trackio": {"run_name": PROJECT, **resumable, "name": run_id},
        "mlflow": {
            "experiment_name": PROJECT,
            "run_name": setup.name,
            "run_id": None if is_new else run_id,
        },
    }
    tracker = LOGGER_TYPE_TO_CLASS[name](**arguments[name])
    tracker.start()
    if name == "mlflow":
        known[name] = _mlflow_id(tracker.tracker)
    write_json(path, known)
    if is_new:
        tracker.store_init_configuration(setup.settings)
    return tracker


def _mlflow_id(run: Any) -> str:  # noqa: ANN401 - a class of MLflow's, where it is installed
    return run.info.run_id


if __name__ == "__main__":
    _main()
