"""Our client of TGI: against a stand-in with TGI's bytes, and against our own server."""

from __future__ import annotations

import asyncio
import math
import socket
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from fimble.engine import EngineInfo, Finish, FinishReason, Query, Token
from fimble.errors import (
    EngineError,
    EngineOverloadedError,
    EngineUnavailableError,
    PromptTooLongError,
    SentinelInTextError,
)
from fimble.fim import FIMBLE, FORMATS, FimOrder, infill_prompt
from lsp_server.engines.connection import Connection, Server
from lsp_server.engines.tgi import TgiEngine
from tests.engine.tgi_stand_in import INFO, TgiStandIn, error_event, token_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.engine.serve_process import ServeProcess

STARCODER = FORMATS["starcoder"]


@pytest.fixture
async def tgi() -> AsyncIterator[TgiStandIn]:
    async with TgiStandIn().running() as stand_in:
        yield stand_in


@pytest.fixture
async def client(tgi: TgiStandIn) -> AsyncIterator[TgiEngine]:
    engine = TgiEngine(f"{tgi.url}/", fim_format=STARCODER, token="hf_x")  # noqa: S106 - made up
    yield engine
    await engine.close()


def query(prefix: str = "a", suffix: str = "b", **settings: object) -> Query:
    parts = infill_prompt(prefix=prefix, suffix=suffix, order=FimOrder.PSM)
    return Query(parts=parts, **settings)


async def answer(engine: TgiEngine, asked: Query) -> list[Token | Finish]:
    return [item async for item in engine.stream(asked)]


async def test_it_reads_what_tgi_says_about_itself(client: TgiEngine) -> None:
    assert await client.info() == EngineInfo(
        model="bigcode/starcoder2-3b",
        model_digest="733247c55e3f73af49ce8e9c7949bf14af205928",
        max_input_tokens=4095,
        max_total_tokens=4096,
        fim_format="",
    )


