"""The engine behind a Text Generation Inference server, over HTTP.

Source: the API of text-generation-inference v3.3.7, router/src/server.rs and router/src/lib.rs.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from typing import TYPE_CHECKING, cast

from fimble.engine import EngineInfo, Finish, FinishReason, PromptCounts, Token
from fimble.errors import (
    EngineError,
    EngineOverloadedError,
    EngineUnavailableError,
    PromptTooLongError,
)
from fimble.fim import FORMATS
from lsp_server.engines.connection import (
    Connection,
    Server,
    body_of,
    events,
    json_object,
    status_error,
)
from lsp_server.engines.segments import segments_of, to_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    import aiohttp

    from fimble.engine import Query
    from fimble.fim import FimFormat

TOO_LONG_MARKS = ("`inputs` tokens + `max_new_tokens` must be", "`inputs` must have less than")
"""What TGI's validation errors say about prompts that do not fit."""


class TgiEngine:
    """Implements `fimble.engine.Engine` over one keep-alive session.

    Args:
        url: Base URL of the server.
        token: Bearer token; empty sends none.
        fim_format: Sentinels of the model, for servers that do not name their format.
        uses_proxies: Obey the proxy variables of the environment.
        ca_file: See `Server`.
    """

    def __init__(
        self,
        url: str,
        *,
        fim_format: FimFormat,
        token: str = "",
        uses_proxies: bool = False,
        ca_file: str = "",
    ) -> None:
        self._url = url.rstrip("/")
        self._fim_format = fim_format
        self._connection = Connection(
            Server(url=self._url, token=token, ca_file=ca_file, uses_proxies=uses_proxies)
        )
        self._takes_segments: bool | None = None

    async def info(self) -> EngineInfo:
        """Return what the server says about itself.

        Raises:
            EngineUnavailableError: Nothing answers.
            EngineError: What answers is not a TGI server.
        """
        session = await self._connection.session()
        with self._connection.translated_errors():
            async with session.get(f"{self._url}/info") as response:
                if response.status in {404, 405}:
                    raise self._no_tgi(f"/info answers {response.status} {response.reason}")
                await _raise_for_status(response)
                data = await response.read()
        try:
            return self._read_info(json_object(data))
        except EngineError as error:
            raise self._no_tgi(str(error)) from error

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        """Yield tokens as they come, then one `Finish`; see `fimble.engine.Engine`.

        Raises:
            PromptTooLongError: The prompt and `max_new_tokens` exceed the context.
            EngineOverloadedError: The server refuses work for now.
            EngineUnavailableError: Nothing answers, or the server went away.
            EngineError: The server answered with any other error.
            SentinelInTextError: The server takes only text, and the text spells a sentinel.
        """
        if self._takes_segments is None:
            await self.info()
        body = {"inputs": self._inputs(query), "parameters": _parameters(query)}
        # A lone surrogate, half of a character in an editor, has no UTF-8 form: it becomes "?".
        data = io.BytesIO(json.dumps(body, ensure_ascii=False).encode(errors="replace"))
        headers = {"Content-Type": "application/json"}
        session = await self._connection.session()
        with self._connection.translated_errors():
            response = await session.post(
                f"{self._url}/generate_stream", data=data, headers=headers
            )
            # Leaving early closes the connection, which is how TGI learns of it; a whole answer
            # keeps the connection for the next query.
            with contextlib.closing(response):
                await _raise_for_status(response)
                self._connection.prepare()
                async for data in events(response):
                    event = _event(data)
                    yield _token(event)
                    if finish := _finish(event):
                        await response.read()
                        yield finish
                        return
        raise EngineUnavailableError(f"{self._url} ended its answer before the end")

    async def close(self) -> None:
        """Release connections; streams under way end."""
        await self._connection.close()

    def _inputs(self, query: Query) -> str | list[object]:
        if self._takes_segments:
            return to_json(segments_of(query.parts, self._fim_format))
        return self._fim_format.render(query.parts)

    def _read_info(self, table: Mapping[str, object]) -> EngineInfo:
        try:
            info = EngineInfo(
                model=str(table["model_id"]),
                model_digest=str(table.get("model_digest") or table.get("model_sha") or ""),
                max_input_tokens=_integer(table["max_input_tokens"]),
                max_total_tokens=_integer(table["max_total_tokens"]),
                fim_format=str(table.get("fim_format") or ""),
                context=_names(table.get("context")),
                takes_beginning=table.get("takes_beginning") is True,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError(f"{error!r} is wrong or missing in /info") from error
        # Our own server says that it takes segments, and which sentinels they may name.
        self._takes_segments = table.get("takes_segments") is True
        self._fim_format = FORMATS.get(info.fim_format, self._fim_format)
        return info

    def _no_tgi(self, why: str) -> EngineError:
        return EngineError(
            f"{self._url} is not a TGI server: {why}; servers with OpenAI's API (vLLM, llama.cpp, "
            'SGLang) need `backend = "openai"`'
        )


def _parameters(query: Query) -> dict[str, object]:
    parameters: dict[str, object] = {
        "max_new_tokens": query.max_new_tokens,
        "do_sample": query.temperature > 0,
        "details": True,
    }
    if query.temperature > 0:
        parameters["temperature"] = query.temperature
    if query.beginning:
        parameters["beginning"] = query.beginning
    if query.seed is not None:
        parameters["seed"] = query.seed
    return parameters


def _event(data: bytes) -> Mapping[str, object]:
    event = json_object(data)
    if "error" in event:
        raise _error(event)
    return event


def _token(event: Mapping[str, object]) -> Token:
    try:
        token = cast("Mapping[str, object]", event["token"])
        logprob = token["logprob"]
        return Token(
            token_id=_integer(token["id"]),
            text="" if token["special"] else str(token["text"]),
            logprob=math.nan if logprob is None else float(cast("float", logprob)),
            prompt=_prompt_counts(event.get("prompt")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"an event is not TGI's: {error!r} is wrong or missing") from error


def _prompt_counts(said: object) -> PromptCounts | None:
    """Return what our own server says with the first token; `None` where nothing is said."""
    if not isinstance(said, dict):
        return None
    return PromptCounts(_integer(said["input_length"]), _integer(said["cached_tokens"]))


def _finish(event: Mapping[str, object]) -> Finish | None:
    details = event.get("details")
    if not isinstance(details, dict):
        return None
    try:
        return Finish(
            reason=FinishReason(details["finish_reason"]),
            prompt_tokens=_integer(details["input_length"]),
            cached_tokens=_integer(details.get("cached_tokens", 0)),
            generated_tokens=_integer(details["generated_tokens"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"the last event is not TGI's: {error!r} is wrong or missing") from error


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no integer")
    return value


async def _raise_for_status(response: aiohttp.ClientResponse) -> None:
    """Raise the error that an answer other than 200 stands for."""
    if response.status == 200:
        return
    body = await body_of(response)
    table: Mapping[str, object] = {}
    with contextlib.suppress(EngineError):
        table = json_object(body)
    raise _error(table) if "error" in table else status_error(response, body)


def _error(table: Mapping[str, object]) -> EngineError:
    """Return the error that TGI's JSON stands for."""
    message, kind = str(table["error"]), table.get("error_type")
    if kind == "overloaded":
        return EngineOverloadedError(message)
    if kind == "healthcheck":
        return EngineUnavailableError(message)
    if kind == "validation" and any(mark in message for mark in TOO_LONG_MARKS):
        return PromptTooLongError(message)
    return EngineError(message)
