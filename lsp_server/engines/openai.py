"""The engine behind a server with OpenAI's `/v1/completions`: vLLM, llama.cpp, SGLang.

Such servers take the prompt as one text, in which they obey sentinels, and differ in what they
accept beyond OpenAI's own fields: what one of them refuses is left out from then on.

Source: OpenAI's API reference, "Completions"; vLLM, entrypoints/openai/protocol.py; llama.cpp,
tools/server/README.md; SGLang, managers/openai_api/protocol.py.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from typing import TYPE_CHECKING, NamedTuple, cast

from fimble.engine import EngineInfo, Finish, FinishReason, Token
from fimble.errors import (
    EngineError,
    EngineOverloadedError,
    EngineUnavailableError,
    PromptTooLongError,
)
from lsp_server.engines.connection import (
    Connection,
    Server,
    body_of,
    events,
    json_object,
    readable,
    status_error,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    import aiohttp

    from fimble.engine import Query
    from fimble.fim import FimFormat

_TOO_LONG_MARKS = ("context length", "maximum context", "context size", "context_length")
_MAX_STOPS = 4
"""OpenAI's limit."""
_LAST = b"[DONE]"
_OPTIONAL: dict[str, object] = {
    "logprobs": 1,
    "stream_options": {"include_usage": True},
    # vLLM and SGLang hide special tokens otherwise, and go on behind those that end a file.
    "skip_special_tokens": False,
}
"""Fields that only some servers take."""


class _Piece(NamedTuple):
    """What one event says."""

    tokens: Sequence[Token]
    finish_reason: str | None
    usage: Mapping[str, object]


class _RefusedFieldError(Exception):
    """The server does not know a field of `_OPTIONAL`."""


