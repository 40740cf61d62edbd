"""Our client of OpenAI's `/v1/completions`: against a stand-in with the dialects of its servers."""

from __future__ import annotations

import asyncio
import math
import shutil
import ssl
import subprocess
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from fimble.engine import EngineInfo, Finish, FinishReason, Query, Token
from fimble.errors import (
    ConfigError,
    EngineError,
    EngineOverloadedError,
    EngineUnavailableError,
    PromptTooLongError,
    SentinelInTextError,
)
from fimble.fim import FORMATS
from fimble.settings import BackendKind, EngineSettings
from lsp_server.engines.connection import Server
from lsp_server.engines.openai import CompletionsEngine
from lsp_server.engines.shared import engine_for
from lsp_server.engines.tgi import TgiEngine
from tests.stand_ins.openai_app import (
    DONE,
    LLAMA_CPP_MODELS,
    OpenAiStandIn,
    event,
    piece,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

QWEN = FORMATS["qwen"]


@pytest.fixture
async def server() -> AsyncIterator[OpenAiStandIn]:
    async with OpenAiStandIn().running() as stand_in:
        yield stand_in


@pytest.fixture
async def client(server: OpenAiStandIn) -> AsyncIterator[CompletionsEngine]:
    engine = CompletionsEngine(Server(url=f"{server.url}/v1/", token="sk-x"), fim_format=QWEN)  # noqa: S106 - made up
    yield engine
    await engine.close()


def query(prefix: str = "a", suffix: str = "b", **settings: object) -> Query:
    return Query(parts=QWEN.prompt(prefix=prefix, suffix=suffix, path="f.py"), **settings)


async def answer(engine: CompletionsEngine, asked: Query) -> list[Token | Finish]:
    return [item async for item in engine.stream(asked)]


async def test_it_asks_for_the_first_model_and_yields_pieces_and_finish(
    server: OpenAiStandIn, client: CompletionsEngine
) -> None:
    info = await client.info()
    items = await answer(client, query("é🙂 = 1\n", "\n", max_new_tokens=9))

    assert info == EngineInfo("Qwen/Qwen2.5-Coder-1.5B", "", 8192, 8192, "qwen")
    assert items == [
        Token(-1, "a", -0.5),
        Token(-1, "é🙂", -1.5),
        Finish(FinishReason.END_TOKEN, prompt_tokens=7, cached_tokens=4, generated_tokens=3),
    ]
    assert server.bodies == [
        {
            "model": "Qwen/Qwen2.5-Coder-1.5B",
            "prompt": "<|file_sep|>f.py\n<|fim_prefix|>é🙂 = 1\n<|fim_suffix|>\n<|fim_middle|>",
            "max_tokens": 9,
            "temperature": 0.0,
            "stop": ["<|endoftext|>", "<|file_sep|>", "<|fim_prefix|>", "<|fim_middle|>"],
            "stream": True,
            "logprobs": 1,
            "stream_options": {"include_usage": True},
            "skip_special_tokens": False,
        }
    ]
    assert server.authorization == ["Bearer sk-x"]


async def test_a_model_is_chosen_by_name_and_an_unknown_one_refused(server: OpenAiStandIn) -> None:
    engine = CompletionsEngine(Server(url=server.url), fim_format=QWEN, model="other")
    assert await engine.info() == EngineInfo("other", "", 512, 512, "qwen")
    await engine.close()
    engine = CompletionsEngine(Server(url=server.url), fim_format=QWEN, model="gpt")
    with pytest.raises(EngineError, match=r"does not serve 'gpt'; it names Qwen/.*, other"):
        await engine.info()
    await engine.close()


async def test_llama_cpp_names_its_context_and_log_probabilities_in_its_own_places(
    server: OpenAiStandIn, client: CompletionsEngine
) -> None:
    server.models = LLAMA_CPP_MODELS
    rows = [{"token": "x", "logprob": -1.0}, {"token": "y", "logprob": -3.0}]
    choice = {"text": "xy", "finish_reason": None, "logprobs": {"content": rows}}
    server.pieces = (event({"choices": [choice]}), piece("", reason="length"), DONE)

    assert (await client.info()).max_total_tokens == 32768
    first, finish = await answer(client, query())

    assert first == Token(-1, "xy", -2.0)
    assert finish == Finish(FinishReason.LENGTH, 0, 0, 1)


@pytest.mark.parametrize("field", ["logprobs", "stream_options", "skip_special_tokens"])
async def test_a_field_that_a_server_refuses_is_left_out_from_then_on(
    server: OpenAiStandIn, client: CompletionsEngine, field: str
) -> None:
    def strict(body: dict[str, object]) -> web.Response | None:
        detail = [{"loc": ["body", field], "msg": "Extra inputs are not permitted"}]
        return web.json_response({"detail": detail}, status=422) if field in body else None

    server.answer = strict
    server.pieces = (piece("a"), piece("", reason="stop"), DONE)

    first, finish = await answer(client, query())
    await answer(client, query())

    assert (first.text, finish.reason) == ("a", FinishReason.END_TOKEN)
    assert math.isnan(first.logprob)
    assert [field in body for body in server.bodies] == [True, False, False]


@pytest.mark.parametrize("end", ["<|file_sep|>", "<|fim_pad|>", "<|im_end|>"])
async def test_a_special_token_ends_the_answer_and_the_connection(
    server: OpenAiStandIn, client: CompletionsEngine, end: str
) -> None:
    server.pieces = (piece("x = 1"), piece(f"\n{end}more"), piece("never"))
    server.hangs = True

    items = await answer(client, query())

    assert [item.text for item in items[:-1]] == ["x = 1", "\n"]
    assert items[-1] == Finish(FinishReason.END_TOKEN, 0, 0, 2)
    while not server.clients_left:
        await asyncio.sleep(0.001)


async def test_whole_answers_share_a_connection_and_one_left_early_is_closed(
    server: OpenAiStandIn, client: CompletionsEngine
) -> None:
    for _ in range(3):
        await answer(client, query())
    assert len(server.connections) <= 2  # one is kept ready for the next query

    server.hangs = True
    server.pieces = (piece("a"),)
    async with aclosing(client.stream(query())) as items:
        assert (await anext(items)).text == "a"
    while not server.clients_left:
        await asyncio.sleep(0.001)


async def test_text_that_spells_a_sentinel_is_never_sent(
    server: OpenAiStandIn, client: CompletionsEngine
) -> None:
    with pytest.raises(SentinelInTextError, match="fim_middle"):
        await answer(client, query("x = '<|fim_middle|>'"))
    assert server.bodies == []


OPENAI = {"error": {"message": "no", "type": "x", "code": "y"}}
VLLM = {"object": "error", "message": "no", "type": "BadRequestError", "code": 400}
TOO_LONG = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens"


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (401, OPENAI, EngineError, "the server wants another token: no"),
        (404, {"error": {"message": "The model `x` does not exist"}}, EngineError, "model `x`"),
        (404, {"detail": "Not Found"}, EngineError, "does not speak OpenAI's API"),
        (400, VLLM, EngineError, "answers 400 Bad Request: no"),
        (422, {"detail": "no"}, EngineError, "answers 422"),
        (400, {"message": TOO_LONG}, PromptTooLongError, "maximum context length"),
        (
            400,
            {"error": {"code": 400, "message": "the request exceeds the available context size"}},
            PromptTooLongError,
            "context size",
        ),
        (429, OPENAI, EngineOverloadedError, "^no$"),
        (429, "<html>slow down</html>", EngineOverloadedError, "answers 429 Too Many Requests$"),
        (500, "<html>boom</html>", EngineError, "answers 500 Internal Server Error$"),
        (503, {"error": {"code": 503, "message": "Loading model"}}, EngineUnavailableError, "Load"),
        (504, "", EngineUnavailableError, "answers 504"),
    ],
    ids=str,
)
async def test_refusals_have_their_classes_and_messages(
    server: OpenAiStandIn,
    client: CompletionsEngine,
    status: int,
    body: object,
    error: type[EngineError],
    message: str,
) -> None:
    def refuse(_: dict[str, object]) -> web.Response:
        if isinstance(body, str):
            return web.Response(status=status, text=body)
        return web.json_response(body, status=status)

    server.answer = refuse
    with pytest.raises(error, match=message) as caught:
        await answer(client, query())
    assert type(caught.value) is error
    assert "<" not in str(caught.value)


