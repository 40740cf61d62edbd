"""The process that an editor starts: standard input and output, signals, the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from fimble.paths import state_dir
from lsp_server.features import make_server
from lsp_server.logs import start_log
from lsp_server.reading import Reading
from lsp_server.stdio import Writer, claim_stdout, read_from

LOG_NAME = "lsp.log"


def serve() -> int:
    """Serve one editor until it leaves; return 0 if it said goodbye."""
    listener = start_log(state_dir() / LOG_NAME)
    try:
        return asyncio.run(_serve(claim_stdout()))
    finally:
        if listener is not None:
            listener.stop()


async def _serve(stdout: int) -> int:
    server = make_server()
    writer = Writer(stdout)
    server.protocol.set_writer(writer)
    current = asyncio.current_task()
    assert current is not None
    with contextlib.suppress(NotImplementedError, ValueError):  # Windows has no such handlers
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
    reading = Reading(server)
    read_from(sys.stdin.fileno(), reading.take)
    try:
        return await reading.ended
    except asyncio.CancelledError:
        return 1
    finally:
        await server.end()
        writer.close()
