"""Scores that are known ahead: remembered or guessed, and never seen in an answer."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from lsp_server.engines.beginning import Beginning, Spelling
from lsp_server.engines.embedded import EmbeddedEngine, Generation
from lsp_server.engines.graph import (
    MAX_REMEMBERED,
    Cancellation,
    CancelledGenerationError,
    KeyValueSequence,
)
from lsp_server.engines.sampling import Sampling
from tests.engine.test_engine_embedded import SOURCE, assert_same, generate, prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

DRAWN = Sampling(do_sample=True, seed=7)


@pytest.fixture
def fresh(exact_model_folder: Path) -> Callable[[], EmbeddedEngine]:
    """Return what makes an engine that remembers nothing."""
    return lambda: EmbeddedEngine(exact_model_folder, num_threads=1)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the number of tokens of each forward pass, as they are made."""
    made: list[int] = []
    run = KeyValueSequence._run

    def noted(
        self: KeyValueSequence, new_ids: Sequence[int], past: int, cancellation: Cancellation
    ) -> object:
        made.append(len(new_ids))
        return run(self, new_ids, past, cancellation)

    monkeypatch.setattr(KeyValueSequence, "_run", noted)
    return made


def test_who_asks_again_gets_the_same_without_a_forward_pass(
    fresh: Callable[[], EmbeddedEngine], passes: list[int]
) -> None:
    engine = fresh()
    ids = prompt(engine, prefix=SOURCE)
    first = generate(engine, ids)
    num_passes = len(passes)
    again = generate(engine, ids)
    drawn = generate(engine, ids, sampling=DRAWN, max_new_tokens=1)
    assert len(passes) == num_passes
    assert again.cached_tokens == len(ids)
    assert sum(piece.new_tokens for piece in again.prefilled) == 0
    assert_same(again, first)
    assert drawn.ids == generate(fresh(), ids, sampling=DRAWN, max_new_tokens=1).ids


def test_a_word_that_is_typed_costs_a_pass_only_where_the_answer_changes(
    fresh: Callable[[], EmbeddedEngine], passes: list[int]
) -> None:
    engine = fresh()
    ids = prompt(engine, prefix=SOURCE)
    # What a random model is sure of are parts of characters, which nobody can type.
    drawn = (Sampling(do_sample=True, seed=seed) for seed in range(300))
    answers = (
        (generate(engine, ids, sampling=each, max_new_tokens=4).text, each) for each in drawn
    )
    answer, sampling = next((a, s) for a, s in answers if re.fullmatch(r"[\w ]{5,}", a))
    for size in range(1, len(answer)):
        passes.clear()
        typed = generate(engine, ids, beginning=answer[:size], sampling=sampling, max_new_tokens=4)
        assert passes == []
        assert typed.text.startswith(answer[size:])
    passes.clear()
    other = generate(engine, ids, beginning="zq")
    assert passes
    assert_same(other, generate(fresh(), ids, beginning="zq"))


def test_whatever_is_asked_before_an_answer_is_what_a_fresh_engine_says(
    fresh: Callable[[], EmbeddedEngine],
) -> None:
    chance = random.Random(5)
    engine = fresh()
    prompts = [prompt(engine, prefix=SOURCE[:size]) for size in (40, 200, 203, 206, 400)]
    beginnings = ["", "", "re", " return ", "def f(x", "🙂", "ünï", "\n", "x" * 9]
    for number in range(40):
        ids, beginning = chance.choice(prompts), chance.choice(beginnings)
        sampling = chance.choice([Sampling(), Sampling(), DRAWN])
        settings = {"beginning": beginning, "sampling": sampling, "max_new_tokens": 9}
        if number % 3 == 0:  # the user goes on before the answer is complete
            request = Generation(prompt_ids=tuple(ids), **settings)
            steps = engine.generate(request, Cancellation())
            for _ in range(chance.randrange(4)):
                next(steps, None)
            steps.close()
        assert_same(generate(engine, ids, **settings), generate(fresh(), ids, **settings))


def test_a_pass_that_is_cancelled_leaves_no_scores_of_what_it_did_not_do(
    fresh: Callable[[], EmbeddedEngine],
) -> None:
    engine = fresh()
    ids = prompt(engine, prefix=SOURCE)
    generate(engine, ids)
    cancellation = Cancellation()
    cancellation.cancel()
    longer = Generation(prompt_ids=(*ids, 300, 301), max_new_tokens=4)
    with pytest.raises(CancelledGenerationError):
        list(engine.generate(longer, cancellation))
    [sequence] = engine._pool._idle
    assert sequence.ids == ids
    assert sequence.scores_after([*ids, 300]) is None
    assert sequence.scores_after(ids) is not None
    assert_same(generate(engine, [*ids, 300, 301]), generate(fresh(), [*ids, 300, 301]))


def test_few_scores_are_remembered_those_of_the_latest_places(
    fresh: Callable[[], EmbeddedEngine],
) -> None:
    engine = fresh()
    ids = prompt(engine, prefix=SOURCE[:60])
    generate(engine, ids, max_new_tokens=2 * MAX_REMEMBERED)
    [sequence] = engine._pool._idle
    assert len(sequence._remembered) == MAX_REMEMBERED
    assert max(sequence._remembered) == len(sequence.ids)
    assert sequence.scores_after(ids) is None
    assert_same(generate(engine, ids), generate(fresh(), ids))


def test_guesses_of_a_beginning_are_its_tokens_but_for_the_last(
    fresh: Callable[[], EmbeddedEngine],
) -> None:
    vocabulary = fresh().vocabulary
    spelling = Spelling(vocabulary)
    for text in ("", "x", "return value", "a🙂b", "ünïcode"):
        tokens = vocabulary.encode([text]) if text else []
        assert Beginning(text, spelling).guesses(limit=100) == tokens[:-1]
        assert Beginning(text, spelling).guesses(limit=1) == tokens[:-1][:1]
    half = Beginning("🙂b", spelling)
    half.behind("🙂".encode()[:2])
    assert half.guesses(limit=9) == []
