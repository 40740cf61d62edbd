"""Fetch a Neovim with inline completion from the Debian mirror that this machine already uses.

Neovim 0.12 is newer than what stable distributions carry. The packages of a newer Debian suite are
downloaded by `apt-get` itself, with state, cache and sources of its own, and unpacked into a
private folder; nothing of the system's package state is read or changed. The unpacked program is
told by `patchelf`, from the same suite, to run with the dynamic loader and the libraries that were
unpacked with it. To start that loader with the program's name would be enough for a Neovim without
a screen, but one with a screen starts itself a second time, and would start the loader.

    python tests/neovim/fetch.py build/neovim
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.locks import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITES = ("forky", "sid")
APT_SOURCES = Path("/etc/apt")
_ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$")
LAUNCHER = """#!/bin/sh
# Runs the unpacked Neovim with the runtime files that were unpacked with it.
here={root}
export VIMRUNTIME="$here/usr/share/nvim/runtime"
export LUA_CPATH="{modules}/?.so;;"
export LUA_PATH="$here/usr/share/lua/5.1/?.lua;;"
exec "$here/usr/bin/nvim" "$@"
"""


class CannotFetchError(Exception):
    """Neovim cannot be had on this machine; the message says why."""


def fetch(prefix: Path) -> Path:
    """Return the path of a runnable `nvim` under `prefix`, fetched if it is not there yet.

    Raises:
        CannotFetchError: There is no Debian mirror, or it does not answer.
    """
    launcher = prefix / "nvim"
    with _locked(prefix):
        return launcher if launcher.exists() else _fetch(prefix)


@contextlib.contextmanager
def _locked(prefix: Path) -> Iterator[None]:
    """Let one process fetch: what another unpacked again would change under a running program."""
    prefix.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(prefix / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not try_lock(descriptor):
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _fetch(prefix: Path) -> Path:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise CannotFetchError("apt-get and dpkg-deb are needed to fetch Neovim")
    mirrors = debian_mirrors(APT_SOURCES)
    if not mirrors:
        raise CannotFetchError(f"{APT_SOURCES} names no Debian mirror")
    reasons = []
    for mirror in mirrors:
        for suite in SUITES:
            try:
                packages = _download(prefix / "apt", mirror, suite)
            except CannotFetchError as error:
                reasons.append(f"{suite}: {error}")
                continue
            return _unpack(packages, prefix)
    raise CannotFetchError("; ".join(reasons))


def debian_mirrors(folder: Path) -> list[str]:
    """Return the addresses in apt's sources whose component `main` is Debian's own archive."""
    found: list[str] = []
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += _deb822(text) if path.suffix == ".sources" else _one_line(text)
    # The archive ends in /debian; /debian-security and vendors' own archives have no newer suites.
    return list(dict.fromkeys(u for u in found if u.rstrip("/").endswith("/debian")))


def _deb822(text: str) -> list[str]:
    uris: list[str] = []
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == "uris":
            uris += value.split()
    return uris


def _one_line(text: str) -> list[str]:
    return [match.group(1) for line in text.splitlines() if (match := _ONE_LINE.match(line))]


def _download(folder: Path, mirror: str, suite: str) -> list[Path]:
    """Return Neovim and everything it needs as package files, resolved for an empty system."""
    folder = folder.absolute()
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb {mirror} {suite} main\n", encoding="utf-8")
    options = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Debug::NoLocking": "1",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-q", "-y", *(f"-o{key}={value}" for key, value in options.items())]
    for command in (
        [*apt, "update"],
        [*apt, "install", "--download-only", "--no-install-recommends", "neovim", "patchelf"],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            raise CannotFetchError("the mirror does not answer") from None
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise CannotFetchError("".join(last))
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def _unpack(packages: list[Path], prefix: Path) -> Path:
    """Unpack the packages and return the script that starts Neovim."""
    root = (prefix / "root").absolute()
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True, timeout=120)
    loaders = sorted(path for path in root.rglob("ld-linux*.so.*") if path.is_file())
    modules = sorted(root.glob("usr/lib/*/lua/5.1"))
    if not loaders or not modules or not (root / "usr/bin/nvim").exists():
        raise CannotFetchError("the packages hold no Neovim for this processor")
    _bind(root, loaders[0])
    launcher = prefix / "nvim"
    launcher.write_text(LAUNCHER.format(root=root, modules=modules[0]), encoding="utf-8")
    launcher.chmod(0o755)
    return launcher


def _bind(root: Path, loader: Path) -> None:
    """Write the unpacked loader and libraries into the program.

    Raises:
        CannotFetchError: `patchelf` does not run here.
    """
    libraries = ":".join(sorted({str(path.parent) for path in root.rglob("*.so.*")}))
    patchelf = [str(loader), "--library-path", libraries, str(root / "usr/bin/patchelf")]
    # An old-style path, which holds for what the libraries themselves need, too.
    places = ["--set-interpreter", str(loader), "--force-rpath", "--set-rpath", libraries]
    command = [*patchelf, *places, str(root / "usr/bin/nvim")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise CannotFetchError(done.stderr.strip() or "patchelf failed")


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1] if len(sys.argv) > 1 else "build/neovim")))  # noqa: T201
