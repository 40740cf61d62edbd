"""Scores that are known ahead: remembered or guessed, and never seen in an answer."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from lsp_server.engines import embedded
from lsp_server.engines.beginning import Beginning, Spelling
from lsp_server.engines.drafts import NUM_DRAFTED_TOKENS, Drafts
from lsp_server.engines.embedded import EmbeddedEngine, GeneratedToken, Generation
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


@pytest.mark.parametrize(
    ("ids", "guesses"),
    [
        ([], []),
        ([1], []),
        ([1, 2], []),
        ([1, 2, 1, 2], [1, 2]),
        ([1, 2, 3, 4, 5, 6, 1, 2], [3, 4, 5, 6]),
        ([1, 2, 3, 9, 1, 2, 7, 9, 1, 2], [7, 9, 1, 2]),  # as it was the last time
        ([5, 5, 5], [5]),
        ([1, 2, 3, 2], []),
    ],
)
def test_a_guess_is_what_followed_the_last_pair_before(ids: list[int], guesses: list[int]) -> None:
    assert Drafts().after(ids, limit=100) == guesses[:NUM_DRAFTED_TOKENS]
    grown = Drafts()
    for length in range(len(ids)):
        grown.after(ids[:length], limit=100)
    assert grown.after(ids, limit=100) == guesses
    assert Drafts().after(ids, limit=1) == guesses[:1]
    assert Drafts().after(ids, limit=0) == []


class NoDrafts(Drafts):
    """Guesses nothing."""

    def after(self, ids: object, *, limit: int) -> list[int]:
        del ids, limit
        return []


class WrongDrafts(Drafts):
    """Guesses what is never right."""

    def after(self, ids: object, *, limit: int) -> list[int]:
        del ids
        return [100, 101, 102, 103][:limit]


def answer(engine: EmbeddedEngine, generation: Generation) -> list[GeneratedToken]:
    steps = engine.generate(generation, Cancellation())
    return [step for step in steps if isinstance(step, GeneratedToken)]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.7, seed=3)], ids=str)
def test_an_answer_is_the_same_with_right_wrong_and_no_guesses(
    exact_model_folder: Path, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    prompt = tuple([200, 201, 202, 203, 204] * 12)
    for num_new in (1, 2, 3, 40):
        generation = Generation(prompt_ids=prompt, max_new_tokens=num_new, sampling=sampling)
        found = []
        for kind in (NoDrafts, Drafts, WrongDrafts):
            monkeypatch.setattr(embedded, "Drafts", kind)
            engine = EmbeddedEngine(exact_model_folder, num_threads=1)
            tokens = answer(engine, generation)
            found.append([(t.token_id, t.text, t.finish) for t in tokens])
            # What was guessed leaves no trace in the cache either.
            again = answer(engine, generation)
            assert [(t.token_id, t.text, t.finish) for t in again] == found[-1]
            assert [t.logprob for t in again] == pytest.approx(
                [t.logprob for t in tokens], abs=1e-4
            )
        assert found[0] == found[1] == found[2]
        assert 1 <= len(found[0]) <= num_new


def test_guesses_stay_within_the_context(exact_model_folder: Path) -> None:
    engine = EmbeddedEngine(exact_model_folder, num_threads=1)
    context = engine.manifest.context_tokens
    prompt = tuple([200, 201] * (context // 2 - 5))
    tokens = answer(engine, Generation(prompt_ids=prompt, max_new_tokens=context - len(prompt)))
    assert tokens[-1].finish is not None
