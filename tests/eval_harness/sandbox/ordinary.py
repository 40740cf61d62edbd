"""Runs a piece of Python as a user without any right of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
NOBODY = 65534
_IDS = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def as_ordinary_user(code: str, *arguments: str, folder: Path) -> dict[str, object]:
    """Return the JSON document that some code prints; skip where there is no way to run it.

    Args:
        code: May import from the checkout and from the folder of these tests.
        arguments: Of the code.
        folder: Made for it, below `/tmp`, and removed.
    """
    interpreter = _interpreter()
    if os.geteuid() != 0 or interpreter is None:
        pytest.skip("needs root, setpriv, and a Python and a checkout that everybody may read")
    folder.mkdir()
    shutil.chown(folder, NOBODY, NOBODY)
    places = [str(REPOSITORY), str(Path(__file__).parent)]
    start = f"import sys; sys.path[:0] = {places!r}; {code}"
    try:
        done = subprocess.run(
            ["setpriv", *_IDS, interpreter, "-B", "-c", start, *arguments, str(folder)],
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
            cwd="/",
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    if "missing" in found:
        pytest.skip(str(found["missing"]))
    return found


def _interpreter() -> str | None:
    """Return a Python, ours or newer, which an ordinary user may start and read this checkout."""
    if not shutil.which("setpriv"):
        return None
    # The first start may still have a right of root's; what it starts has not.
    check = (
        "import platform, subprocess, sys; "
        f"open({str(Path(__file__))!r}).close(); "
        "subprocess.run([sys.executable, '-c', ''], check=True); "
        "sys.exit(sys.version_info < (3, 11))"
    )
    for candidate in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        if Path(candidate).exists():
            command = ["setpriv", *_IDS, candidate, "-c", check]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return candidate
    return None
