"""The collector's HTTP service: upload, forget, health; and the merger beside it.

The event loop never waits for a disk: segments are taken in a thread, one at a time, and the merger
is a process of its own, so that neither its work nor its end touches an upload.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from aiohttp import web

from fimble.errors import InputError
from fimble.locks import try_lock
from fimble.spool import session_of
from fimble.upload import (
    FORGET_PATH,
    HEALTH_PATH,
    MAX_SEGMENT_BYTES,
    SEGMENT_NAME,
    SEGMENTS_PATH,
    SHA256_HEADER,
)
from telemetry.collector.intake import Intake, Room, Upload, Verdict
from telemetry.collector.limits import Buckets
from telemetry.collector.receipts import RECEIPTS, Receipts
from telemetry.privacy.forget import digest_of, forget
from telemetry.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from fimble.clock import Clock
    from telemetry.collector.objects import ObjectFolder

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_UPLOADS = 16
"""So many bodies are held in memory; who comes then is told to wait."""
BODY_TIMEOUT_S = 30.0
FORGET_WAIT_S = 120.0
SENDER = web.RequestKey("sender", str)
"""Where a request keeps the name of its sender."""
_ANSWERS = {
    Verdict.TAKEN: (201, 0),
    Verdict.KNOWN: (200, 0),
    Verdict.CONFLICT: (409, 0),
    Verdict.OF_ANOTHER: (409, 0),
    Verdict.DAMAGED: (422, 0),
    Verdict.FOREIGN: (422, 0),
    Verdict.TOO_LARGE: (413, 0),
    Verdict.BAD_NAME: (404, 0),
    Verdict.FULL: (503, 60),
}
"""Status, and seconds to wait."""
_log = logging.getLogger("fimble.collector")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings:
    """How a collector works."""

    tokens: Mapping[str, str]
    """Who has one of them may upload; 16 characters or more each, with the name of the sender.

    Senders with different names cannot write, or forget, for one another."""
    segments_per_minute: float = 600.0
    """For each sender's address; more are told to wait."""
    merge_every_s: float = 60.0
    """0 means that somebody else merges."""
    room: Room = field(default_factory=Room)


