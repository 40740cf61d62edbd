"""`fimble serve` as its clients see it: a real process, real sockets, TGI's bytes."""

from __future__ import annotations

import asyncio
import io
import json
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import ValidationError

from fimble.fim import SPECIAL_TOKENS
from tests.engine.serve_process import ServeProcess, serving
from tests.stand_ins.tiny_model import tiny_model_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Json = dict[str, Any]

pytestmark = pytest.mark.e2e

PROMPT = "def add(first, second):\r\n    return first  # 🙂\n"
TOO_MANY = "`inputs` tokens + `max_new_tokens` must be <= 2048"
GREEDY = {"max_new_tokens": 5, "details": True}


@pytest.fixture
async def http(server: ServeProcess) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url, headers=server.headers) as session:
        yield session


async def generated(http: aiohttp.ClientSession, inputs: object, **parameters: object) -> Json:
    body = {"inputs": inputs, "parameters": {**GREEDY, **parameters}}
    async with http.post("/generate", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def streamed(http: aiohttp.ClientSession, inputs: object, **parameters: object) -> list[Json]:
    body = {"inputs": inputs, "parameters": {**GREEDY, **parameters}}
    async with http.post("/generate_stream", json=body) as answer:
        assert answer.status == 200
        data = await answer.read()
    return [json.loads(event.removeprefix(b"data:")) for event in data.split(b"\n\n") if event]


async def test_the_hub_client_gets_text_details_and_streams(server: ServeProcess) -> None:
    client = AsyncInferenceClient(model=server.url, token=server.token)

    text = await client.text_generation(PROMPT, max_new_tokens=5)
    whole = await client.text_generation(PROMPT, max_new_tokens=5, details=True)
    tokens = [
        token
        async for token in await client.text_generation(
            PROMPT, max_new_tokens=5, details=True, stream=True
        )
    ]

    assert whole.generated_text == text
    assert whole.details.finish_reason == "length"
    assert whole.details.generated_tokens == 5
    assert whole.details.seed is None
    assert [token.token.id for token in tokens] == [token.id for token in whole.details.tokens]
    assert [token.index for token in tokens] == [1, 2, 3, 4, 5]
    assert [token.generated_text for token in tokens] == [None, None, None, None, text]
    assert tokens[-1].details.finish_reason == "length"
    assert tokens[-1].details.generated_tokens == 5
    assert tokens[-1].details.input_length > 20
    await client.close()


async def test_the_hub_client_samples_and_reads_errors(server: ServeProcess) -> None:
    client = AsyncInferenceClient(model=server.url, token=server.token)
    settings = {"max_new_tokens": 8, "do_sample": True, "temperature": 0.9, "top_p": 0.9}

    first, again = [await client.text_generation(PROMPT, seed=4, **settings) for _ in range(2)]
    best = await client.text_generation(PROMPT, best_of=2, details=True, **settings)

    assert first == again
    assert best.details.seed != best.details.best_of_sequences[0].seed
    mean = [
        sum(token.logprob for token in each.tokens) / len(each.tokens)
        for each in (best.details, best.details.best_of_sequences[0])
    ]
    assert mean[0] >= mean[1]
    with pytest.raises(ValidationError, match="`temperature` must be strictly positive"):
        await client.text_generation(PROMPT, temperature=-1.0)
    with pytest.raises(ValidationError, match="cannot be empty"):
        async for _ in await client.text_generation("", stream=True):
            pass
    await client.close()


async def test_a_stream_has_tgis_bytes_and_headers(http: aiohttp.ClientSession) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 2, "details": True}}
    async with http.post("/generate_stream", json=body) as answer:
        data = await answer.read()
        headers = answer.headers

    number = rb"-?\d+\.\d+"
    token = rb'"token":\{"id":\d+,"text":"[^"]*","logprob":' + number + rb',"special":false\}'
    assert re.fullmatch(
        rb'data:\{"index":1,' + token + rb',"generated_text":null,"details":null\}\n\n'
        rb'data:\{"index":2,' + token + rb',"generated_text":"[^"]*","details":\{'
        rb'"finish_reason":"length","generated_tokens":2,"seed":null,"input_length":\d+,'
        rb'"cached_tokens":\d+\}\}\n\n',
        data,
    )
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-compute-type"] == "cpu"
    assert headers["x-compute-characters"] == str(len(PROMPT))
    assert "Access-Control-Allow-Origin" not in headers