@pytest.mark.parametrize(
    ("pieces", "error", "message"),
    [
        ((piece("a"),), EngineUnavailableError, "before the end"),
        ((piece("a"), DONE), EngineUnavailableError, "before the end"),
        ((b"data: {\n\n",), EngineError, "not JSON"),
        ((b"data: <html>\n\n",), EngineError, "a web page"),
        ((b"data: []\n\n",), EngineError, "list, not an object"),
        ((event({"choices": 3}),), EngineError, "not OpenAI's"),
        ((event({"choices": [3]}),), EngineError, "not OpenAI's"),
        ((event({"choices": [{"text": "a", "logprobs": {"token_logprobs": ["x"]}}]}),),
         EngineError, "not OpenAI's"),
        ((piece("a"), event({"error": {"message": "CUDA"}})), EngineError, "breaks off: CUDA"),
        ((b"data: " + b"x" * 3_000_000 + b"\n\n",), EngineError, "an endless line"),
    ],
    ids=range(10),
)  # fmt: skip
async def test_broken_streams_are_errors(
    server: OpenAiStandIn,
    client: CompletionsEngine,
    pieces: tuple[bytes, ...],
    error: type[EngineError],
    message: str,
) -> None:
    server.pieces = pieces
    with pytest.raises(error, match=message):
        await answer(client, query())


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"data": []}, "names no model"),
        ({"object": "list"}, "'data'"),
        ({"data": [{"object": "model"}]}, "'id'"),
        ([], "list, not an object"),
    ],
    ids=str,
)
async def test_what_is_no_openai_server_is_said_in_one_message(
    server: OpenAiStandIn, client: CompletionsEngine, models: object, message: str
) -> None:
    server.models = models
    with pytest.raises(EngineError, match=message) as caught:
        await client.info()
    assert 'Text Generation Inference needs `backend = "tgi"`' in str(caught.value)