class Collector:
    """What the handlers share."""

    def __init__(
        self,
        data_folder: Path,
        settings: CollectorSettings,
        clock: Clock,
        *,
        objects: ObjectFolder | None = None,
    ) -> None:
        """Open a collector's data folder.

        Raises:
            InputError: Another collector works on it.
            OSError: It cannot be read or written.
        """
        self.settings = settings
        data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(data_folder / "collector.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not try_lock(self._lock):
            raise InputError(f"another collector works on {data_folder}")
        self._clock = clock
        self._objects = objects
        self._data_folder = data_folder
        self._spool = data_folder / "spool"
        self._warehouse = Warehouse(data_folder / "warehouse")
        self._receipts = Receipts(data_folder / RECEIPTS)
        self._intake = Intake(self._spool, self._receipts, settings.room, objects=objects)
        self._turn = asyncio.Lock()
        self._pushing = asyncio.Lock()
        self._pushed_generation = -1
        self._uploads = asyncio.Semaphore(MAX_UPLOADS)
        self._buckets = Buckets(settings.segments_per_minute / 60.0, clock)
        self._has_news = True

    async def upload(self, request: web.Request) -> web.Response:
        """Take a segment."""
        wait_s = self._buckets.wait_s(request.remote or "")
        if wait_s > 0:
            return _refusal(429, "too many segments from this address", wait_s)
        if self._uploads.locked():
            return _refusal(503, "too many uploads at once", 1)
        name = request.match_info["name"]
        if not SEGMENT_NAME.fullmatch(name):
            return _refusal(404, Verdict.BAD_NAME)
        if (request.content_length or 0) > MAX_SEGMENT_BYTES:
            return _refusal(413, Verdict.TOO_LARGE)
        async with self._uploads:
            try:
                async with asyncio.timeout(BODY_TIMEOUT_S):
                    body = await request.read()
            except TimeoutError:
                return _refusal(408, f"the body took longer than {BODY_TIMEOUT_S:.0f} s")
            said = request.headers.get(SHA256_HEADER, "")
            upload = Upload(name, said, body, request[SENDER])
            return await self._taken(upload)

    async def forget(self, request: web.Request) -> web.Response:
        """Forget users, here and in object storage."""
        try:
            keys = (await request.json())["user_keys"]
        except (ValueError, TypeError, KeyError):
            keys = None
        if not isinstance(keys, list) or not all(isinstance(k, str) and k for k in keys):
            return _refusal(422, 'the body must be {"user_keys": ["..."]}')
        owners = {self._receipts.sender_of(digest_of(key)) for key in keys}
        if not owners <= {None, request[SENDER]}:
            return _refusal(403, "another sender records this user")
        async with self._turn, self._pushing:
            done = await asyncio.to_thread(self._forget, cast("list[str]", keys))
        if done is None:
            return _refusal(503, "a merge is under way", 10)
        return web.json_response({"num_sessions": done})

    async def health(self, request: web.Request) -> web.Response:
        """Say that we are here."""
        del request
        return web.json_response({"status": "ok", "segments": len(self._receipts)})

    async def merge_all_along(self, app: web.Application) -> AsyncGenerator[None]:
        """Merge from time to time while the service runs."""
        del app
        task = asyncio.create_task(self._merge_forever())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._receipts.close()
        os.close(self._lock)

    async def _taken(self, upload: Upload) -> web.Response:
        try:
            async with self._turn:
                verdict = await asyncio.to_thread(self._intake.take, upload)
        except OSError as error:
            _log.warning("cannot take %s: %s", upload.name, error)
            return _refusal(503, "the collector cannot write", 60)
        self._has_news |= verdict is Verdict.TAKEN
        status, wait_s = _ANSWERS[verdict]
        if status >= 400:
            _log.warning("refused %s: %s", upload.name, verdict.value)
            return _refusal(status, verdict, wait_s)
        return web.json_response({"status": verdict.value}, status=status)

    def _forget(self, keys: list[str]) -> int | None:
        done = forget(
            [self._spool], self._warehouse, self._clock, user_keys=keys, wait_s=FORGET_WAIT_S
        )
        if done is None:
            return None
        gone = self._warehouse.manifest().forgotten
        self._receipts.drop(lambda name: digest_of(session_of(name)) in gone)
        if self._objects is not None:
            names = self._objects.names("segments")
            self._objects.delete({n for n in names if digest_of(session_of(_file(n))) in gone})
            self._push(self._objects)
        return done.num_sessions

    async def _merge_forever(self) -> None:
        while self.settings.merge_every_s:
            if self._has_news:
                self._has_news = False
                with contextlib.suppress(OSError):  # tried again next time
                    await self._merge()
            if self._objects is not None:
                with contextlib.suppress(OSError):  # as above
                    async with self._pushing:
                        await asyncio.to_thread(self._push, self._objects)
            await asyncio.sleep(self.settings.merge_every_s)

    async def _merge(self) -> None:
        """Merge in a process of its own."""
        environment = {**os.environ, "FIMBLE_DATA_DIR": os.fspath(self._data_folder)}
        command = (sys.executable, "-P", "-m", "fimble", "telemetry", "merge")
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            self._has_news |= await process.wait() != 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _push(self, objects: ObjectFolder) -> None:
        """Bring object storage up to date."""
        from telemetry.collector.objects import push, push_operations

        push_operations(self._warehouse, objects)
        generation = self._warehouse.manifest().generation
        if generation != self._pushed_generation:
            push(self._warehouse, objects)
            objects.put(RECEIPTS, (self._data_folder / RECEIPTS).read_bytes())
            self._pushed_generation = generation


def make_app(collector: Collector) -> web.Application:
    """Return the service."""

    @web.middleware
    async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != HEALTH_PATH:
            sender = _sender(request, collector.settings.tokens)
            if sender is None:
                return _refusal(401, "the token is missing or wrong")
            request[SENDER] = sender
        return await handler(request)

    app = web.Application(middlewares=[authorized], client_max_size=MAX_SEGMENT_BYTES)
    app.router.add_put(SEGMENTS_PATH + "{name}", collector.upload)
    app.router.add_post(FORGET_PATH, collector.forget)
    app.router.add_get(HEALTH_PATH, collector.health)
    app.cleanup_ctx.append(collector.merge_all_along)
    return app


def _sender(request: web.Request, tokens: Mapping[str, str]) -> str | None:
    """Return the name of the sender whose token a request carries; None if it carries none."""
    said = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
    # All are compared, so that the time tells nothing.
    found = [name for token, name in tokens.items() if hmac.compare_digest(said, token.encode())]
    return found[0] if found else None


def _refusal(status: int, why: str, wait_s: float = 0) -> web.Response:
    headers = {"Retry-After": str(max(1, round(wait_s)))} if wait_s else {}
    body = json.dumps({"error": str(why)})
    return web.Response(status=status, text=body, headers=headers, content_type="application/json")


def _file(name: str) -> str:
    return name.rpartition("/")[2]
