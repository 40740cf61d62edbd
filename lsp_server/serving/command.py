"""`fimble serve`: the embedded engine behind TGI's HTTP API."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.paths import model_dir
from lsp_server.engines.embedded import CACHE_BYTES
from lsp_server.serving.process import ServeOptions, serve

if TYPE_CHECKING:
    import argparse

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 3000
"""TGI's own default."""
API_KEY_VARIABLE = "FIMBLE_API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own arguments."""
    parser.add_argument("--model", metavar="DIR", help="model folder, or name of a shipped model")
    parser.add_argument("--host", default=DEFAULT_HOST, help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (%(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="0 means half of the cores"
    )
    parser.add_argument(
        "--cache-mb",
        type=int,
        default=CACHE_BYTES // 2**20,
        metavar="N",
        help="memory for the keys and values of open files, MiB (%(default)s)",
    )
    parser.add_argument(
        "--api-key",
        default="",
        metavar="KEY",
        help=f"bearer token that clients must send; better given as {API_KEY_VARIABLE}",
    )
    parser.add_argument(
        "--idle-exit-s",
        type=int,
        default=0,
        metavar="N",
        help="end after N seconds without a request; 0 means never",
    )
    parser.add_argument(
        "--announce",
        type=Path,
        metavar="FILE",
        help="write address and token there, for other processes of this user",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes; return the exit code."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s"
    )
    options = ServeOptions(
        model_folder=model_dir(arguments.model),
        host=arguments.host,
        port=arguments.port,
        num_threads=arguments.threads,
        cache_mb=arguments.cache_mb,
        api_key=arguments.api_key or os.environ.get(API_KEY_VARIABLE, ""),
        idle_exit_s=arguments.idle_exit_s,
        announce=arguments.announce,
    )
    asyncio.run(serve(options))
    return 0
