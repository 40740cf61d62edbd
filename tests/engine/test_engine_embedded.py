"""The embedded engine in this process: the cache, endings, cancelling, and broken folders."""

from __future__ import annotations

import codecs
import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
import psutil
import pytest

from fimble.engine import FinishReason
from fimble.errors import ModelFolderError
from fimble.fim import FIMBLE, SPECIAL_TOKENS, FimOrder, infill_prompt
from lsp_server.engines.embedded import EmbeddedEngine, GeneratedToken, Generation, Prefilled
from lsp_server.engines.graph import Cancellation, CancelledGenerationError
from lsp_server.engines.sampling import Sampling
from lsp_server.engines.segments import segments_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine.conftest import DamagedFolder

SOURCE = "def add(first, second):\r\n    # naïve 🙂\n    return first + second\n\n\n" * 12


class Result(NamedTuple):
    tokens: list[GeneratedToken]
    prefilled: list[Prefilled]

    @property
    def ids(self) -> list[int]:
        return [token.token_id for token in self.tokens]

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)

    @property
    def cached_tokens(self) -> int:
        return self.prefilled[0].cached_tokens


def generate(engine: EmbeddedEngine, ids: list[int], **settings: object) -> Result:
    settings = {"max_new_tokens": 12, **settings}
    events = list(engine.generate(Generation(prompt_ids=tuple(ids), **settings), Cancellation()))
    return Result(
        [event for event in events if isinstance(event, GeneratedToken)],
        [event for event in events if isinstance(event, Prefilled)],
    )


def prompt(
    engine: EmbeddedEngine, *, prefix: str, suffix: str = "", path: str = "a.py"
) -> list[int]:
    parts = infill_prompt(prefix=prefix, suffix=suffix, order=FimOrder.SPM, path=path)
    return engine.vocabulary.encode(segments_of(parts, FIMBLE))


def assert_same(left: Result, right: Result) -> None:
    assert left.ids == right.ids
    assert left.tokens[-1].finish == right.tokens[-1].finish
    np.testing.assert_allclose(
        [token.logprob for token in left.tokens],
        [token.logprob for token in right.tokens],
        atol=1e-4,  # sums are taken in another order
    )


def test_typing_reuses_what_is_cached_and_gives_what_a_fresh_engine_gives(
    engine: EmbeddedEngine, exact_model_folder: Path
) -> None:
    first = prompt(engine, prefix=SOURCE, suffix="\n# end")
    assert generate(engine, first).cached_tokens == 0

    for typed in ("r", "re", "retu", "return  x", "return"):
        ids = prompt(engine, prefix=f"{SOURCE}{typed}", suffix="\n# end")
        warm = generate(engine, ids)
        fresh = generate(EmbeddedEngine(exact_model_folder, num_threads=1), ids)

        assert warm.cached_tokens >= len(first) - 2  # all but the last word and the mark behind it
        assert sum(piece.new_tokens for piece in warm.prefilled) + warm.cached_tokens == len(ids)
        assert_same(warm, fresh)