async def test_an_answer_has_tgis_keys_and_headers(http: aiohttp.ClientSession) -> None:
    parameters = {**GREEDY, "top_n_tokens": 2, "decoder_input_details": True}
    async with http.post("/generate", json={"inputs": "a = 1", "parameters": parameters}) as answer:
        table = await answer.json()
        headers = answer.headers

    assert list(table) == ["generated_text", "details"]
    details = table["details"]
    assert list(details) == [
        "finish_reason",
        "generated_tokens",
        "seed",
        "prefill",
        "tokens",
        "top_tokens",
        "cached_tokens",
    ]
    assert "".join(token["text"] for token in details["prefill"]) == "a = 1"
    assert details["prefill"][0]["logprob"] is None
    assert all(token["logprob"] < 0 for token in details["prefill"][1:])
    assert [len(top) for top in details["top_tokens"]] == [2] * 5
    for token, top in zip(details["tokens"], details["top_tokens"], strict=True):
        assert {**top[0], "text": token["text"]} == token
    assert headers["Content-Type"] == "application/json"
    assert headers["x-prompt-tokens"] == str(len(details["prefill"]))
    assert headers["x-generated-tokens"] == "5"
    for name in ("total", "validation", "queue", "inference"):
        assert int(headers[f"x-{name}-time"]) >= 0
    assert int(headers["x-time-per-token"]) >= 0
    assert float(headers["x-compute-time"]) > 0


async def test_an_end_token_is_told_and_left_out_of_the_text(tmp_path: Path) -> None:
    """The tiny model scores special tokens like any other: hot draws soon meet one."""
    with serving(tiny_model_folder(), tmp_path) as tiny:
        async with aiohttp.ClientSession(tiny.url, headers=tiny.headers) as http:
            results = [
                await streamed(http, "a", max_new_tokens=40, temperature=9.0, seed=seed)
                for seed in range(9)
            ]
    events = next(r for r in results if r[-1]["details"]["finish_reason"] == "eos_token")

    *before, last = [event["token"] for event in events]
    assert last["special"]
    assert last["text"] == SPECIAL_TOKENS[last["id"]]
    assert not any(token["special"] for token in before)
    assert events[-1]["generated_text"] == "".join(token["text"] for token in before)
    assert events[-1]["details"]["generated_tokens"] == len(events)


async def test_details_are_left_out_unless_asked_for(http: aiohttp.ClientSession) -> None:
    assert list(await generated(http, PROMPT, details=False)) == ["generated_text"]
    events = await streamed(http, PROMPT, details=False)
    assert events[-1]["details"] is None


async def test_the_root_route_answers_with_a_list_or_a_stream(http: aiohttp.ClientSession) -> None:
    expected = await generated(http, PROMPT)
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 5}}

    async with http.post("/", json=body) as answer:
        assert await answer.json() == [{"generated_text": expected["generated_text"]}]
    async with http.post("/", json={**body, "stream": True}) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        last = (await answer.read()).split(b"\n\n")[-2]
    assert json.loads(last[5:])["generated_text"] == expected["generated_text"]


async def test_stream_and_answer_agree_and_the_prompt_can_come_first(
    http: aiohttp.ClientSession,
) -> None:
    whole = await generated(http, PROMPT, max_new_tokens=40)
    events = await streamed(http, PROMPT, max_new_tokens=40, return_full_text=True)

    tokens = [event["token"] for event in events]
    assert tokens == whole["details"]["tokens"]
    text = "".join(token["text"] for token in tokens if not token["special"])
    assert whole["generated_text"] == text
    assert events[-1]["generated_text"] == PROMPT + text


async def test_the_cache_is_used_and_told(
    http: aiohttp.ClientSession, server: ServeProcess
) -> None:
    prompt = "import json\n" * 30
    cached, read = "fimble_cached_tokens_total", "fimble_prompt_tokens_total"
    before = server.metric(cached), server.metric(read)

    first = (await streamed(http, prompt))[-1]["details"]
    second = (await generated(http, f"{prompt}import"))["details"]

    assert first["cached_tokens"] < 5
    assert second["cached_tokens"] >= first["input_length"] - 1
    assert server.metric(cached) - before[0] == first["cached_tokens"] + second["cached_tokens"]
    assert server.metric(read) - before[1] >= 2 * first["input_length"]