class CompletionsEngine:
    """Implements `fimble.engine.Engine` over one keep-alive session.

    Args:
        server: Where it is; the URL may end with `/v1`.
        fim_format: Sentinels of the model.
        model: Name of the model; empty means the first that the server names.
    """

    def __init__(self, server: Server, *, fim_format: FimFormat, model: str = "") -> None:
        self._url = f"{server.url.rstrip('/').removesuffix('/v1')}/v1"
        self._connection = Connection(server)
        self.fim_format = fim_format
        self._wanted_model = model
        self._model = ""
        self._optional = dict(_OPTIONAL)
        ends = dict.fromkeys((fim_format.end, fim_format.file, *fim_format.ends))
        self._stops = [text for text in ends if text][:_MAX_STOPS]

    async def info(self) -> EngineInfo:
        """Return what the server says about itself; limits that it does not name are 0.

        Raises:
            EngineUnavailableError: Nothing answers.
            EngineError: What answers is no such server, or does not serve the model.
        """
        session = await self._connection.session()
        with self._connection.translated_errors():
            async with session.get(f"{self._url}/models") as response:
                if response.status in {404, 405}:
                    raise self._no_server(f"/models answers {response.status} {response.reason}")
                if response.status != 200:
                    raise _error(response, await body_of(response))
                data = await response.read()
        try:
            models = _models(json_object(data))
        except EngineError as error:
            raise self._no_server(str(error)) from error
        wanted = self._wanted_model or next(iter(models))
        if wanted not in models:
            raise EngineError(
                f"{self._url} does not serve {wanted!r}; it names {', '.join(sorted(models))}"
            )
        self._model, limit = wanted, models[wanted]
        return EngineInfo(wanted, "", limit, limit, self.fim_format.name)

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        """Yield pieces of text as they come, then one `Finish`; see `fimble.engine.Engine`.

        A piece may be several tokens; token ids are -1, and log-probabilities not a number where
        the server does not tell them.

        Raises:
            PromptTooLongError: The prompt and `max_new_tokens` exceed the context.
            EngineOverloadedError: The server refuses work for now.
            EngineUnavailableError: Nothing answers, or the server went away.
            EngineError: The server answered with any other error.
            SentinelInTextError: The text spells a sentinel.
        """
        if not self._model:
            await self.info()
        prompt = self.fim_format.render(query.parts)
        while True:
            try:
                async with contextlib.aclosing(self._answer(query, prompt)) as items:
                    async for item in items:
                        yield item
            except _RefusedFieldError:
                self._optional.clear()
            else:
                return

    async def completed(self, body: Mapping[str, object]) -> bytes:
        """Return the whole answer to a request, which need not name the model.

        Raises:
            EngineUnavailableError: Nothing answers, or the server went away.
            EngineError: The server answered with an error.
        """
        if not self._model:
            await self.info()
        session = await self._connection.session()
        with self._connection.translated_errors():
            async with session.post(
                f"{self._url}/completions", json={"model": self._model, **body}
            ) as response:
                if response.status != 200:
                    raise _error(response, await body_of(response))
                return await response.read()

    async def close(self) -> None:
        """Release connections; streams under way end."""
        await self._connection.close()

    async def _answer(self, query: Query, prompt: str) -> AsyncGenerator[Token | Finish]:
        session = await self._connection.session()
        data = io.BytesIO(self._body(query, prompt))
        headers = {"Content-Type": "application/json"}
        reason: str | None = None
        usage: Mapping[str, object] = {}
        num_tokens = 0
        with self._connection.translated_errors():
            response = await session.post(f"{self._url}/completions", data=data, headers=headers)
            with contextlib.closing(response):
                await self._raise_for_status(response)
                self._connection.prepare()
                async for data in events(response):
                    if data == _LAST:
                        break
                    piece = _piece(data)
                    usage = piece.usage or usage
                    reason = piece.finish_reason or reason
                    for token in piece.tokens:
                        num_tokens += 1
                        kept = self._before_end(token)
                        yield kept
                        if kept is not token:
                            yield _finish("stop", usage, num_tokens)
                            return
                await response.read()
        if reason is None:
            raise EngineUnavailableError(f"{self._url} ended its answer before the end")
        yield _finish(reason, usage, num_tokens)

    def _body(self, query: Query, prompt: str) -> bytes:
        body: dict[str, object] = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": query.max_new_tokens,
            "temperature": query.temperature,
            "stop": self._stops,
            "stream": True,
            **self._optional,
        }
        if query.seed is not None:
            body["seed"] = query.seed
        # A lone surrogate, half of a character in an editor, has no UTF-8 form: it becomes "?".
        return json.dumps(body, ensure_ascii=False).encode(errors="replace")

    def _before_end(self, token: Token) -> Token:
        """Return `token` itself, or what stands in it before a special token that ends."""
        starts = [at for end in self.fim_format.ends if (at := token.text.find(end)) >= 0]
        return token._replace(text=token.text[: min(starts)]) if starts else token

    async def _raise_for_status(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 200:
            return
        body = await body_of(response)
        is_about_field = any(name.encode() in body for name in self._optional)
        if response.status in {400, 422} and is_about_field:
            raise _RefusedFieldError
        if response.status == 404 and b"model" not in body:
            raise self._no_server(f"/completions answers 404 {response.reason}")
        raise _error(response, body)

    def _no_server(self, why: str) -> EngineError:
        return EngineError(
            f"{self._url} does not speak OpenAI's API: {why}; "
            'Text Generation Inference needs `backend = "tgi"`'
        )


def _models(table: Mapping[str, object]) -> dict[str, int]:
    """Return the models that a server names, with their context lengths; 0 where it says none.

    Raises:
        EngineError: There is none, or the table is not OpenAI's.
    """
    try:
        rows = cast("list[Mapping[str, object]]", table["data"])
        models = {str(row["id"]): _context_tokens(row) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"/models is not OpenAI's: {error!r} is wrong or missing") from error
    if not models:
        raise EngineError("/models names no model")
    return models


def _context_tokens(row: Mapping[str, object]) -> int:
    """Return the context length in vLLM's and SGLang's place, or in llama.cpp's."""
    meta = row.get("meta")
    trained = meta.get("n_ctx") or meta.get("n_ctx_train") if isinstance(meta, dict) else 0
    return int(cast("int", row.get("max_model_len") or trained or 0))


def _piece(data: bytes) -> _Piece:
    event = json_object(data)
    if event.get("error"):
        raise EngineError(f"the server breaks off: {_message(event)}")
    try:
        usage = cast("Mapping[str, object]", event.get("usage") or {})
        tokens: list[Token] = []
        reason = None
        for choice in cast("list[Mapping[str, object]]", event.get("choices") or []):
            reason = choice.get("finish_reason") or reason
            if text := choice.get("text"):
                tokens.append(Token(-1, str(text), _logprob(choice.get("logprobs"))))
        return _Piece(tokens, None if reason is None else str(reason), usage)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EngineError(f"an event is not OpenAI's: {error!r}") from error


def _logprob(table: object) -> float:
    """Return the mean log-probability of the tokens of a piece, in OpenAI's or llama.cpp's form."""
    if not isinstance(table, dict):
        return math.nan
    values = table.get("token_logprobs")
    if values is None:
        values = [row["logprob"] for row in table.get("content") or []]
    known = [float(value) for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan


def _finish(reason: str, usage: Mapping[str, object], num_tokens: int) -> Finish:
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    counts = (usage.get("prompt_tokens"), cached, usage.get("completion_tokens") or num_tokens)
    prompt, cached, generated = (n if isinstance(n, int) else 0 for n in counts)
    by_length = reason == "length"
    return Finish(
        FinishReason.LENGTH if by_length else FinishReason.END_TOKEN,
        prompt_tokens=prompt,
        cached_tokens=cached,
        generated_tokens=generated,
    )


def _error(response: aiohttp.ClientResponse, body: bytes) -> EngineError:
    """Return the error that an answer other than 200 stands for."""
    table: Mapping[str, object] = {}
    with contextlib.suppress(EngineError):
        table = json_object(body)
    message = _message(table)
    said = message or readable(body)
    if response.status in {400, 413, 422} and any(m in said.lower() for m in _TOO_LONG_MARKS):
        return PromptTooLongError(said)
    if response.status == 429:
        return EngineOverloadedError(message or f"{response.url} answers 429 {response.reason}")
    error = status_error(response, b"")
    return type(error)(f"{error}: {message}") if message else status_error(response, body)


def _message(table: Mapping[str, object]) -> str:
    """Return the message of an error in the forms of OpenAI, vLLM, llama.cpp and FastAPI."""
    error = table.get("error", table)
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or ""
    return str(error)[:300]
