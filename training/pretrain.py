"""Pretraining: from rows of tokens to a model folder.

The clock decides: a schedule in seconds ends its decay before the deadline, whatever the speed of
the machine. A schedule in steps is bit-exact: killed and resumed, it gives the same weights.

Run on one device by `fimble train RECIPE --out DIR`, on several by `torchrun` with this module. It
loads nothing heavy by itself, for the processes that it starts import it again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.config import read_toml
from fimble.errors import FimbleError
from training.recipe import PretrainRecipe

if TYPE_CHECKING:
    from fimble.clock import Clock


def pretrain(recipe: PretrainRecipe, out: Path, *, clock: Clock | None = None) -> Path:
    """Train a model and return its Hugging Face folder; goes on where an earlier run ended.

    Args:
        recipe: The run.
        out: Folder for rows, checkpoint, records (see `training.run_log`), `scores.json`, `model/`.
        clock: The run's time.

    Raises:
        ConfigError: The recipe cannot be run here, or `out` holds another run.
        UnstableTrainingError: The loss jumped, or was no number, more often than the recipe allows.
    """
    from training.run import Run

    run = Run(recipe, out, clock or SystemClock())
    try:
        run.train()
        return run.finish()
    finally:
        run.close()


def main(arguments: list[str]) -> int:
    """Train the recipe of the first argument into the folder of the second; an exit code."""
    try:
        pretrain(read_toml(PretrainRecipe, Path(arguments[0])), Path(arguments[1]))
    except FimbleError as error:
        sys.stderr.write(f"fimble: {error}\n")
        return 2
    return 0


if __name__ == "__main__":  # torchrun starts processes by module
    raise SystemExit(main(sys.argv[1:]))