async def test_segments_are_never_parsed_for_special_tokens(http: aiohttp.ClientSession) -> None:
    text = "x = '<|fim_middle|>'"
    segments = [{"special": "<|fim_prefix|>"}, text, {"special": "<|fim_middle|>"}]

    async with http.post("/tokenize", json={"inputs": segments}) as answer:
        pieces = await answer.json()
    async with http.post("/tokenize", json={"inputs": text}) as answer:
        parsed = await answer.json()
    result = await generated(http, segments, decoder_input_details=True, return_full_text=True)

    specials = [piece for piece in pieces if piece["id"] < len(SPECIAL_TOKENS)]
    assert [piece["text"] for piece in specials] == ["<|fim_prefix|>", "<|fim_middle|>"]
    assert "".join(piece["text"] for piece in pieces) == f"<|fim_prefix|>{text}<|fim_middle|>"
    assert pieces[-1]["stop"] == len(f"<|fim_prefix|>{text}<|fim_middle|>")
    assert {"id": 2, "text": "<|fim_middle|>", "start": 5, "stop": 19} in parsed
    assert [t["id"] for t in result["details"]["prefill"]] == [p["id"] for p in pieces]
    assert result["generated_text"].startswith(f"<|fim_prefix|>{text}<|fim_middle|>")


async def test_truncate_keeps_the_end_of_the_prompt(http: aiohttp.ClientSession) -> None:
    whole = await generated(http, PROMPT, decoder_input_details=True)
    cut = await generated(http, PROMPT, decoder_input_details=True, truncate=7)

    assert [token["id"] for token in cut["details"]["prefill"]] == [
        token["id"] for token in whole["details"]["prefill"][-7:]
    ]


async def test_without_parameters_tgi_draws_until_the_context_is_full_or_the_text_ends(
    http: aiohttp.ClientSession,
) -> None:
    async with http.post("/generate", json={"inputs": PROMPT}) as answer:
        assert answer.status == 200
        assert list(await answer.json()) == ["generated_text"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"temperature": 0}, "`temperature` must be strictly positive"),
        ({"temperature": 1e999}, "`temperature` must be strictly positive"),
        ({"repetition_penalty": 0}, "`repetition_penalty` must be strictly positive"),
        ({"frequency_penalty": 2.1}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
        ({"top_k": 0}, "`top_k` must be strictly positive"),
        ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
        ({"typical_p": 0}, "`typical_p` must be > 0.0 and < 1.0"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
        ({"stop": ["a"] * 5}, "`stop` supports up to 4 stop sequences. Given: 5"),
        ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
        ({"truncate": 0}, "`truncate` must be strictly positive and less than 2047. Given: 0"),
        ({"best_of": 3, "do_sample": True}, "`best_of` must be > 0 and <= 2. Given: 3"),
        ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
        (
            {"best_of": 2, "do_sample": True, "seed": 1},
            "`seed` must not be set when `best_of` > 1",
        ),
        ({"grammar": {"type": "regex", "value": "a"}}, "grammar is not supported"),
        ({"watermark": True}, "`watermark` is not supported"),
        ({"adapter_id": "x"}, "`adapter_id` is not supported"),
    ],
)
async def test_parameters_outside_of_their_range_are_refused_with_tgis_words(
    http: aiohttp.ClientSession, parameters: dict[str, object], message: str
) -> None:
    body = json.dumps({"inputs": PROMPT, "parameters": parameters}).replace("Infinity", "1e999")
    headers = {"Content-Type": "application/json"}
    async with http.post("/generate", data=body, headers=headers) as answer:
        assert answer.status == 422
        assert await answer.json() == {
            "error": f"Input validation error: {message}",
            "error_type": "validation",
        }


