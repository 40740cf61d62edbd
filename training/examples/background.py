"""Builds the rows of one epoch in a process of its own, while training reads another.

Run by `training.feed` as `python -m training.examples.background PLAN`. It ends, and its own
processes with it, when its standard input does: whatever ends the training run.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from pathlib import Path

from training.examples.shards import build_epoch


def main(plan: Path) -> None:
    """Build the epoch that the pickled arguments of `build_epoch` describe; training goes first."""
    os.nice(10)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    build_epoch(*pickle.loads(plan.read_bytes()))  # noqa: S301 - written by our own parent process


def _end_with_parent() -> None:
    sys.stdin.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
