"""Runs the commands of a document as a reader would: in order, in one shell, in a fresh folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from docs.site.blocks import ROOT, Block, blocks

BIN = Path(sys.executable).parent
COPIED = ("fimble", "training", "lsp_server", "eval_harness", "telemetry", "bench", "tests")
"""What a reader has at hand who stands in a copy of the repository, besides the models."""


class Ran(NamedTuple):
    """What came of it."""

    returncode: int
    last_block: str
    """Where it ended, as `path:line`."""
    output: str
    """Standard output and error, with the commands."""


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.is_shell and not block.not_run]


def run_page(page: Path, folder: Path, *, limit_s: float) -> Ran:
    """Execute every block that does not say why it is not.

    Args:
        page: From the root of the repository.
        folder: Empty; the commands run in it, and think that it is the repository.
        limit_s: For the whole page.
    """
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "models").symlink_to(ROOT / "models", target_is_directory=True)
    (folder / "home").mkdir()
    lines = ["set -euo pipefail"]
    for block in blocks(page):
        for name in block.files:  # at once: commands may stand above it
            (folder / name).write_text(block.text + "\n", encoding="utf-8")
        if block.is_shell and not block.not_run:
            lines += [f"echo '@@ {page}:{block.line}'", *block.first, block.text]
    log = folder / "output.log"
    with log.open("w") as output:
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
        )
    text = log.read_text(errors="replace")
    marks = [line.removeprefix("@@ ") for line in text.splitlines() if line.startswith("@@ ")]
    return Ran(done.returncode, marks[-1] if marks else "", text)


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment with the project's programs, and a home of its own."""
    kept = {"LANG", "LC_ALL", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"}
    environment = {name: value for name, value in os.environ.items() if name in kept}
    home = folder / "home"
    return environment | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "FIMBLE_DATA_DIR": str(home / "data"),
        "FIMBLE_STATE_DIR": str(home / "state"),
        "FIMBLE_CACHE_DIR": str(home / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
