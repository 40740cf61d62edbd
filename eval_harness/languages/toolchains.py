"""Looking for toolchains: where a program lies, which version it says, what installs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages.language import Toolchain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_VERSION_TIMEOUT_S = 60
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@cache
def program(*names: str) -> Path | None:
    """Return the real path of the first of these programs that is there."""
    for name in names:
        if found := shutil.which(name):
            return Path(found).resolve()
    return None


@cache
def says(*argv: str | Path) -> str:
    """Return what a command prints, both outputs together; empty where it fails."""
    try:
        done = subprocess.run(
            [str(each) for each in argv],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C", "NO_COLOR": "1"},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return _ANSI.sub("", done.stdout + done.stderr).strip() if done.returncode == 0 else ""


def first_line(text: str) -> str:
    """Return the first line that holds something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def toolchain(
    version: str, lacking: Mapping[str, str], *, by: str = "apt-get install --yes"
) -> Toolchain:
    """Return what a machine has for a language.

    Args:
        version: As the toolchain says; empty where it cannot be used.
        lacking: What is not there, and the package that brings it.
        by: The command that installs packages.
    """
    packages = dict.fromkeys(filter(None, lacking.values()))
    install = f"{by} {' '.join(packages)}" if packages else ""
    return Toolchain(version, tuple(lacking), install)


def existing(paths: Iterable[Path | str]) -> tuple[Path, ...]:
    """Return those paths that exist, with what they link to, each once."""
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.exists():
            found[path] = None
            found[path.resolve()] = None
    return tuple(found)
