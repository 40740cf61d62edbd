"""`fimble lsp`: the language server on standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from typing import TYPE_CHECKING

from pygls.io_ import run_async

from fimble.paths import state_dir
from lsp_server.features import make_server
from lsp_server.logs import start_log
from lsp_server.stdio import WriterThread, claim_stdout, read_from

if TYPE_CHECKING:
    import argparse

LOG_NAME = "lsp.log"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what editors pass by habit."""
    parser.add_argument("--stdio", action="store_true", help="the only transport, and the default")


def run(arguments: argparse.Namespace) -> int:
    """Serve one editor until it leaves; return 0 if it said goodbye."""
    del arguments
    listener = start_log(state_dir() / LOG_NAME)
    try:
        return asyncio.run(_serve(claim_stdout()))
    finally:
        if listener is not None:
            listener.stop()


async def _serve(stdout: int) -> int:
    server = make_server()
    writer = WriterThread(stdout)
    server.protocol.set_writer(writer)
    current = asyncio.current_task()
    assert current is not None
    with contextlib.suppress(NotImplementedError, ValueError):  # Windows has no such handlers
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
    exit_code = 1
    try:
        await run_async(
            stop_event=threading.Event(),
            reader=read_from(sys.stdin.fileno()),
            protocol=server.protocol,
            error_handler=server.report_server_error,
        )
    except SystemExit as left:  # pygls leaves so at `exit`
        exit_code = left.code if isinstance(left.code, int) else 1
    except (asyncio.CancelledError, asyncio.IncompleteReadError):
        exit_code = 1
    finally:
        await server.end()
        writer.close()
    return exit_code
