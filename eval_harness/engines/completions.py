"""The engine behind an OpenAI-compatible server, `/v1/completions`: vLLM, llama.cpp, SGLang.

Such servers take the prompt as one text, in which they obey sentinels.
"""

from __future__ import annotations

import contextlib
import json
import math
from typing import TYPE_CHECKING, Any

import aiohttp

from fimble.engine import EngineInfo, Finish, FinishReason, Token
from fimble.errors import (
    EngineError,
    EngineOverloadedError,
    EngineUnavailableError,
    PromptTooLongError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence

    from fimble.engine import Query
    from fimble.fim import FimFormat, Part

CONNECT_TIMEOUT_S = 5
SILENCE_TIMEOUT_S = 300
"""A server that batches may say nothing for a while."""
_TOO_LONG_MARKS = ("context length", "maximum context", "context size", "context_length")


class CompletionsEngine:
    """Implements `fimble.engine.Engine` over one keep-alive session.

    Args:
        url: Base URL of the server, with or without `/v1`.
        fim_format: Sentinels of the model.
        token: Bearer token; empty sends none.
    """

    def __init__(self, url: str, *, fim_format: FimFormat, token: str = "") -> None:
        self._url = f"{url.rstrip('/').removesuffix('/v1')}/v1"
        self._fim_format = fim_format
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._open_session: aiohttp.ClientSession | None = None
        self._model = ""

    async def info(self) -> EngineInfo:
        """Return what the server says about itself; limits it does not name are 0.

        Raises:
            EngineUnavailableError: Nothing answers.
            EngineError: What answers is no such server.
        """
        async with self._request("GET", "models") as response:
            table = await _json(response)
        try:
            model = table["data"][0]
            self._model = str(model["id"])
            limit = int(model.get("max_model_len") or 0)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EngineError(f"{self._url}/models names no model: {error!r}") from error
        return EngineInfo(self._model, "", limit, limit, self._fim_format.name)

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        """Yield pieces of text as they come, then one `Finish`; see `fimble.engine.Engine`.

        A piece may be several tokens. Token ids and log-probabilities are not known.

        Raises:
            PromptTooLongError: The prompt and `max_new_tokens` exceed the context.
            EngineOverloadedError: The server refuses work for now.
            EngineUnavailableError: Nothing answers, or the server went away.
            EngineError: The server answered with any other error.
            SentinelInTextError: The text spells a sentinel.
        """
        if not self._model:
            await self.info()
        body: dict[str, object] = {
            "model": self._model,
            "prompt": self._fim_format.render(query.parts),
            "max_tokens": query.max_new_tokens,
            "temperature": query.temperature,
            "stop": [self._fim_format.end],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if query.seed is not None:
            body["seed"] = query.seed
        reason: str | None = None
        usage: dict[str, Any] = {}
        num_pieces = 0
        async with self._request("POST", "completions", body) as response:
            async for event in _events(response):
                usage = event.get("usage") or usage
                for choice in event.get("choices") or ():
                    reason = choice.get("finish_reason") or reason
                    if text := choice.get("text"):
                        num_pieces += 1
                        yield Token(-1, str(text), math.nan)
        if reason is None:
            raise EngineUnavailableError(f"{self._url} ended its answer before the end")
        yield Finish(
            FinishReason.LENGTH if reason == "length" else FinishReason.END_TOKEN,
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            cached_tokens=0,
            generated_tokens=int(usage.get("completion_tokens") or num_pieces),
        )

    async def logprob(self, parts: Sequence[Part], text: str) -> float | None:
        """Return the natural logarithm of the probability that `text` follows the prompt.

        None where the server does not echo prompts with their probabilities.

        Raises:
            EngineError: The server failed.
        """
        if not self._model:
            await self.info()
        prompt = self._fim_format.render(parts)
        body: dict[str, object] = {
            "model": self._model,
            "prompt": self._fim_format.render([*parts, text]),
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }
        async with self._request("POST", "completions", body) as response:
            table = await _json(response)
        try:
            found = table["choices"][0]["logprobs"]
            end = len(prompt) + len(text)
            rows = zip(found["text_offset"], found["token_logprobs"], strict=True)
            # A token that reaches across the boundary belongs to the text.
            values = [value for start, value in rows if len(prompt) <= start < end]
            return math.fsum(values) if values else None
        except (KeyError, IndexError, TypeError):
            return None

    async def close(self) -> None:
        """Release connections; streams under way end."""
        if self._open_session is not None:
            await self._open_session.close()

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, body: dict[str, object] | None = None
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        if self._open_session is None:
            self._open_session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S
                ),
                trust_env=True,
            )
        with _translated_errors(self._url):
            async with self._open_session.request(
                method, f"{self._url}/{path}", json=body
            ) as response:
                if response.status != 200:
                    raise _error(
                        response, (await response.content.read(4000)).decode("utf-8", "replace")
                    )
                yield response


@contextlib.contextmanager
def _translated_errors(url: str) -> Generator[None]:
    try:
        yield
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
        raise EngineUnavailableError(f"no answer from {url}: {error or type(error)}") from error
    except aiohttp.ClientError as error:
        raise EngineError(f"{url}: {error!r}") from error


def _error(response: aiohttp.ClientResponse, text: str) -> EngineError:
    where = f"{response.url} answers {response.status} {response.reason}: {text[:300]}"
    if response.status == 429:
        return EngineOverloadedError(where)
    if response.status in {502, 503, 504}:
        return EngineUnavailableError(where)
    if response.status in {400, 413, 422} and any(m in text.lower() for m in _TOO_LONG_MARKS):
        return PromptTooLongError(where)
    return EngineError(where)


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        table = json.loads(await response.read())
    except ValueError as error:
        raise EngineError(f"{response.url} answers with something that is not JSON") from error
    return table if isinstance(table, dict) else {}


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Yield the data of server-sent events."""
    async for line in response.content:
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or data == b"[DONE]":
            continue
        try:
            event = json.loads(data)
        except ValueError as error:
            raise EngineError(f"{response.url} sends an event that is not JSON") from error
        if not isinstance(event, dict) or "error" in event:
            raise EngineError(f"{response.url} breaks off: {str(event)[:300]}")
        yield event
