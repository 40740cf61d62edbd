"""What is built once from a toolchain and kept: precompiled headers, libraries, launchers.

Each lies in a folder of fimble's cache that is named by a digest of everything it depends on, is
built beside its place and appears whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.sandbox.job import SandboxError
from fimble.paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_BUILD_TIMEOUT_S = 600


def toolchains_dir() -> Path:
    """Return the folder of everything that is built or installed for toolchains."""
    return cache_dir() / "toolchains"


def artefact(name: str, *key: str, build: Callable[[Path], None]) -> Path:
    """Return the folder of an artefact, building it where it is missing.

    Args:
        name: What it is, for people.
        key: Everything it depends on: versions, flags, texts.
        build: Fills an empty folder.

    Raises:
        SandboxError: It cannot be built.
    """
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
    place = toolchains_dir() / f"{name}-{digest}"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{name}.lock").open("w") as lock:
        # Several processes may want it at once: the others wait for the first.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.is_dir():
            return place
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=place.parent))
        try:
            build(unfinished)
            unfinished.chmod(0o755)
            unfinished.rename(place)
        except (OSError, subprocess.SubprocessError) as error:
            raise SandboxError(f"{name} cannot be built in {place.parent}: {error}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return place


def build_command(
    argv: Sequence[str | Path], folder: Path, *, env: Mapping[str, str] | None = None
) -> str:
    """Run a trusted command on our own texts, outside of any sandbox; return what it printed.

    Raises:
        SandboxError: It failed.
    """
    try:
        done = subprocess.run(
            [str(each) for each in argv],
            check=False,
            cwd=folder,
            env=None if env is None else dict(env),
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(f"{argv[0]} cannot be run: {error}") from error
    if done.returncode != 0:
        raise SandboxError(f"{argv[0]} failed on our own files: {done.stderr.strip()[-1500:]}")
    return done.stdout


@cache
def launcher(name: str) -> bytes:
    """Return the text of one of our launchers."""
    return (files("eval_harness.languages") / "launchers" / name).read_bytes()