@pytest.mark.parametrize(
    ("inputs", "parameters", "message"),
    [
        ("", {}, "`inputs` cannot be empty"),
        ([], {}, "`inputs` cannot be empty"),
        (["", ""], {}, "`inputs` cannot be empty"),
        ([{"special": "<|nope|>"}], {}, "the model has no special token '<|nope|>'"),
        (
            "1" * 2000,
            {"max_new_tokens": 49},
            f"{TOO_MANY}. Given: 2000 `inputs` tokens and 49 `max_new_tokens`",
        ),
        (
            "1" * 1025,
            {"max_new_tokens": 5000},
            f"{TOO_MANY}. Given: 1025 `inputs` tokens and 1024 `max_new_tokens`",
        ),
        ("1" * 2048, {}, "`inputs` must have less than 2047 tokens. Given: 2048"),
        (PROMPT, {"best_of": 2}, "`best_of` != 1 is not supported when streaming tokens"),
        (
            PROMPT,
            {"decoder_input_details": True},
            "`decoder_input_details` == true is not supported when streaming tokens",
        ),
    ],
)
async def test_errors_in_streams_are_events_behind_a_status_of_200(
    http: aiohttp.ClientSession, inputs: object, parameters: dict[str, object], message: str
) -> None:
    body = {"inputs": inputs, "parameters": parameters}
    async with http.post("/generate_stream", json=body) as answer:
        assert answer.status == 200
        data = await answer.read()

    expected = json.dumps(
        {"error": f"Input validation error: {message}", "error_type": "validation"},
        separators=(",", ":"),
    )
    assert data.decode() == f"data:{expected}\n\n"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{", 400, "Failed to parse the request body as JSON: "),
        (b'{"inputs": "\xff"}', 400, "Failed to parse the request body as JSON: "),
        (b'{"inputs": "\\ud83d"}', 400, "Failed to parse the request body as JSON: "),
        (b'{"inputs": "a", "parameters": {"top_p": NaN}}', 400, "Failed to parse the request"),
        (b"[" * 100_000, 400, "Failed to parse the request body as JSON: "),
        (b"[]", 422, "invalid type: sequence, expected struct GenerateRequest"),
        (b"{}", 422, "missing field `inputs`"),
        (b'{"inputs": 1}', 422, "inputs: invalid type: integer `1`, expected a string"),
        (b'{"inputs": ["a", {"text": "b"}]}', 422, "inputs[1] is neither a string nor"),
        (b'{"inputs": "a", "stream": 1}', 422, "stream: invalid type: integer `1`"),
        (b'{"inputs": "a", "parameters": 1}', 422, "parameters: invalid type: integer `1`"),
        (
            b'{"inputs": "a", "parameters": {"temperature": "hot"}}',
            422,
            'parameters.temperature: invalid type: string "hot", expected f32',
        ),
        (
            b'{"inputs": "a", "parameters": {"details": null}}',
            422,
            "parameters.details: invalid type: null, expected a boolean",
        ),
        (
            b'{"inputs": "a", "parameters": {"max_new_tokens": true}}',
            422,
            "parameters.max_new_tokens: invalid type: boolean `true`, expected u32",
        ),
        (
            b'{"inputs": "a", "parameters": {"max_new_tokens": -1}}',
            422,
            "parameters.max_new_tokens: invalid value: integer `-1`, expected u32",
        ),
        (
            b'{"inputs": "a", "parameters": {"seed": 18446744073709551616}}',
            422,
            "parameters.seed: invalid value: integer `18446744073709551616`, expected u64",
        ),
        (
            b'{"inputs": "a", "parameters": {"stop": ["a", 1.5]}}',
            422,
            "parameters.stop[1]: invalid type: floating point `1.5`, expected a string",
        ),
        (b" " * 2_000_001, 413, "Failed to buffer the request body: length limit exceeded"),
    ],
)
@pytest.mark.parametrize("route", ["/generate", "/generate_stream", "/tokenize", "/"])
async def test_malformed_bodies_get_plain_text(
    http: aiohttp.ClientSession, route: str, body: bytes, status: int, text: str
) -> None:
    headers = {"Content-Type": "application/json"}
    async with http.post(route, data=io.BytesIO(body), headers=headers) as answer:
        assert answer.status == status
        assert text in await answer.text()
        assert answer.content_type == "text/plain"


async def test_null_parameters_and_unknown_ones_count_as_absent(
    http: aiohttp.ClientSession,
) -> None:
    expected = await generated(http, PROMPT)

    names = ("temperature", "top_k", "seed", "stop_token", "adapter_id", "grammar", "truncate")
    assert (await generated(http, PROMPT, **dict.fromkeys(names)))["details"]["tokens"] == (
        expected["details"]["tokens"]
    )


async def test_other_content_types_routes_and_methods_are_refused(
    http: aiohttp.ClientSession,
) -> None:
    async with http.post("/generate", data=b"{}", headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415
        assert await answer.text() == "Expected request with `Content-Type: application/json`"
    async with http.get("/nowhere") as answer:
        assert (answer.status, await answer.read()) == (404, b"")
    async with http.get("/generate") as answer:
        assert (answer.status, await answer.read()) == (405, b"")
        assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer", "Basic {token}", "{token}", "Bearer \xff"]
)
async def test_without_the_token_only_what_describes_the_server_is_open(
    server: ServeProcess, header: str | None
) -> None:
    headers = {"Authorization": header.format(token=server.token)} if header else {}
    async with aiohttp.ClientSession(server.url, headers=headers) as session:
        for route in ("/", "/generate", "/generate_stream", "/tokenize"):
            async with session.post(route, json={"inputs": "a"}) as answer:
                assert (answer.status, await answer.read()) == (401, b"")
        for route in ("/", "/health", "/ping", "/info", "/metrics", "/v1/models"):
            async with session.get(route) as answer:
                assert answer.status == 200


