"""Real HTTP servers of the tests: on a port of the loopback interface, on a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")
_TIMEOUT_S = 10


@asynccontextmanager
async def listening(
    app: web.Application, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve an application on a free port while the block runs; yield its base URL."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        yield f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@contextmanager
def on_a_thread(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Keep a server open on another thread while the block runs."""
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def result(of: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(of, loop).result(_TIMEOUT_S)

    try:
        yield result(stack.enter_async_context(server))
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_TIMEOUT_S)
        loop.close()
