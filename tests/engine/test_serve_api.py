"""`fimble serve` as its clients see it: a real process, real sockets, TGI's bytes."""

from __future__ import annotations

import asyncio
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
    from pathlib import Path

Json = dict[str, Any]

pytestmark = pytest.mark.e2e

PROMPT = "def add(first, second):\r\n    return first  # 🙂\n"
TOO_MANY = "`inputs` tokens + `max_new_tokens` must be <= 2048"
GREEDY = {"max_new_tokens": 5, "details": True}


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


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's offline switch stops requests to any server, ours on this machine included."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("online")
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


@pytest.mark.usefixtures("online")
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


async def test_the_first_event_says_how_long_a_prompt_in_pieces_was(
    http: aiohttp.ClientSession,
) -> None:
    body = {
        "inputs": [{"special": "<|fim_suffix|>"}, "x" * 9, {"special": "<|fim_middle|>"}],
        "parameters": {"max_new_tokens": 3, "details": True},
    }
    for _ in range(2):
        async with http.post("/generate_stream", json=body) as answer:
            data = await answer.read()
    events = [json.loads(line[5:]) for line in data.split(b"\n\n") if line]

    num_tokens = events[-1]["details"]["input_length"]
    assert num_tokens >= 3
    assert events[0]["prompt"] == {"input_length": num_tokens, "cached_tokens": num_tokens}
    assert not any("prompt" in event for event in events[1:])


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


async def test_null_parameters_and_unknown_ones_count_as_absent(
    http: aiohttp.ClientSession,
) -> None:
    expected = await generated(http, PROMPT)

    names = ("temperature", "top_k", "seed", "stop_token", "adapter_id", "grammar", "truncate")
    assert (await generated(http, PROMPT, **dict.fromkeys(names)))["details"]["tokens"] == (
        expected["details"]["tokens"]
    )


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
        "takes_beginning": True,
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