async def test_it_sends_the_rendered_prompt_and_yields_tokens_and_finish(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    items = await answer(client, query("é🙂 = 1\n", "\n", max_new_tokens=9))

    assert items == [
        Token(101, "a", -0.5),
        Token(102, "b", -0.5),
        Finish(FinishReason.LENGTH, prompt_tokens=7, cached_tokens=0, generated_tokens=2),
    ]
    assert tgi.bodies == [
        {
            "inputs": "<fim_prefix>é🙂 = 1\n<fim_suffix>\n<fim_middle>",
            "parameters": {"max_new_tokens": 9, "do_sample": False, "details": True},
        }
    ]
    assert tgi.authorization == ["Bearer hf_x"]


async def test_sampling_is_asked_for_with_temperature_and_seed(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    await answer(client, query(temperature=0.8, seed=5))

    assert tgi.bodies[0]["parameters"] == {
        "max_new_tokens": 64,
        "do_sample": True,
        "temperature": 0.8,
        "seed": 5,
        "details": True,
    }


async def test_special_tokens_add_nothing_to_the_text(tgi: TgiStandIn, client: TgiEngine) -> None:
    tgi.script = tgi.write(
        token_event(1, "a"), token_event(2, "<|endoftext|>", special=True, last="eos_token")
    )

    *tokens, finish = await answer(client, query())

    assert [token.text for token in tokens] == ["a", ""]
    assert finish.reason is FinishReason.END_TOKEN


async def test_comments_odd_packets_and_absent_logprobs_do_not_disturb(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    first = token_event(1, "é🙂").replace(b"-0.5", b"null")
    last = token_event(2, "x" * 100_000, last="stop_sequence")
    tgi.script = tgi.write(b":\n\n", first[:9], first[9:40], first[40:] + last[:50], last[50:])

    tokens = await answer(client, query())

    assert tokens[0].text == "é🙂"
    assert math.isnan(tokens[0].logprob)
    assert tokens[1].text == "x" * 100_000
    assert tokens[2].reason is FinishReason.STOP_SEQUENCE


async def test_answers_read_to_their_end_share_a_connection_and_the_one_kept_ready(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    for _ in range(5):
        await answer(client, query())

    assert len(tgi.connections) <= 2


async def test_while_a_stream_is_read_a_connection_is_opened_for_the_next(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    tgi.script = tgi.write_and_hang(token_event(1, "a"))

    for number in range(1, 4):
        async with aclosing(client.stream(query())) as items:
            await anext(items)
            while tgi.num_open < 2:
                await asyncio.sleep(0.001)
        while tgi.clients_left < number or tgi.num_open > 1:
            await asyncio.sleep(0.001)

    assert len(tgi.connections) == 3  # one a query; the next one has been open before each


async def test_where_nothing_listens_no_connection_is_kept_ready_and_nobody_is_told() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    connection = Connection(Server(url="http://127.0.0.1:1"))
    session = await connection.session()
    connection.prepare()
    connection.prepare()
    await asyncio.sleep(0.1)

    with pytest.raises(EngineUnavailableError), connection.translated_errors():
        await session.get("http://127.0.0.1:1/info")
    await connection.close()
    connection.prepare()
    await asyncio.sleep(0.01)
    assert told == []


async def test_closing_the_stream_closes_the_connection_at_once(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    tgi.script = tgi.write_and_hang(token_event(1, "a"))

    async with aclosing(client.stream(query())) as items:
        async for item in items:
            assert item == Token(101, "a", -0.5)
            break

    while not tgi.clients_left:
        await asyncio.sleep(0.001)


async def test_cancelling_the_task_that_waits_closes_the_connection_too(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    tgi.script = tgi.write_and_hang()
    task = asyncio.create_task(answer(client, query()))
    while not tgi.bodies:
        await asyncio.sleep(0.001)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    while not tgi.clients_left:
        await asyncio.sleep(0.001)


async def test_text_that_spells_a_sentinel_is_never_sent_to_a_server_that_would_obey_it(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    with pytest.raises(SentinelInTextError, match="<fim_middle>"):
        await answer(client, query('x = "<fim_middle>"'))

    assert tgi.bodies == []


async def test_half_of_a_character_in_a_document_becomes_a_question_mark(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    await answer(client, query("x = '\ud83d'"))

    assert tgi.bodies[0]["inputs"] == "<fim_prefix>x = '?'<fim_suffix>b<fim_middle>"


TOO_LONG = (
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. "
    "Given: 5000 `inputs` tokens and 64 `max_new_tokens`"
)


@pytest.mark.parametrize(
    ("message", "kind", "error"),
    [
        (TOO_LONG, "validation", PromptTooLongError),
        (
            "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000",
            "validation",
            PromptTooLongError,
        ),
        ("Input validation error: `top_p` must be > 0.0 and < 1.0", "validation", EngineError),
        ("Model is overloaded", "overloaded", EngineOverloadedError),
        ("Request failed during generation: CUDA out of memory", "generation", EngineError),
        ("Incomplete generation", "incomplete_generation", EngineError),
        ("unhealthy", "healthcheck", EngineUnavailableError),
    ],
)
@pytest.mark.parametrize("in_stream", [True, False])
async def test_tgis_errors_have_their_own_classes(
    tgi: TgiStandIn,
    client: TgiEngine,
    message: str,
    kind: str,
    error: type[EngineError],
    in_stream: bool,  # noqa: FBT001 - given by name
) -> None:
    if in_stream:
        tgi.script = tgi.write(token_event(1, "a"), error_event(message, kind))
    else:
        body = {"error": message, "error_type": kind}
        tgi.plain_answer = web.json_response(body, status=422)

    with pytest.raises(error) as caught:
        await answer(client, query())

    assert type(caught.value) is error
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, EngineError),
        (403, EngineError),
        (404, EngineError),
        (413, PromptTooLongError),
        (429, EngineOverloadedError),
        (500, EngineError),
        (502, EngineUnavailableError),
        (503, EngineUnavailableError),
        (504, EngineUnavailableError),
    ],
)
async def test_statuses_of_proxies_have_their_classes(
    tgi: TgiStandIn, client: TgiEngine, status: int, error: type[EngineError]
) -> None:
    tgi.plain_answer = web.Response(status=status, text="<html>no</html>")

    with pytest.raises(error, match=f"/generate_stream answers {status}") as caught:
        await answer(client, query())

    assert type(caught.value) is error


@pytest.mark.parametrize(
    "event",
    [
        b"data:[DONE]\n\n",
        b"data:[]\n\n",
        b"data:{}\n\n",
        b'data:{"token":{"id":1}}\n\n',
        b'data:{"token":null}\n\n',
        token_event(1, "a", last="boredom"),
        token_event(1, "a", last="length").replace(b'"input_length":7', b'"input_length":null'),
    ],
)
async def test_events_of_another_form_are_errors(
    tgi: TgiStandIn, client: TgiEngine, event: bytes
) -> None:
    tgi.script = tgi.write(event)

    with pytest.raises(EngineError):
        await answer(client, query())


async def test_an_answer_that_breaks_off_is_an_unavailable_engine(
    tgi: TgiStandIn, client: TgiEngine
) -> None:
    tgi.script = tgi.write(token_event(1, "a"))
    with pytest.raises(EngineUnavailableError, match="before the end"):
        await answer(client, query())

    async def reset(response: web.StreamResponse) -> None:
        await response.write(token_event(1, "a"))
        response._req.transport.abort()

    tgi.script = reset
    with pytest.raises(EngineUnavailableError, match="no answer from"):
        await answer(client, query())


async def test_nothing_that_listens_is_an_unavailable_engine() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        engine = TgiEngine(f"http://127.0.0.1:{taken.getsockname()[1]}", fim_format=STARCODER)
        with pytest.raises(EngineUnavailableError, match="no answer from http://127"):
            await engine.info()
        with pytest.raises(EngineUnavailableError):
            await answer(engine, query())
        await engine.close()


@pytest.mark.parametrize(
    "info", [[], {}, {**INFO, "max_total_tokens": None}, {"max_input_tokens": 1}]
)
async def test_another_kind_of_server_is_an_error(
    tgi: TgiStandIn, client: TgiEngine, info: object
) -> None:
    tgi.info = info

    with pytest.raises(EngineError):
        await client.info()


async def test_close_ends_streams_under_way(tgi: TgiStandIn, client: TgiEngine) -> None:
    tgi.script = tgi.write_and_hang(token_event(1, "a"))
    items = client.stream(query())
    await anext(items)

    await client.close()

    with pytest.raises(EngineUnavailableError):
        await anext(items)


async def test_our_own_server_gets_segments_and_sentinels_in_text_are_harmless(
    server: ServeProcess,
) -> None:
    """The configured format is ignored: the server names its own."""
    engine = TgiEngine(server.url, fim_format=STARCODER, token=server.token)
    text = 'x = "<|fim_middle|>"  # 🙂\r\n'
    asked = query(text, "<|endoftext|>", max_new_tokens=4)

    *tokens, finish = await answer(engine, asked)
    again = await answer(engine, asked)

    assert (await engine.info()).fim_format == "fimble"
    assert len(tokens) == finish.generated_tokens == 4
    assert finish.cached_tokens == 0
    assert again[-1].cached_tokens == finish.prompt_tokens  # its scores are remembered, too
    assert [token.token_id for token in again[:-1]] == [token.token_id for token in tokens]
    assert finish.prompt_tokens > len(FIMBLE.sentinels())
    await engine.close()


async def test_our_own_server_says_that_a_prompt_is_too_long(server: ServeProcess) -> None:
    engine = TgiEngine(server.url, fim_format=FIMBLE, token=server.token)

    with pytest.raises(PromptTooLongError, match="2048"):
        await answer(engine, query("1" * 2040))
    with pytest.raises(PromptTooLongError, match="413"):
        await answer(engine, query("1" * 2_000_000))
    await engine.close()


async def test_a_wrong_token_is_an_error_that_says_so(server: ServeProcess) -> None:
    engine = TgiEngine(server.url, fim_format=FIMBLE, token="wrong")  # noqa: S106 - made up

    with pytest.raises(EngineError, match=r"answers 401 .*wants another token"):
        await answer(engine, query())
    await engine.close()
