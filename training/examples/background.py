"""Builds the rows of one epoch in a process of its own, while training reads another.

Run by `training.pretrain` as `python -m training.examples.background PLAN`.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from training.examples.shards import build_epoch


def main(plan: Path) -> None:
    """Build the epoch that the pickled arguments of `build_epoch` describe; training goes first."""
    os.nice(10)
    build_epoch(*pickle.loads(plan.read_bytes()))  # noqa: S301 - written by our own parent process


if __name__ == "__main__":
    main(Path(sys.argv[1]))
