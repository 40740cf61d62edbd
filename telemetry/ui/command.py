"""`fimble telemetry ui`: the notebooks, for a browser of this machine only."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import webbrowser
from importlib.resources import as_file, files
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fimble.errors import InputError
from telemetry.ui.waiting import wait_until_open

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

HOST = "127.0.0.1"
END_S = 3.0
NOTEBOOKS = ("acceptance", "latency", "retention", "backends", "experiment", "quality")
"""In the order in which they are listed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fimble telemetry ui`."""
    parser.add_argument("--port", type=int, default=0, help="of this machine; 0 takes a free one")
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, and open nothing"
    )


def run(arguments: argparse.Namespace) -> None:
    """Serve the notebooks until interrupted.

    Raises:
        InputError: The port is not one, is taken, or marimo is not installed.
    """
    if find_spec("marimo") is None:
        raise InputError(
            "`fimble telemetry ui` needs the package marimo, which is not installed; "
            "install the extra: pip install 'fimble[ui]'"
        )
    port = _free_port(arguments.port)
    token = secrets.token_urlsafe(24)
    with (
        as_file(files("telemetry.ui").joinpath("notebooks")) as folder,
        subprocess.Popen(
            _command(folder, port), stdin=subprocess.PIPE, env=_environment(), text=True
        ) as server,
    ):
        try:
            signal.signal(signal.SIGTERM, _interrupted)
            _start(server, port, token, opens=not arguments.no_browser)
            server.wait()
        finally:
            _end(server)


def _interrupted(number: int, frame: object) -> None:
    """End as with Ctrl-C, so that the server does not outlive us."""
    del number, frame  # whatever was interrupted
    raise KeyboardInterrupt


def _end(server: subprocess.Popen[str]) -> None:
    """End the server; it waits for open notebooks, which have nothing to save."""
    server.terminate()
    try:
        server.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        server.kill()


def _start(server: subprocess.Popen[str], port: int, token: str, *, opens: bool) -> None:
    """Hand over the token, and say where the notebooks are once they answer.

    Raises:
        InputError: The server ended instead.
    """
    assert server.stdin is not None
    server.stdin.write(token)
    server.stdin.close()
    if not wait_until_open(HOST, port, is_alive=lambda: server.poll() is None):
        raise InputError(f"marimo ended with code {server.poll()}; what it said stands above")
    address = f"http://{HOST}:{port}/?access_token={token}"
    sys.stdout.write(f"notebooks at {address}\nthey only read the store; Ctrl-C ends them\n")
    sys.stdout.flush()
    if opens:
        webbrowser.open(address)


def _command(folder: Path, port: int) -> list[str]:
    """Return the command of the server; the token comes by standard input, where nobody sees it."""
    options = ["--host", HOST, "--port", str(port), "--headless", "--no-check", "--no-sandbox"]
    secret = ["--token", "--token-password-file", "-"]
    paths = [os.fspath(folder / f"{name}.py") for name in NOTEBOOKS]
    return [sys.executable, "-m", "marimo", "-q", "run", *paths, *options, *secret]


def _environment() -> dict[str, str]:
    """Return the environment of the server, in which nothing asks for updates."""
    return {**os.environ, "MARIMO_SKIP_UPDATE_CHECK": "1"}


def _free_port(wanted: int) -> int:
    """Return a port that nobody listens at.

    Raises:
        InputError: The one that is wanted is not one, or is taken.
    """
    if not 0 <= wanted <= 65_535:
        raise InputError(f"--port is {wanted}; it must be 0 to 65535")
    with socket.socket() as listener:
        try:
            listener.bind((HOST, wanted))
        except OSError as error:
            raise InputError(f"port {wanted} of {HOST}: {error.strerror}") from error
        return int(listener.getsockname()[1])
