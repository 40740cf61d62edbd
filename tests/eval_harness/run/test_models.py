"""Models behind every kind of door: the same questions, the same cuts, the same probabilities."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from eval_harness.engines.completions import ScoringCompletions
from eval_harness.engines.hugging_face import HuggingFaceEngine
from eval_harness.model_sources import ModelChoice, open_model
from eval_harness.models import CANONICAL, Sampling, seed_of
from eval_harness.problem import Extent, Kind, Problem
from eval_harness.prompts import prompt_parts
from eval_harness.records import read_answers
from fimble.cli import main
from fimble.engine import Finish, Query, Token
from fimble.errors import (
    EngineError,
    EngineOverloadedError,
    EngineUnavailableError,
    InputError,
    ModelFolderError,
    PromptTooLongError,
    SentinelInTextError,
)
from fimble.fim import FIMBLE, FORMATS, Mark
from tests.eval_harness.run.toy import RIGHT, answer_to
from tests.stand_ins.openai_app import OpenAiScript, openai_server
from tests.stand_ins.tiny_model import tiny_checkpoint, tiny_model_folder
from training.export.quantise import Quantisation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

PROBLEM = Problem(
    problem_id="p/0",
    group="p",
    language="python",
    kind=Kind.INFILL,
    extent=Extent.SPAN,
    prompt="def add(a, b):  # 😀\n    ",
    suffix="\n\nprint(add(1, 2))\n",
    canonical="return a + b",
    path="a.py",
)


@pytest.fixture
def openai() -> Iterator[OpenAiScript]:
    with openai_server(OpenAiScript(answer=answer_to)) as script:
        yield script


async def collected(stream: AsyncGenerator[Token | Finish]) -> tuple[str, Finish]:
    text = ""
    async for item in stream:
        if isinstance(item, Token):
            text += item.text
        else:
            return text, item
    raise AssertionError("no finish")


async def test_a_hugging_face_folder_says_what_the_engine_says(places: dict[str, str]) -> None:
    """The embedded engine in floating point runs the same weights."""
    del places
    said, logprobs = [], []
    for folder in (tiny_checkpoint(), tiny_model_folder(Quantisation.NONE)):
        sampling = Sampling(max_new_tokens=24)
        model = await open_model(ModelChoice(name=str(folder), sampling=sampling))
        try:
            assert (await model.identity()).fim_format == "fimble"
            assert len((await model.identity()).digest) == 16
            said.append((await model.answer("s", PROBLEM, 0))[:2])
            logprobs.append(await model.logprob(PROBLEM))
        finally:
            await model.close()
    assert said[0] == said[1]
    assert said[0][0]
    assert logprobs[0] == pytest.approx(logprobs[1], rel=1e-3)
    assert logprobs[0] < -20  # a random model, a dozen bytes


async def test_samples_of_a_folder_depend_on_their_seed_alone() -> None:
    engine = HuggingFaceEngine(tiny_checkpoint())
    parts = prompt_parts(PROBLEM)

    async def sample(seed: int) -> str:
        query = Query(parts=parts, max_new_tokens=12, temperature=1.0, seed=seed)
        return (await collected(engine.stream(query)))[0]

    assert await sample(1) == await sample(1)
    assert len({await sample(seed) for seed in range(4)}) > 1
    with pytest.raises(PromptTooLongError, match="exceed"):
        await collected(engine.stream(Query(parts=("x " * 100_000,), max_new_tokens=1)))


async def test_text_that_spells_a_sentinel_stays_text_in_a_folder() -> None:
    engine = HuggingFaceEngine(tiny_checkpoint())
    as_text = engine._encode((FIMBLE.middle,))
    assert len(as_text) > 1
    assert engine._encode((Mark.MIDDLE,)) != as_text


def test_a_folder_without_weights_or_format_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="cannot load"):
        HuggingFaceEngine(tmp_path)


@pytest.mark.e2e
@pytest.mark.usefixtures("isolation")
def test_a_run_behind_openais_api_is_the_run_behind_tgis(
    suite: str, tmp_path: Path, openai: OpenAiScript, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["eval", "run", suite, "--model", openai.server.url, "--out", str(out), "--json"]
    assert main([*command, "--fim-format", "qwen", "--bits-per-byte"]) == 0
    score = json.loads(capsys.readouterr().out)["toy"]["bash"]
    assert score["states"] == {"passed": 4, "wrong": 4}
    prompts = [body["prompt"] for body in openai.server.bodies if not body.get("echo")]
    # Qwen's models are trained prefix first.
    assert "<|fim_prefix|>add_0() {  # 😀\n<|fim_suffix|>}\n<|fim_middle|>" in prompts
    assert openai.server.bodies[0]["model"] == "Qwen/Qwen2.5-Coder-1.5B"
    assert openai.server.bodies[0]["temperature"] == 0
    assert "seed" not in openai.server.bodies[0]
    answers = read_answers(out)
    for answer in answers.values():
        size = len(RIGHT[answer.problem_id])
        # Tokens of two characters with a logarithm of -0.5; the prompt may take a first half.
        assert answer.canonical_logprob == pytest.approx(-0.5 * math.floor(size / 2), abs=0.51)
    assert score["metrics"]["bits_per_byte"]["value"] == pytest.approx(0.36, abs=0.03)


@pytest.mark.parametrize(
    ("refuses", "error"),
    [
        ((429, "slow down"), EngineOverloadedError),
        ((503, "loading"), EngineUnavailableError),
        ((400, "This model's maximum context length is 4096 tokens"), PromptTooLongError),
        ((400, "unknown key"), EngineError),
        ((500, "bug"), EngineError),
    ],
)
async def test_refusals_are_told_apart(
    openai: OpenAiScript, refuses: tuple[int, str], error: type[Exception]
) -> None:
    openai.refuses = refuses
    engine = ScoringCompletions(f"{openai.server.url}/v1/", fim_format=FORMATS["starcoder"])
    try:
        with pytest.raises(error) as caught:
            await collected(engine.stream(Query(parts=("x",))))
        assert type(caught.value) is error
    finally:
        await engine.close()


async def test_a_stream_that_breaks_off_is_no_answer(openai: OpenAiScript) -> None:
    openai.breaks_off, openai.answer = True, lambda _: ["half", " of"]
    engine = ScoringCompletions(openai.server.url, fim_format=FIMBLE)
    try:
        with pytest.raises(EngineUnavailableError, match="before the end"):
            await collected(engine.stream(Query(parts=("x",))))
        with pytest.raises(SentinelInTextError):
            await collected(engine.stream(Query(parts=("a <|fim_middle|> b",))))
    finally:
        await engine.close()


async def test_the_token_of_the_configuration_goes_along(
    openai: OpenAiScript, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del places
    openai.token, openai.answer = "s3cret", lambda _: ["return a"]
    model = await open_model(ModelChoice(name=openai.server.url))
    try:
        with pytest.raises(EngineError, match="401"):
            await model.answer("s", PROBLEM, 0)
    finally:
        await model.close()
    monkeypatch.setenv("FIMBLE_ENGINE_TOKEN", "s3cret")
    model = await open_model(ModelChoice(name=openai.server.url))
    try:
        assert (await model.answer("s", PROBLEM, 0)).text == "return a"
    finally:
        await model.close()


async def test_what_is_no_model_server_is_one_error(openai: OpenAiScript) -> None:
    with pytest.raises(EngineError, match="neither TGI's API nor OpenAI's"):
        await open_model(ModelChoice(name=f"{openai.server.url}/elsewhere"))


def test_seeds_differ_by_problem_and_number_and_by_nothing_else() -> None:
    seeds = {
        seed_of(seed, suite, PROBLEM, number)
        for seed in (0, 1)
        for suite in ("a", "b")
        for number in range(10)
    }
    assert len(seeds) == 40
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_of(0, "humaneval", PROBLEM, 0) == 1290162310


@pytest.mark.parametrize("temperature", [-0.1, 11.0])
def test_temperatures_have_a_range(temperature: float) -> None:
    with pytest.raises(InputError, match="must be 0 to 10"):
        Sampling(temperature=temperature)


async def test_the_canonical_model_says_the_true_answer_or_nothing() -> None:
    model = await open_model(ModelChoice(name=CANONICAL))
    assert (await model.answer("s", PROBLEM, 3)).text == "return a + b"
    assert await model.logprob(PROBLEM) is None
