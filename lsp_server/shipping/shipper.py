"""Sends closed segments to a collector, and deletes those that it has taken.

The spool is the buffer: a segment stays until it is acknowledged, however often the collector, the
network or this process fails. The collector knows a segment by name and hash, so that one that is
sent twice is taken once.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import random
import ssl
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from fimble.spool import OPEN_SUFFIX, adopt_orphans, closed_segments
from fimble.upload import MAX_SEGMENT_BYTES, SEGMENTS_PATH, SHA256_HEADER

if TYPE_CHECKING:
    from pathlib import Path

REFUSED_FOLDER = "refused"
"""Within the spool: segments that the collector will never take."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
REQUEST_TIMEOUT_S = 60.0
_log = logging.getLogger("fimble.ship")


class Answer(StrEnum):
    """What a collector says to a segment."""

    TAKEN = "taken"
    REFUSED = "refused"
    """For good: it is damaged, too large, or another one was taken under its name."""
    LATER = "later"


class Said(NamedTuple):
    """An answer, and how long to wait before the next try."""

    answer: Answer
    wait_s: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where segments go."""

    url: str
    token: str
    tls: ssl.SSLContext | None = None
    """Trust for a collector with a certificate of the company's own authority."""


class Shipper:
    """Sends the segments of one spool."""

    def __init__(self, spool: Path, destination: Destination, *, seed: int) -> None:
        self._spool = spool
        self._destination = destination
        self._chance = random.Random(seed)  # noqa: S311 - spreads tries, guards nothing
        self._pause_s = FIRST_PAUSE_S

    async def ship_once(self) -> int:
        """Send what is closed, in order, until all is sent or the collector asks to wait.

        Returns: How many segments are left.
        """
        adopt_orphans(self._spool)
        pending = closed_segments(self._spool)
        if not pending:
            return 0
        async with self._session() as http:
            for number, path in enumerate(pending):
                said = await self._send(http, path)
                match said.answer:
                    case Answer.TAKEN:
                        path.unlink(missing_ok=True)
                        self._pause_s = FIRST_PAUSE_S
                    case Answer.REFUSED:
                        _log.warning("%s was refused for good: %s", path.name, said.detail)
                        self._put_aside(path)
                    case Answer.LATER:
                        self._wait_longer(said)
                        return len(pending) - number
        return 0

    async def ship_all_along(self, *, every_s: float, idle_exit_s: float) -> None:
        """Send until nobody has recorded anything for a while."""
        idle_s = 0.0
        while idle_s < idle_exit_s:
            num_left = await self.ship_once()
            is_alive = any(self._spool.glob(f"*{OPEN_SUFFIX}"))
            pause_s = self._pause_s * self._chance.uniform(0.5, 1.0) if num_left else every_s
            idle_s = 0.0 if num_left or is_alive else idle_s + pause_s
            await asyncio.sleep(pause_s)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._destination.tls or True),
            headers={"Authorization": f"Bearer {self._destination.token}"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            trust_env=True,
        )

    async def _send(self, http: aiohttp.ClientSession, path: Path) -> Said:
        try:
            if path.stat().st_size > MAX_SEGMENT_BYTES:
                return Said(Answer.REFUSED, detail=f"larger than {MAX_SEGMENT_BYTES} bytes")
            plain = path.read_bytes()
        except FileNotFoundError:  # somebody else sent it, or it was deleted
            return Said(Answer.TAKEN)
        except OSError as error:
            return Said(Answer.REFUSED, detail=error.strerror or "")
        if not plain:  # its disk was full from the first line on: there is nothing to take
            return Said(Answer.TAKEN)
        headers = {
            SHA256_HEADER: hashlib.sha256(plain).hexdigest(),
            "Content-Type": "application/gzip",
        }
        url = self._destination.url.rstrip("/") + SEGMENTS_PATH + path.name
        try:
            async with http.put(url, data=gzip.compress(plain, 6), headers=headers) as answer:
                wait = answer.headers.get("Retry-After", "")
                return _said(answer.status, wait, await answer.text())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Said(Answer.LATER, detail=type(error).__name__)

    def _wait_longer(self, said: Said) -> None:
        _log.info("the collector does not take segments now: %s", said.detail)
        self._pause_s = min(LONGEST_PAUSE_S, max(self._pause_s * 2, said.wait_s))

    def _put_aside(self, path: Path) -> None:
        folder = self._spool / REFUSED_FOLDER
        folder.mkdir(exist_ok=True, mode=0o700)
        path.replace(folder / path.name)


def _said(status: int, wait: str, detail: str) -> Said:
    """Return what a status means for a segment."""
    if status in {200, 201}:
        return Said(Answer.TAKEN)
    if status in {404, 409, 413, 422}:
        return Said(Answer.REFUSED, detail=f"{status} {detail}")
    # A token can be corrected, a proxy can come back: nothing else is for good.
    wait_s = float(wait) if wait.isdigit() else 0.0
    return Said(Answer.LATER, wait_s=wait_s, detail=f"{status} {detail}")
