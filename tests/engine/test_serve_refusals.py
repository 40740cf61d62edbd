"""What `fimble serve` refuses, and in which words: TGI's."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

if TYPE_CHECKING:
    from tests.engine.serve_process import ServeProcess

pytestmark = pytest.mark.e2e

PROMPT = "def add(first, second):\r\n    return first  # 🙂\n"
TOO_MANY = "`inputs` tokens + `max_new_tokens` must be <= 2048"


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