@pytest.mark.parametrize("page", ["<!doctype html><p>hello", '{"hello": 1}', "", "null"])
async def test_a_tgi_address_that_is_something_else_is_said_in_one_message(page: str) -> None:
    async def info(_: web.Request) -> web.Response:
        return web.Response(text=page)

    app = web.Application()
    app.router.add_get("/info", info)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    engine = TgiEngine(url, fim_format=QWEN)
    with pytest.raises(EngineError) as caught:
        await engine.info()
    assert str(caught.value).startswith(f"{url} is not a TGI server: ")
    assert 'need `backend = "openai"`' in str(caught.value)
    assert "doctype" not in str(caught.value)
    await engine.close()
    await runner.cleanup()


async def test_a_tgi_address_of_an_openai_server_is_named(server: OpenAiStandIn) -> None:
    engine = engine_for(EngineSettings(tgi_url=server.url))
    with pytest.raises(EngineError, match=r"/info answers 404 Not Found; .* `backend = .openai.`"):
        await engine.info()
    await engine.close()


@pytest.fixture
def made_certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return a certificate for localhost that signs itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make a certificate")
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


async def test_a_companys_own_certificate_authority_is_trusted_where_it_is_named(
    made_certificate: tuple[Path, Path],
) -> None:
    certificate, key = made_certificate
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with OpenAiStandIn().running(tls) as server:
        settings = {"backend": BackendKind.OPENAI, "url": server.url, "fim_format": "qwen"}
        trusting = engine_for(EngineSettings(**settings, ca_file=str(certificate)))
        assert (await answer(trusting, query()))[0].text == "a"
        await trusting.close()
        doubting = engine_for(EngineSettings(**settings))
        with pytest.raises(EngineError, match=r"certificate of .* is not trusted.*ca_file"):
            await answer(doubting, query())
        await doubting.close()
        wrong = engine_for(EngineSettings(**settings, ca_file=str(key.with_name("none.pem"))))
        with pytest.raises(ConfigError, match=r"none\.pem, which cannot be used"):
            await wrong.info()


async def test_a_proxy_of_the_environment_is_used_and_local_addresses_are_not_its_business(
    server: OpenAiStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        for no_proxy, is_proxied in (("", True), ("127.0.0.1", False)):
            monkeypatch.setenv("no_proxy", no_proxy)
            settings = EngineSettings(backend=BackendKind.OPENAI, url=server.url, fim_format="qwen")
            engine = engine_for(settings)
            if is_proxied:
                with pytest.raises(EngineUnavailableError, match="answers 503"):
                    await engine.info()
            else:
                assert (await engine.info()).model == "Qwen/Qwen2.5-Coder-1.5B"
            await engine.close()
    assert asked == [f"GET {server.url}/v1/models HTTP/1.1\r\n"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": BackendKind.TGI}, 'backend is "tgi", which needs url'),
        ({"url": "http://x"}, 'url is set, and backend is "embedded"'),
        ({"tgi_url": "http://x", "url": "http://y"}, "set one or the other"),
        ({"tgi_url": "http://x", "backend": BackendKind.OPENAI}, "set one or the other"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_named(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        engine_for(EngineSettings(**settings))
