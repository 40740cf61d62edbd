"""One keep-alive connection pool to a server, and what its errors mean to us.

Both HTTP clients, `tgi` and `openai`, stand on it: token, certificates, proxies and time-outs are
decided here, and nothing that a server answers is repeated to the user unless it is a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from fimble.errors import (
    ConfigError,
    EngineError,
    EngineOverloadedError,
    EngineUnavailableError,
    PromptTooLongError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Mapping

CONNECT_TIMEOUT_S = 5
IDLE_S = 60
"""A connection is kept for so long; what stands between us and a server may forget it later."""
SILENCE_TIMEOUT_S = 60
"""TGI sends a comment every 15 seconds while a stream waits; longer silence is a dead server."""
LONGEST_EVENT_BYTES = 2**20
_LONGEST_MESSAGE_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a server is, and how it is reached."""

    url: str
    """Base URL, without a slash at its end."""
    token: str = ""
    """Bearer token; empty sends none."""
    ca_file: str = ""
    """Certificate authority that signed the server's certificate, PEM; empty: the system's."""
    uses_proxies: bool = False
    """Obey the proxy variables of the environment."""
    silence_timeout_s: float = SILENCE_TIMEOUT_S
    """A server that says nothing for so long is dead."""


class Connection:
    """The connections to one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._open_session: aiohttp.ClientSession | None = None
        self._proxy: URL | None = None
        self._opening: asyncio.Task[None] | None = None

    async def session(self) -> aiohttp.ClientSession:
        """Return the session, opened when first needed.

        Raises:
            ConfigError: The file of the certificate authority cannot be used.
        """
        if self._open_session is None:
            server = self.server
            verified = await asyncio.to_thread(_verified_by, server.ca_file)
            if server.uses_proxies:
                # aiohttp would look at every request anew, each time in a thread.
                self._proxy = await asyncio.to_thread(_proxy_for, server.url)
            # Another request may have come while the file was read.
            self._open_session = self._open_session or aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {server.token}"} if server.token else {},
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=CONNECT_TIMEOUT_S,
                    sock_read=server.silence_timeout_s,
                ),
                connector=aiohttp.TCPConnector(ssl=verified, keepalive_timeout=IDLE_S),
                read_bufsize=LONGEST_EVENT_BYTES,
                proxy=self._proxy,
            )
        return self._open_session

    def prepare(self) -> None:
        """Open a connection for the next request in the background, if none is free.

        Who leaves a stream early closes its connection; so the next query need not wait for one.
        """
        if self._open_session is not None and self._opening is None:
            self._opening = asyncio.create_task(self._open_one(self._open_session))

    async def _open_one(self, session: aiohttp.ClientSession) -> None:
        request = aiohttp.ClientRequest("GET", URL(self.server.url), proxy=self._proxy)
        try:
            if session.connector is not None:  # it is, unless the session is closed
                (await session.connector.connect(request, [], session.timeout)).release()
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass  # whoever asks will be told
        finally:
            self._opening = None

    async def close(self) -> None:
        """Release connections; streams under way end."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._open_session is not None:
            await self._open_session.close()

    @contextlib.contextmanager
    def translated_errors(self) -> Generator[None]:
        """Raise our errors in place of aiohttp's.

        Raises:
            EngineUnavailableError: Nothing answers, or the server went away.
            EngineError: The connection failed in another way.
        """
        url = self.server.url
        try:
            yield
        except aiohttp.ClientConnectorCertificateError as error:
            raise EngineError(
                f"the certificate of {url} is not trusted: {error.certificate_error}; "
                "`[engine] ca_file` names the certificate authority of a company"
            ) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise EngineUnavailableError(f"no answer from {url}: {reason}") from error
        except HttpProcessingError as error:
            # Its own text quotes the answer, which may be code.
            raise EngineError(f"{url} sends what is no HTTP, or an endless line") from error
        except aiohttp.ClientError as error:
            raise EngineError(f"{url}: {error!r}") from error
        except RuntimeError as error:
            # This is how aiohttp tells a reader that its own side closed the session.
            if self._open_session is None or not self._open_session.closed:
                raise
            raise EngineUnavailableError(f"the client of {url} was closed") from error


def _verified_by(ca_file: str) -> ssl.SSLContext | bool:
    """Return how certificates are verified: by the system's authorities, and those of the file."""
    if not ca_file:
        return True
    try:
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca_file is {ca_file}, which cannot be used: {error}") from error
    return context


def _proxy_for(url: str) -> URL | None:
    """Return the proxy that the environment, or the system, names for a server."""
    parts = urlsplit(url)
    if parts.hostname is None or urllib.request.proxy_bypass(parts.hostname):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    return URL(proxy) if proxy else None


async def body_of(response: aiohttp.ClientResponse) -> bytes:
    """Return the start of an answer that is an error."""
    return await response.content.read(4000)


def status_error(response: aiohttp.ClientResponse, body: bytes) -> EngineError:
    """Return the error that a status other than 200 stands for, where the body names none."""
    status = response.status
    where = f"{response.url} answers {status} {response.reason}"
    if status in {401, 403}:
        return EngineError(f"{where}: the server wants another token")
    if status == 413:
        return PromptTooLongError(f"{where}: the prompt has too many bytes")
    if status == 429:
        return EngineOverloadedError(where)
    if status in {502, 503, 504}:
        return EngineUnavailableError(where)
    said = readable(body)
    return EngineError(f"{where}: {said}" if said else where)


def readable(body: bytes) -> str:
    """Return a body as a message for a person: the start of a text, and no web page."""
    text = " ".join(body.decode(errors="replace").split())
    return "" if text.startswith("<") else text[:_LONGEST_MESSAGE_CHARS]


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the data of server-sent events; comments keep the connection alive."""
    async for line in response.content:
        if line.startswith(b"data:"):
            yield line[5:].strip()


def json_object(data: bytes) -> Mapping[str, object]:
    """Return the JSON object in `data`.

    Raises:
        EngineError: It is something else.
    """
    try:
        value = json.loads(data)
    except ValueError as error:
        what = "a web page" if data.lstrip()[:1] == b"<" else "something that is not JSON"
        raise EngineError(f"the server answers with {what}: {error}") from error
    if not isinstance(value, dict):
        raise EngineError(f"the server answers with {type(value).__name__}, not an object")
    return value
