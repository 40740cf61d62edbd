"""One engine process a machine, shared by all editors: found, or started, or started again.

Who needs an engine looks for the announcement of a running one. If there is none, it takes the
starting lock, looks again and starts `fimble serve`; others wait for the lock and then find that
engine. The engine outlives whoever started it and ends by itself when nobody asks for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.errors import EngineUnavailableError, ModelFolderError
from fimble.fim import FORMATS
from fimble.manifest import load_manifest
from fimble.paths import model_dir, state_dir
from fimble.settings import BackendKind
from lsp_server.engines.announcement import lock_path, running_engine
from lsp_server.engines.connection import Server
from lsp_server.engines.file_lock import FileLock, is_locked
from lsp_server.engines.openai import CompletionsEngine
from lsp_server.engines.tgi import TgiEngine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fimble.clock import Clock
    from fimble.engine import Engine, EngineInfo, Finish, Query, Token
    from fimble.settings import EngineSettings
    from lsp_server.engines.announcement import Announcement

START_LIMIT_MS = 60_000
"""Reading and checking a large model from a slow disk takes a while."""
POLL_S = 0.02
PAUSES_S = (0.0, 0.1, 0.5)
"""Between attempts: an engine that was killed may hold its lock for a moment after its port."""
LONGEST_LOG_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLaunch:
    """Which engine to find or start."""

    model_folder: Path
    model_digest: str
    state_folder: Path
    """Where announcement, locks and log are; editors that share an engine share this folder."""
    threads: int = 0
    """As `fimble.settings.EngineSettings.threads`; whoever comes first decides."""
    idle_exit_s: int = 900

    @property
    def announce(self) -> Path:
        """Announcement of the engine.

        Its name holds the host, because homes may be shared between machines, and our version,
        because an engine of the last one may still run after an update.
        """
        parts = ("engine", socket.gethostname(), version("fimble"), self.model_digest)
        return self.state_folder / f"{'-'.join(parts)}.json"

    @property
    def log(self) -> Path:
        """What the engine prints; no code of users."""
        return self.announce.with_name(f"{self.announce.name}.log")


def engine_for(settings: EngineSettings) -> Engine:
    """Return the engine that a user configured; nothing is started before it is asked.

    Raises:
        ConfigError: The settings of the server contradict each other.
        ModelFolderError: There is no such model, or its manifest is broken.
    """
    settings.check_server()
    token = os.environ.get(settings.token_variable, "")
    fim_format = FORMATS[settings.fim_format]
    match settings.kind:
        case BackendKind.TGI:
            return TgiEngine(
                settings.server_url,
                token=token,
                fim_format=fim_format,
                uses_proxies=True,
                ca_file=settings.ca_file,
            )
        case BackendKind.OPENAI:
            server = Server(
                url=settings.server_url, token=token, ca_file=settings.ca_file, uses_proxies=True
            )
            return CompletionsEngine(server, fim_format=fim_format, model=settings.served_model)
        case BackendKind.EMBEDDED:
            return _embedded(settings)


def _embedded(settings: EngineSettings) -> SharedEngine:
    folder = model_dir(settings.model or None)
    launch = EngineLaunch(
        model_folder=folder,
        model_digest=load_manifest(folder, verify=False).digest,
        state_folder=state_dir(),
        threads=settings.threads,
        idle_exit_s=settings.idle_exit_s,
    )
    return SharedEngine(launch)


class SharedEngine:
    """Implements `fimble.engine.Engine` with the machine's one engine process."""

    def __init__(self, launch: EngineLaunch) -> None:
        self._launch = launch
        self._client: TgiEngine | None = None
        self._finding = asyncio.Lock()

    async def info(self) -> EngineInfo:
        """Return what the engine says about itself.

        Raises:
            EngineUnavailableError: The engine does not start.
            ModelFolderError: The engine refuses the model.
        """
        for pause_s in PAUSES_S:
            client = await self._connected()
            try:
                return await client.info()
            except EngineUnavailableError:
                await self._forget(client)
            await asyncio.sleep(pause_s)
        return await (await self._connected()).info()

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        """Yield tokens as they come, then one `Finish`; see `fimble.engine.Engine`.

        An engine that died since the last query is started again; one that dies in the middle of
        an answer is an error, and the next query starts it again.

        Raises:
            PromptTooLongError: The prompt and `max_new_tokens` exceed the context.
            EngineOverloadedError: The engine refuses work for now.
            EngineUnavailableError: The engine does not start, or went away.
            EngineError: The engine answered with any other error.
            ModelFolderError: The engine refuses the model.
        """
        for pause_s in (*PAUSES_S, None):
            client = await self._connected()
            has_begun = False
            try:
                async with contextlib.aclosing(client.stream(query)) as items:
                    async for item in items:
                        has_begun = True
                        yield item
            except EngineUnavailableError:
                await self._forget(client)
                if has_begun or pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
            else:
                return

    async def close(self) -> None:
        """Release connections; the engine goes on for others."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _connected(self) -> TgiEngine:
        async with self._finding:
            if self._client is None:
                found = await asyncio.to_thread(find_or_start, self._launch, SystemClock())
                manifest = load_manifest(self._launch.model_folder, verify=False)
                self._client = TgiEngine(
                    found.url, token=found.token, fim_format=FORMATS[manifest.fim_format]
                )
            return self._client

    async def _forget(self, client: TgiEngine) -> None:
        """Look for the engine again before the next query."""
        if self._client is client:
            self._client = None
        await client.close()


def find_or_start(launch: EngineLaunch, clock: Clock) -> Announcement:
    """Return where the engine is, once it answers. Blocks.

    Raises:
        EngineUnavailableError: No engine started in time.
        ModelFolderError: The engine refuses the model.
    """
    found = running_engine(launch.announce)
    if found is not None:
        return found
    deadline_ms = clock.monotonic_ms() + START_LIMIT_MS
    starting = FileLock(launch.announce.with_name(f"{launch.announce.name}.starting"))
    while not starting.try_acquire():
        _wait(launch, clock, deadline_ms)
    try:
        # An engine that is about to end holds its lock without an announcement for a moment.
        while is_locked(lock_path(launch.announce)):
            if found := running_engine(launch.announce):
                return found
            _wait(launch, clock, deadline_ms)
        return _start(launch, clock, deadline_ms)
    finally:
        starting.release()


def _start(launch: EngineLaunch, clock: Clock, deadline_ms: float) -> Announcement:
    launch.announce.unlink(missing_ok=True)
    log_start = _log_size_bytes(launch.log)
    child = _spawn(launch)
    while True:
        if found := running_engine(launch.announce):
            threading.Thread(target=child.wait, daemon=True).start()  # no zombie stays behind
            return found
        if child.poll() is not None:
            raise _start_error(launch, child.returncode, log_start)
        try:
            _wait(launch, clock, deadline_ms)
        except EngineUnavailableError:
            child.kill()
            child.wait()
            raise


def _wait(launch: EngineLaunch, clock: Clock, deadline_ms: float) -> None:
    if clock.monotonic_ms() > deadline_ms:
        raise EngineUnavailableError(
            f"no engine announced itself within {START_LIMIT_MS // 1000} s; its log is {launch.log}"
        )
    time.sleep(POLL_S)


def _spawn(launch: EngineLaunch) -> subprocess.Popen[bytes]:
    """Start an engine that outlives this process."""
    # -P and the folder: a module of the user's project must not shadow one of ours.
    command = [sys.executable, "-P", "-m", "fimble", "serve", "--port", "0"]
    command += ["--model", str(launch.model_folder), "--announce", str(launch.announce)]
    command += ["--threads", str(launch.threads), "--idle-exit-s", str(launch.idle_exit_s)]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    detached = getattr(subprocess, "DETACHED_PROCESS", 0)  # of Windows
    log = os.open(launch.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=launch.state_folder,
            env=environment,
            start_new_session=True,
            creationflags=detached,
        )
    finally:
        os.close(log)


def _log_size_bytes(log: Path) -> int:
    """Return where the log of the next engine starts; an overlong log is emptied."""
    if not log.exists():
        return 0
    if log.stat().st_size > LONGEST_LOG_BYTES:
        log.write_bytes(b"")
    return log.stat().st_size


def _start_error(
    launch: EngineLaunch, exit_code: int, log_start: int
) -> ModelFolderError | EngineUnavailableError:
    """Return what the engine said before it ended."""
    lines = launch.log.read_bytes()[log_start:].decode(errors="replace").strip().splitlines()
    message = lines[-1].removeprefix("fimble: ") if lines else "it printed nothing"
    if exit_code == 2:
        return ModelFolderError(message)
    return EngineUnavailableError(
        f"the engine ended with exit code {exit_code}: {message}; its log is {launch.log}"
    )
