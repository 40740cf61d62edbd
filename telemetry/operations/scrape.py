"""Asking backends for their metrics: one answer becomes samples, and always `up`.

Text in Prometheus' format is read by its own client's parser, which lets the names of counters end
in `_total`, also where the server does not. Kept is what the families below
call theirs; a server that answers with anything else, or with too much, counts as down.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fimble.clock import Clock

PREFIXES = ("tgi_", "fimble_", "vllm:", "llamacpp:", "DCGM_FI_")
"""Of metrics that are kept: TGI and `fimble serve`, vLLM, llama.cpp, NVIDIA's exporter for GPUs."""
UP = "up"
SCRAPE_MS = "scrape_ms"
MAX_ANSWER_BYTES = 8 << 20
MAX_SAMPLES = 20_000
"""Of one answer; a server with more labels than that is not watched by us."""
_NAME = re.compile(r"[\w.:-]{1,64}")
_log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """One number at one time."""

    at_ms: int
    backend: str
    metric: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A server whose metrics are fetched."""

    name: str
    url: str


def backend_of(text: str) -> Backend:
    """Return the backend that `URL` or `NAME=URL` names; without a name, it is host and port.

    Raises:
        InputError: It is no web address, or the name is none.
    """
    name, is_named, url = text.partition("=") if _is_named(text) else ("", "", text)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(f"{text!r} is no address of metrics; give http://HOST:PORT or NAME=URL")
    if is_named and not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name of a backend: letters, digits, . : _ -, at most 64")
    is_bare = parts.path in {"", "/"}
    address = url.rstrip("/") + "/metrics" if is_bare and not parts.query else url
    return Backend(name=name or parts.netloc.rpartition("@")[2], url=address)


def samples_in(text: str, *, backend: str, at_ms: int) -> list[Sample]:
    """Return the samples that are kept of an answer.

    Raises:
        ValueError: It is no text of metrics, or holds too many.
    """
    found: list[Sample] = []
    num_lines = 0
    for name, labels, value in _lines_of(text):
        num_lines += 1
        if not name.startswith(PREFIXES) or not math.isfinite(value):
            continue
        found.append(Sample(at_ms, backend, name, labels, value))
        if len(found) > MAX_SAMPLES:
            raise ValueError(f"more than {MAX_SAMPLES} samples")
    if not num_lines:
        raise ValueError("no metrics in it")
    return found


class Scraper:
    """Asks backends, and tells once when one goes down or comes back."""

    def __init__(self, backends: Sequence[Backend], *, clock: Clock, timeout_s: float) -> None:
        self._backends = backends
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._down: set[str] = set()

    async def poll(self, session: aiohttp.ClientSession) -> list[Sample]:
        """Ask every backend once, all at the same time."""
        at_ms = self._clock.wall_ms()
        answers = await asyncio.gather(
            *(self._ask(session, each, at_ms) for each in self._backends)
        )
        return [sample for answer in answers for sample in answer]

    async def _ask(
        self, session: aiohttp.ClientSession, backend: Backend, at_ms: int
    ) -> list[Sample]:
        start_ms = self._clock.monotonic_ms()
        try:
            text = await self._fetch(session, backend.url)
            found = samples_in(text, backend=backend.name, at_ms=at_ms)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._note(backend, _reason(error))
            return [Sample(at_ms, backend.name, UP, {}, 0.0)]
        self._note(backend, "")
        took_ms = self._clock.monotonic_ms() - start_ms
        own = {UP: 1.0, SCRAPE_MS: took_ms}
        return [*(Sample(at_ms, backend.name, name, {}, own[name]) for name in own), *found]

    async def _fetch(self, session: aiohttp.ClientSession, url: str) -> str:
        """Return the text at an address.

        Raises:
            ValueError: The server does not answer 200, or with too much.
        """
        async with session.get(url, timeout=self._timeout, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes")
        return body.decode()

    def _note(self, backend: Backend, trouble: str) -> None:
        """Log a line where a backend's state has changed."""
        was_down = backend.name in self._down
        if trouble and not was_down:
            self._down.add(backend.name)
            _log.warning("backend %s gives no metrics: %s", backend.name, trouble)
        elif was_down and not trouble:
            self._down.discard(backend.name)
            _log.info("backend %s gives metrics again", backend.name)


def _lines_of(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Yield name, labels and value of each sample.

    Raises:
        ValueError: The text is not in the format.
    """
    try:
        families: Iterable[object] = text_string_to_metric_families(text)
        for family in families:
            for sample in getattr(family, "samples", ()):
                yield sample.name, sample.labels, float(sample.value)
    except (IndexError, KeyError, TypeError, AttributeError) as error:  # the parser's own slips
        raise ValueError(f"no text of metrics: {error!r}") from error


def _reason(error: Exception) -> str:
    """Return what went wrong on one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:199]}…"


def _is_named(text: str) -> bool:
    """Return whether a name stands before the address."""
    return "=" in text.partition("://")[0]
