"""TGI's HTTP API around the embedded engine.

Source: text-generation-inference v3.3.7, router/src/server.rs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from lsp_server.serving import bodies
from lsp_server.serving.front import InferError
from lsp_server.serving.parameters import MalformedBodyError, read_request
from lsp_server.serving.validation import ValidationError, check_streamable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp.typedefs import Handler

    from lsp_server.engines.embedded import GeneratedToken
    from lsp_server.serving.front import Answer, Front
    from lsp_server.serving.parameters import Request

logger = logging.getLogger(__name__)

COMPUTE_TYPE = "cpu"
KEEP_ALIVE_S = 15
"""A stream that waits says so, or proxies close it."""


class Api:
    """The routes.

    Args:
        front: Where requests go.
        api_key: Bearer token that requests for text need; empty means none.
    """

    def __init__(self, front: Front, *, api_key: str) -> None:
        self._front = front
        self._api_key = api_key.encode()

    def application(self) -> web.Application:
        """Return the application for a web server.

        No cross-origin headers are sent, unlike by TGI: pages in the user's browser have no
        business with an engine on this machine.
        """
        app = web.Application(
            client_max_size=self._front.limits.max_body_bytes,
            middlewares=[_plain_errors, self._authorised],
        )
        app.add_routes(
            [
                web.post("/", self._compatible),
                web.post("/generate", self._generate),
                web.post("/generate_stream", self._generate_stream),
                web.post("/tokenize", self._tokenize),
                web.get("/", self._health),
                web.get("/health", self._health),
                web.get("/ping", self._health),
                web.get("/info", self._info),
                web.get("/metrics", self._metrics),
                web.get("/v1/models", self._models),
            ]
        )
        return app

    @web.middleware
    async def _authorised(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests for text without the key; what describes the server is open."""
        if self._api_key and request.method == "POST":
            scheme, _, key = request.headers.get("Authorization", "").partition(" ")
            is_right = hmac.compare_digest(_raw(key.strip()), self._api_key)
            if scheme.lower() != "bearer" or not is_right:
                return web.Response(status=401)
        return await handler(request)

    async def _compatible(self, http_request: web.Request) -> web.StreamResponse:
        request = await _read(http_request)
        if request.stream:
            return await self._stream(http_request, request)
        return await self._whole(request, as_list=True)

    async def _generate(self, http_request: web.Request) -> web.StreamResponse:
        return await self._whole(await _read(http_request), as_list=False)

    async def _generate_stream(self, http_request: web.Request) -> web.StreamResponse:
        return await self._stream(http_request, await _read(http_request))

    async def _whole(self, request: Request, *, as_list: bool) -> web.Response:
        front = self._front
        front.metrics.requests += 1
        try:
            answers = await front.answers(request)
        except InferError as error:
            logger.info("generate %d %s", error.status, error.kind)
            return _json(bodies.error_body(error), status=error.status)
        parameters = request.parameters
        body = bodies.generate_body(
            answers,
            front.engine.vocabulary,
            prompt=request.full_text if parameters.return_full_text else "",
            has_details=parameters.details or parameters.decoder_input_details,
        )
        headers = _timing_headers(request, answers[0], front.clock.monotonic_ms())
        _log("generate", answers[0])
        return _json([body] if as_list else body, headers=headers)

    async def _stream(self, http_request: web.Request, request: Request) -> web.StreamResponse:
        """Answer with server-sent events; after the status line, errors are events too."""
        self._front.metrics.requests += 1
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "x-compute-type": COMPUTE_TYPE,
                "x-compute-characters": str(len(request.full_text)),
                "x-accel-buffering": "no",
            }
        )
        await response.prepare(http_request)
        try:
            async with contextlib.aclosing(self._tokens(request)) as tokens:
                await self._send_tokens(response, request, tokens)
        except InferError as error:
            logger.info("generate_stream %s", error.kind)
            await response.write(_event(bodies.error_body(error)))
        await response.write_eof()
        return response

    async def _tokens(self, request: Request) -> AsyncGenerator[tuple[Answer, GeneratedToken]]:
        try:
            check_streamable(request.parameters)
        except ValidationError as error:
            self._front.metrics.failed("validation")
            raise InferError(422, "validation", f"Input validation error: {error}") from error
        async with contextlib.aclosing(self._front.stream(request)) as tokens:
            async for answer, token in tokens:
                yield answer, token

    async def _send_tokens(
        self,
        response: web.StreamResponse,
        request: Request,
        tokens: AsyncGenerator[tuple[Answer, GeneratedToken]],
    ) -> None:
        parameters = request.parameters
        keeping = asyncio.create_task(_keep_alive(response))
        try:
            async for answer, token in tokens:
                body = bodies.stream_body(
                    answer,
                    token,
                    self._front.engine.vocabulary,
                    prompt=request.full_text if parameters.return_full_text else "",
                    has_details=parameters.details,
                    has_counts=parameters.details and not isinstance(request.inputs, str),
                )
                await response.write(_event(body))
                if token.finish:
                    _log("generate_stream", answer)
        finally:
            keeping.cancel()

    async def _tokenize(self, http_request: web.Request) -> web.Response:
        request = await _read(http_request)
        vocabulary = self._front.engine.vocabulary
        inputs = request.inputs
        try:
            pieces = await self._front.in_background(
                lambda: (
                    vocabulary.pieces_rendered(inputs)
                    if isinstance(inputs, str)
                    else vocabulary.pieces(inputs)
                )
            )
        except KeyError as error:
            message = f"Input validation error: the model has no special token {error}"
            return _json(bodies.error_body(InferError(422, "validation", message)), status=422)
        return _json(bodies.tokenize_body(pieces, request.full_text))

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _info(self, _request: web.Request) -> web.Response:
        return _json(bodies.info_body(self._front.engine.manifest, self._front.limits))

    async def _models(self, _request: web.Request) -> web.Response:
        return _json(bodies.models_body(self._front.engine.manifest))

    async def _metrics(self, _request: web.Request) -> web.Response:
        text = self._front.metrics.render(self._front.thread)
        return web.Response(body=text.encode(), content_type="text/plain", charset="utf-8")


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer malformed requests with plain text, as TGI does."""
    try:
        return await handler(request)
    except MalformedBodyError as error:
        return web.Response(status=error.status, text=error.message)
    except web.HTTPRequestEntityTooLarge:
        text = "Failed to buffer the request body: length limit exceeded"
        return web.Response(status=413, text=text)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return web.Response(status=error.status, headers=headers)


def _raw(header: str) -> bytes:
    """Return the bytes that were sent; a header need not be valid UTF-8."""
    return header.encode(errors="surrogateescape")


async def _read(http_request: web.Request) -> Request:
    if http_request.content_type != "application/json":
        raise MalformedBodyError(415, "Expected request with `Content-Type: application/json`")
    return read_request(await http_request.read())


async def _keep_alive(response: web.StreamResponse) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            await response.write(b":\n\n")


def _event(body: object) -> bytes:
    return b"data:" + bodies.to_bytes(body) + b"\n\n"


def _json(
    body: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=bodies.to_bytes(body), status=status, headers=headers, content_type="application/json"
    )


def _timing_headers(request: Request, answer: Answer, now_ms: float) -> dict[str, str]:
    timing = answer.timing(now_ms)
    return {
        "x-compute-type": COMPUTE_TYPE,
        "x-compute-time": str(timing.total_s),
        "x-compute-characters": str(len(request.full_text)),
        "x-total-time": str(int(timing.total_s * 1000)),
        "x-validation-time": str(int(timing.validation_s * 1000)),
        "x-queue-time": str(int(timing.queue_s * 1000)),
        "x-inference-time": str(int(timing.inference_s * 1000)),
        "x-time-per-token": str(int(timing.per_token_s * 1000)),
        "x-prompt-tokens": str(len(answer.generation.prompt_ids)),
        "x-generated-tokens": str(len(answer.tokens)),
    }


def _log(route: str, answer: Answer) -> None:
    """Write one line about a request; never any of its text."""
    logger.info(
        "%s 200 prompt=%d cached=%d generated=%d finish=%s",
        route,
        len(answer.generation.prompt_ids),
        answer.cached_tokens,
        len(answer.tokens),
        answer.tokens[-1].finish,
    )