def test_a_prompt_read_in_pieces_gives_what_one_read_whole_gives(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch, exact_model_folder: Path
) -> None:
    ids = prompt(engine, prefix=SOURCE)
    in_pieces = generate(engine, ids)
    assert len(in_pieces.prefilled) == -(-len(ids) // 128) > 2

    monkeypatch.setattr("lsp_server.engines.embedded.PREFILL_CHUNK_TOKENS", 2048)
    whole = generate(EmbeddedEngine(exact_model_folder, num_threads=1), ids)

    assert len(whole.prefilled) == 1
    assert_same(in_pieces, whole)


def test_files_keep_their_own_sequences_and_share_their_common_start(
    engine: EmbeddedEngine, exact_model_folder: Path
) -> None:
    one = prompt(engine, prefix=SOURCE, path="one.py")
    other = prompt(engine, prefix=f"import os\n{SOURCE[:200]}", path="one.py", suffix="x")
    fresh = generate(EmbeddedEngine(exact_model_folder, num_threads=1), other)
    generate(engine, one)

    forked = generate(engine, other)

    assert 0 < forked.cached_tokens < 10
    assert_same(forked, fresh)
    assert generate(engine, one).cached_tokens == len(one)


def test_an_evicted_file_is_read_again(engine: EmbeddedEngine) -> None:
    prompts = [
        prompt(engine, prefix=f"{place}{SOURCE[:80]}", path=f"{place}{place}.py")
        for place in range(engine.max_parallel + 1)
    ]
    results = [generate(engine, ids) for ids in prompts]

    again = generate(engine, prompts[0])

    assert again.cached_tokens < 5
    assert_same(again, results[0])


def test_generations_that_take_turns_do_not_disturb_each_other(
    engine: EmbeddedEngine, exact_model_folder: Path
) -> None:
    prompts = [prompt(engine, prefix=SOURCE[:size]) for size in (300, 301, 600, 40)]
    settings = {"max_new_tokens": 12, "sampling": Sampling(temperature=0.7, seed=3)}
    alone = [
        generate(EmbeddedEngine(exact_model_folder, num_threads=1), ids, **settings)
        for ids in prompts
    ]
    running = [
        engine.generate(Generation(prompt_ids=tuple(ids), **settings), Cancellation())
        for ids in prompts
    ]
    tokens: list[list[GeneratedToken]] = [[] for _ in prompts]
    while not all(each and each[-1].finish for each in tokens):
        for place, steps in enumerate(running):
            if isinstance(event := next(steps, None), GeneratedToken):
                tokens[place].append(event)

    for interleaved, expected in zip(tokens, alone, strict=True):
        assert [token.token_id for token in interleaved] == expected.ids


def test_closing_a_generation_gives_its_sequence_back(engine: EmbeddedEngine) -> None:
    ids = prompt(engine, prefix=SOURCE)
    for _ in range(3 * engine.max_parallel):
        steps = engine.generate(Generation(prompt_ids=tuple(ids), max_new_tokens=5), Cancellation())
        next(steps)
        steps.close()

    assert generate(engine, ids).cached_tokens >= 128


def test_cancelling_stops_in_the_middle_of_a_forward_pass(slow_model_folder: Path) -> None:
    engine = EmbeddedEngine(slow_model_folder, num_threads=1)
    ids = prompt(engine, prefix=SOURCE)[:900]
    expected = generate(engine, ids)
    sequence = engine._pool.lease(ids).sequence
    cancellation = Cancellation()
    timer = threading.Timer(0.05, cancellation.cancel)
    timer.start()

    with pytest.raises(CancelledGenerationError):  # the whole pass takes ten times as long
        sequence.run(ids, past_tokens=0, cancellation=cancellation)

    timer.join()
    assert sequence.ids == []
    engine._pool.give_back(sequence)
    with pytest.raises(CancelledGenerationError):
        next(engine.generate(Generation(prompt_ids=tuple(ids), max_new_tokens=1), cancellation))
    assert_same(generate(engine, ids), expected)


def ended_by_itself(engine: EmbeddedEngine) -> tuple[Sampling, Result]:
    """Return how to draw a text that a special token ends, and the text.

    The tiny model scores special tokens like any other: hot draws soon meet one.
    """
    ids = prompt(engine, prefix=SOURCE)
    samplings = (Sampling(temperature=9.0, seed=seed) for seed in range(50))
    results = (
        (each, generate(engine, ids, max_new_tokens=50, sampling=each)) for each in samplings
    )
    return next((sampling, each) for sampling, each in results if 5 < len(each.tokens) < 50)


def test_a_special_token_ends_the_text(engine: EmbeddedEngine) -> None:
    _, result = ended_by_itself(engine)

    last = result.tokens[-1]
    assert last.finish is FinishReason.END_TOKEN
    assert last.text == SPECIAL_TOKENS[last.token_id]
    assert last.is_special
    assert not any(token.is_special or token.finish for token in result.tokens[:-1])


def test_the_length_is_tested_before_the_end_token_as_in_tgi(engine: EmbeddedEngine) -> None:
    sampling, ended = ended_by_itself(engine)
    ids = prompt(engine, prefix=SOURCE)

    cut = generate(engine, ids, max_new_tokens=len(ended.tokens), sampling=sampling)

    assert cut.ids == ended.ids
    assert cut.tokens[-1].finish is FinishReason.LENGTH


def test_a_stop_text_ends_after_the_token_that_ends_with_it(slow_model_folder: Path) -> None:
    engine = EmbeddedEngine(slow_model_folder, num_threads=1)
    ids = prompt(engine, prefix=SOURCE[:60])
    free = generate(engine, ids, max_new_tokens=30)
    stop = free.text[len(free.text) // 2 :][:2]
    texts = ["".join(token.text for token in free.tokens[:count]) for count in range(31)]
    expected = next(n for n, text in enumerate(texts) if text.endswith((stop, f"{stop}\n")))
    assert 0 < expected < 30

    stopped = generate(engine, ids, max_new_tokens=30, stop=("never", stop))

    assert stopped.ids == free.ids[:expected]
    assert stopped.tokens[-1].finish is FinishReason.STOP_SEQUENCE


def test_text_comes_in_whole_characters(engine: EmbeddedEngine) -> None:
    """Hot draws give random bytes: many broken characters, and halves that never come."""
    ids = prompt(engine, prefix="🙂🙂🙂")
    wholes = []
    for seed in range(30):
        result = generate(
            engine, ids, max_new_tokens=40, sampling=Sampling(temperature=9.0, seed=seed)
        )
        data = b"".join(engine.vocabulary.token_bytes(token_id) for token_id in result.ids)
        wholes.append(codecs.getincrementaldecoder("utf-8")(errors="replace").decode(data))
        assert "".join(t.text for t in result.tokens if not t.is_special) == wholes[-1]

    assert any("\ufffd" in whole for whole in wholes)


def test_a_context_is_filled_to_the_last_token(slow_model_folder: Path) -> None:
    engine = EmbeddedEngine(slow_model_folder, num_threads=1)
    ids = [64 + place % 400 for place in range(2040)]

    result = generate(engine, ids, max_new_tokens=8)

    assert len(result.tokens) == 8
    assert result.tokens[-1].finish is FinishReason.LENGTH
    with pytest.raises(AssertionError):
        generate(engine, ids, max_new_tokens=9)


def test_samples_are_fixed_by_their_seed_whatever_is_cached(engine: EmbeddedEngine) -> None:
    ids = prompt(engine, prefix=SOURCE)
    settings = {"max_new_tokens": 20, "sampling": Sampling(temperature=0.9, top_p=0.95, seed=11)}

    first, again = generate(engine, ids, **settings), generate(engine, ids, **settings)

    assert first.cached_tokens == 0
    assert again.cached_tokens == len(ids)
    assert first.ids == again.ids
    assert first.ids != generate(engine, ids, max_new_tokens=20).ids


def test_prompt_logprobs_are_those_with_which_the_same_tokens_are_generated(
    engine: EmbeddedEngine,
) -> None:
    ids = prompt(engine, prefix=SOURCE[:50])
    generated = generate(engine, ids)

    read = generate(engine, [*ids, *generated.ids], wants_prompt_logprobs=True)

    assert read.cached_tokens == 0
    assert len(read.prefilled) == len(ids) + len(generated.ids)
    np.testing.assert_allclose(
        [piece.next_logprob for piece in read.prefilled[len(ids) - 1 : -1]],
        [token.logprob for token in generated.tokens],
        atol=1e-4,
    )
    assert read.prefilled[-1].next_logprob is None


def test_the_likeliest_tokens_are_reported_with_the_chosen_one_first(
    engine: EmbeddedEngine,
) -> None:
    result = generate(engine, prompt(engine, prefix=SOURCE), num_top_tokens=4)

    for token in result.tokens:
        assert len(token.top) == 4
        assert token.top[0] == (token.token_id, token.logprob)
        assert sorted(token.top, key=lambda candidate: -candidate.logprob) == list(token.top)


def test_memory_is_taken_as_tokens_come(slow_model_folder: Path) -> None:
    engine = EmbeddedEngine(slow_model_folder, num_threads=1)
    process = psutil.Process()
    generate(engine, [70, 71, 72], max_new_tokens=1)
    before = process.memory_info().rss

    for place in range(1, engine.max_parallel):
        generate(engine, [100 + place, 71, 72], max_new_tokens=1)

    sequence_bytes = 2 * 6 * 4 * 64 * 4 * 2048
    assert process.memory_info().rss - before < sequence_bytes


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f.path / "manifest.json").unlink(), "cannot read .*manifest.json"),
        (lambda f: (f.path / "manifest.json").write_text("{"), "is not valid JSON"),
        (lambda f: (f.path / "model.onnx").unlink(), "lacks model.onnx"),
        (lambda f: f.rewrite("model.onnx", b"\0" * 100, in_manifest=False), "damaged or incompl"),
        (lambda f: f.rewrite("model.onnx", b"\0" * 100, in_manifest=True), "does not load"),
        (lambda f: f.rewrite("model.onnx", b"", in_manifest=True), "model.onnx .*"),
        (lambda f: f.rewrite("tokenizer.json", b"{}", in_manifest=True), "no byte-level"),
        (lambda f: f.edit_manifest(lambda t: t["files"].pop("model.onnx")), "lists no model.onnx"),
        (
            lambda f: f.edit_manifest(lambda t: t["architecture"].update(num_hidden_layers=3)),
            "inputs and outputs differ at past_key_values.2.key",
        ),
        (
            lambda f: f.edit_manifest(lambda t: t["architecture"].update(head_dim=32)),
            "1 heads of 32 are expected",
        ),
        (
            lambda f: f.edit_manifest(lambda t: t["architecture"].update(vocab_size=600)),
            "gives 512 logits; its manifest says 600",
        ),
        (
            lambda f: f.edit_manifest(lambda t: t.update(fim_format="codellama")),
            "lacks the end token '<EOT>'",
        ),
        (lambda f: f.edit_manifest(lambda t: t.update(format_version=99)), "format_version is 99"),
    ],
)
def test_a_broken_folder_is_refused_with_one_message(
    damaged: DamagedFolder, damage: Callable[[DamagedFolder], object], message: str
) -> None:
    damage(damaged)

    with pytest.raises(ModelFolderError, match=message) as caught:
        EmbeddedEngine(damaged.path, num_threads=1)

    assert "\n" not in str(caught.value)


def test_a_graph_with_other_inputs_is_refused(damaged: DamagedFolder) -> None:
    model = onnx.load(damaged.path / "model.onnx")
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "input_ids":
                node.input[place] = "tokens"
    next(each for each in model.graph.input if each.name == "input_ids").name = "tokens"
    damaged.rewrite("model.onnx", model.SerializeToString(), in_manifest=True)

    with pytest.raises(ModelFolderError, match="differ at input_ids, tokens"):
        EmbeddedEngine(damaged.path, num_threads=1)