async def test_the_server_says_what_it_is(
    http: aiohttp.ClientSession, server: ServeProcess
) -> None:
    async with http.get("/info") as answer:
        info = await answer.json()
    async with http.get("/v1/models") as answer:
        models = await answer.json()
    async with http.get("/health") as answer:
        assert await answer.read() == b""

    assert info["model_digest"] == server.digest
    expected = {
        "max_concurrent_requests": 16,
        "max_best_of": 2,
        "max_stop_sequences": 4,
        "max_input_tokens": 2047,
        "max_total_tokens": 2048,
        "version": "3.3.7",
        "router": "fimble",
        "fim_format": "fimble",
        "takes_segments": True,
    }
    assert {key: info[key] for key in expected} == expected
    assert models["object"] == "list"
    assert models["data"][0]["id"] == info["model_id"]


async def test_metrics_have_tgis_names_and_add_up(
    http: aiohttp.ClientSession, server: ServeProcess
) -> None:
    names = ("tgi_request_count", "tgi_request_success", "tgi_request_generated_tokens_count")
    before = [server.metric(name) for name in names]
    failures = server.metric('tgi_request_failure{err="validation"}')

    result = await generated(http, PROMPT)
    async with http.post("/generate", json={"inputs": ""}) as answer:
        assert answer.status == 422

    after = [server.metric(name) for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 1, 1]
    assert server.metric('tgi_request_failure{err="validation"}') == failures + 1
    assert server.metric("tgi_queue_size") == server.metric("tgi_batch_current_size") == 0
    async with http.get("/metrics") as answer:
        text = await answer.text()
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert result["details"]["generated_tokens"] == 5
    for name in ("duration", "queue_duration", "inference_duration", "input_length"):
        counts = re.findall(rf'^tgi_request_{name}_bucket{{le="[^"]+"}} (\d+)$', text, re.MULTILINE)
        assert [int(count) for count in counts] == sorted(int(count) for count in counts)
        assert int(counts[-1]) == server.metric(f"tgi_request_{name}_count") > 0


async def test_a_short_request_does_not_wait_for_a_long_one(slow_server: ServeProcess) -> None:
    """The long one would need 1,500 tokens; the short one is answered after a few of them."""
    grown = slow_server.since_now()
    body = {"inputs": "a", "parameters": {"max_new_tokens": 1500}}
    async with (
        aiohttp.ClientSession(slow_server.url, headers=slow_server.headers) as http,
        http.post("/generate_stream", json=body) as long,
    ):
        await long.content.readline()

        short = await generated(http, "b", max_new_tokens=3)

        assert short["details"]["generated_tokens"] == 3
        assert grown("fimble_generated_tokens_total") < 300
        assert slow_server.metric("tgi_batch_current_size") == 1


async def test_a_full_server_refuses_and_goes_on(slow_server: ServeProcess) -> None:
    while slow_server.metric("tgi_batch_current_size"):
        await asyncio.sleep(0.01)
    grown = slow_server.since_now()
    body = {"inputs": "a", "parameters": {"max_new_tokens": 1500}}
    error = {"error": "Model is overloaded", "error_type": "overloaded"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        slow_server.url, headers=slow_server.headers, connector=connector
    ) as http:
        streams = [await http.post("/generate_stream", json=body) for _ in range(16)]
        await asyncio.gather(*(stream.content.readline() for stream in streams[:8]))
        running = slow_server.metric("tgi_batch_current_size")
        assert slow_server.metric("tgi_queue_size") == 16 - running > 0

        async with http.post("/generate", json=body) as answer:
            assert (answer.status, await answer.json()) == (429, error)
        async with http.post("/generate_stream", json=body) as answer:
            assert answer.status == 200
            assert json.loads((await answer.read())[5:]) == error

        for stream in streams:
            stream.close()
        while grown("fimble_cancelled_requests_total") < 16:
            await asyncio.sleep(0.02)
        assert (await generated(http, "b"))["details"]["generated_tokens"] == 5
        assert grown('tgi_request_failure{err="overloaded"}') == 2
        assert grown('tgi_request_failure{err="dropped"}') == 16
