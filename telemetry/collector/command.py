"""`fimble telemetry collect`: run a collector."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.errors import InputError
from fimble.paths import data_dir
from telemetry.warehouse import Warehouse

if TYPE_CHECKING:
    import argparse

    from telemetry.collector.objects import ObjectFolder
    from telemetry.collector.service import Collector

MIN_TOKEN_CHARS = 16
_NAMED = re.compile(r"(?:(?P<name>[\w.@+-]{1,64}):\s+)?(?P<token>.+)")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add address, tokens, TLS and storage."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=8437, help="port; 0 takes a free one")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="spool and warehouse; else as of this user"
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        required=True,
        help="a token a line, or NAME: TOKEN for a sender of its own",
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    parser.add_argument(
        "--behind-proxy", action="store_true", help="a proxy speaks TLS: plain HTTP is wanted"
    )
    parser.add_argument("--store", metavar="URL", help="object storage, as s3://bucket/prefix")
    parser.add_argument("--merge-every-s", type=float, default=60.0, metavar="SECONDS")


def run(arguments: argparse.Namespace) -> int:
    """Collect until stopped; return 0.

    Raises:
        InputError: Tokens, certificate or storage cannot be used.
    """
    from telemetry.collector.service import Collector, CollectorSettings  # brings aiohttp

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    context = tls_context(arguments)
    folder = (arguments.data or data_dir()).absolute()
    objects = _objects(arguments.store) if arguments.store else None
    settings = CollectorSettings(
        tokens=read_tokens(arguments.token_file),
        merge_every_s=arguments.merge_every_s,
    )
    try:
        if objects is not None and not (folder / "warehouse").exists():
            from telemetry.collector.objects import restore

            restore(objects, folder, Warehouse(folder / "warehouse"))
        collector = Collector(folder, settings, SystemClock(), objects=objects)
        asyncio.run(_serve(folder, collector, arguments, context))
    except OSError as error:
        raise InputError(f"cannot collect into {folder}: {error}") from error
    return 0


def _objects(url: str) -> ObjectFolder:
    """Return the object storage at an address.

    Raises:
        InputError: It is no such address, or the package for it is not installed.
    """
    try:
        from telemetry.collector.objects import ObjectFolder
    except ModuleNotFoundError as error:
        raise InputError(
            f"--store needs the package {error.name}, which is not installed; "
            "install the extra: pip install 'fimble[objects]'"
        ) from error
    return ObjectFolder.at(url)


def read_tokens(path: Path) -> dict[str, str]:
    """Return the tokens in a file with the names of their senders; empty where a line has none.

    Raises:
        InputError: It cannot be read, or a token is too short to be a secret.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read tokens from {path}: {error}") from error
    found = [_NAMED.fullmatch(line.strip()) for line in lines if line.strip()]
    tokens = {match["token"]: match["name"] or "" for match in found if match}
    if not tokens or any(len(token) < MIN_TOKEN_CHARS for token in tokens):
        raise InputError(
            f"{path} must hold a token a line, or NAME: TOKEN; each of {MIN_TOKEN_CHARS} "
            "characters or more"
        )
    if len(tokens) < len(found):
        raise InputError(f"{path} holds a token twice; each belongs to one sender")
    return tokens


def tls_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """Return what TLS needs; None where plain HTTP is meant.

    Raises:
        InputError: The address is not this machine and nothing encrypts, or the files do not fit.
    """
    if arguments.tls_cert is None:
        if arguments.host not in _LOOPBACK and not arguments.behind_proxy:
            raise InputError(
                f"{arguments.host} can be reached from outside: give --tls-cert and --tls-key, "
                "or --behind-proxy where a proxy speaks TLS"
            )
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"cannot use the certificate {arguments.tls_cert}: {error}") from error
    return context


async def _serve(
    folder: Path,
    collector: Collector,
    arguments: argparse.Namespace,
    context: ssl.SSLContext | None,
) -> None:
    """Serve until a signal comes; say on standard output where."""
    from aiohttp import web

    from telemetry.collector.service import make_app

    app = make_app(collector)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        site = web.TCPSite(runner, arguments.host, arguments.port, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        scheme = "https" if context else "http"
        sys.stdout.write(f"collecting at {scheme}://{arguments.host}:{port} into {folder}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()
