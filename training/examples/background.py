"""Builds the rows of one epoch in processes of its own, while training reads another.

Run as `python -m training.examples.background PLAN [INDEX]`: without INDEX it starts the other
processes of the epoch. Each ends when its standard input does: whatever ends the training run.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.errors import FimbleError
from training.examples.shards import build_share, is_built, mark_built

if TYPE_CHECKING:
    from training.examples.shards import EpochPlan

_PLAN_NAME = "plan.pickle"


def build_epoch(plan: EpochPlan) -> None:
    """Build what is missing of one epoch, on `recipe.jobs` processes.

    Raises:
        FimbleError: One of them failed; its own message went to standard error.
    """
    if is_built(plan.folder):
        return
    plan.folder.mkdir(parents=True, exist_ok=True)
    helpers = [_started(plan, index) for index in range(1, plan.recipe.jobs)]
    try:
        build_share(plan, 0, plan.recipe.jobs)
        failed = [helper for helper in helpers if helper.wait()]
    finally:
        for helper in helpers:
            with helper:
                helper.kill()
    if failed:
        raise FimbleError(f"drawing the rows of epoch {plan.epoch} failed; see the message above")
    mark_built(plan)


def start_epoch(plan: EpochPlan) -> subprocess.Popen[bytes]:
    """Start to build an epoch at low priority, in a group of processes that can be ended whole."""
    return _started(plan, None)


def _started(plan: EpochPlan, index: int | None) -> subprocess.Popen[bytes]:
    plan.folder.mkdir(parents=True, exist_ok=True)
    path = plan.folder / _PLAN_NAME
    path.write_bytes(pickle.dumps(plan))
    command = [
        sys.executable,
        "-m",
        __spec__.name,
        str(path),
        *([] if index is None else [str(index)]),
    ]
    return subprocess.Popen(command, start_new_session=index is None, stdin=subprocess.PIPE)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Build the epoch of a pickled plan, or one process's share of it; training goes first."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    plan = pickle.loads(Path(arguments[0]).read_bytes())  # noqa: S301 - written by our own parent
    if len(arguments) > 1:
        build_share(plan, int(arguments[1]), plan.recipe.jobs)
    else:
        os.nice(10)
        build_epoch(plan)


if __name__ == "__main__":
    main(sys.argv[1:])
