"""The server's process: socket, model, signals, announcement, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from fimble.clock import SystemClock
from fimble.errors import ConfigError
from lsp_server.engines.announcement import Announcement, lock_path, write_announcement
from lsp_server.engines.embedded import EmbeddedEngine
from lsp_server.engines.file_lock import FileLock
from lsp_server.serving.api import Api
from lsp_server.serving.front import Front
from lsp_server.serving.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Generator

logger = logging.getLogger(__name__)

LOCK_ATTEMPTS = 50
"""A prober holds the lock for an instant; who still holds it after a second is an engine."""
LOCK_PAUSE_S = 0.02
SHUTDOWN_S = 0.3
"""Requests under way get so long when the server is told to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What `fimble serve` was asked for."""

    model_folder: Path
    host: str
    port: int
    """0 takes a free one."""
    num_threads: int
    """0 means half of the cores."""
    cache_mb: int
    """Memory for the keys and values of open files, MiB."""
    api_key: str
    """Empty means none, or with `announce` one that is made up."""
    idle_exit_s: int
    """End after so long without a request; 0 means never."""
    announce: Path | None
    """File that tells other processes of the user where the server is."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port is {self.port}; it must be 0 to 65535")
        if self.num_threads < 0 or self.idle_exit_s < 0:
            raise ConfigError("--threads and --idle-exit-s must be 0 or more")
        if self.cache_mb < 1:
            raise ConfigError(f"--cache-mb is {self.cache_mb}; it must be 1 or more")


async def serve(options: ServeOptions) -> None:
    """Serve until a signal or idleness ends it.

    Raises:
        ConfigError: The address cannot be had, or another engine holds the announcement.
        ModelFolderError: The model cannot be served.
    """
    with _alone(options.announce), contextlib.closing(_bound_socket(options)) as listening:
        engine = EmbeddedEngine(
            options.model_folder,
            num_threads=options.num_threads or _default_threads(),
            cache_bytes=options.cache_mb * 2**20,
        )
        context_tokens = engine.manifest.context_tokens
        limits = Limits(max_input_tokens=context_tokens - 1, max_total_tokens=context_tokens)
        front = Front(engine, limits, SystemClock())
        api_key = options.api_key
        if options.announce is not None:
            api_key = api_key or secrets.token_urlsafe(32)
        front.start()
        try:
            await _run(front, listening, api_key, options)
        finally:
            front.stop()


async def _run(front: Front, listening: socket.socket, api_key: str, options: ServeOptions) -> None:
    # Cancelling handlers is how a client that went away stops its generation.
    runner = web.AppRunner(
        Api(front, api_key=api_key).application(),
        access_log=None,
        handler_cancellation=True,
        handle_signals=False,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    await web.SockSite(runner, listening).start()
    url = _url(listening)
    manifest = front.engine.manifest
    logger.info("%s (%s) listens on %s", manifest.name, manifest.digest, url)
    if options.announce is not None:
        write_announcement(
            options.announce,
            Announcement(url=url, token=api_key, model_digest=manifest.digest, pid=os.getpid()),
        )
    try:
        await _until_the_end(front, options.idle_exit_s)
    finally:
        if options.announce is not None:
            options.announce.unlink(missing_ok=True)
        await runner.cleanup()


async def _until_the_end(front: Front, idle_exit_s: int) -> None:
    """Return when a signal comes, or when nobody asked for long enough."""
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there SIGINT raises
            asyncio.get_running_loop().add_signal_handler(number, ending.set)
    while not ending.is_set():
        left_s = idle_exit_s - front.idle_ms / 1000
        if idle_exit_s and left_s <= 0:
            logger.info("no request for %d s: the engine ends", idle_exit_s)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), left_s if idle_exit_s else None)
    logger.info("the engine was told to end")


@contextlib.contextmanager
def _alone(announce: Path | None) -> Generator[None]:
    """Hold the lock of an announcement.

    Raises:
        ConfigError: Another engine holds it.
    """
    if announce is None:
        yield
        return
    lock = FileLock(lock_path(announce))
    if not any(_tried(lock) for _ in range(LOCK_ATTEMPTS)):
        raise ConfigError(f"another engine announces itself in {announce}")
    try:
        yield
    finally:
        lock.release()


def _tried(lock: FileLock) -> bool:
    if lock.try_acquire():
        return True
    time.sleep(LOCK_PAUSE_S)
    return False


def _bound_socket(options: ServeOptions) -> socket.socket:
    """Return a socket at the address, before the model takes its time to load.

    Raises:
        ConfigError: The address cannot be had.
    """
    where = f"port {options.port} of {options.host}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen on {where}: {error.strerror}") from error
    try:
        if os.name == "posix":  # elsewhere the option would let two servers share the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"{where} is in use by another process; choose another with --port"
            ) from error
        raise ConfigError(f"cannot listen on {where}: {error.strerror}") from error
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _default_threads() -> int:
    """Return half of the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // 2)
