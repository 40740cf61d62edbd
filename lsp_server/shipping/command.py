"""`fimble ship`: send recorded segments to the collector that `fimble.toml` names.

The language server starts one such process a machine where a collector is configured; it ends when
no editor has recorded anything for a while. A second one finds the lock taken and ends at once.
"""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import os
import ssl
import sys
from typing import TYPE_CHECKING

from fimble.errors import ConfigError, InputError
from fimble.locks import try_lock
from fimble.paths import spool_dir, state_dir
from fimble.settings import load_settings
from lsp_server.shipping.shipper import Destination, Shipper

if TYPE_CHECKING:
    import argparse

    from fimble.settings import TelemetrySettings

EVERY_S = 30.0
IDLE_EXIT_S = 300.0
LOG_BYTES = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how long to go on."""
    parser.add_argument("--once", action="store_true", help="send what is there, and end")


def run(arguments: argparse.Namespace) -> int:
    """Send; return 0, or 1 if something is left.

    Raises:
        InputError: No collector is configured, or its certificate authority cannot be read.
    """
    settings = load_settings().telemetry
    destination = destination_of(settings)
    shipper = Shipper(spool_dir(), destination, seed=os.getpid())
    if arguments.once:
        num_left = asyncio.run(shipper.ship_once())
        sys.stdout.write(f"{num_left} segments left\n" if num_left else "all segments are sent\n")
        return 1 if num_left else 0
    state_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(state_dir() / "ship.lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not try_lock(descriptor):
        return 0
    _start_log()
    asyncio.run(shipper.ship_all_along(every_s=EVERY_S, idle_exit_s=IDLE_EXIT_S))
    return 0


def destination_of(settings: TelemetrySettings) -> Destination:
    """Return where segments go.

    Raises:
        InputError: No collector is configured, or its certificate authority cannot be read.
    """
    if not settings.collector_url:
        raise ConfigError("telemetry.collector_url is not set in fimble.toml: nothing is sent")
    token = os.environ.get(settings.collector_token_variable, "")
    if not token:
        raise ConfigError(
            f"the environment variable {settings.collector_token_variable} is not set; it must "
            "hold the token of the collector"
        )
    tls = None
    if settings.collector_ca_file:
        try:
            tls = ssl.create_default_context(cafile=settings.collector_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                f"cannot read the certificate authority {settings.collector_ca_file}: {error}"
            ) from error
    return Destination(url=settings.collector_url, token=token, tls=tls)


def _start_log() -> None:
    path = state_dir() / "ship.log"
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    logging.basicConfig(
        handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
