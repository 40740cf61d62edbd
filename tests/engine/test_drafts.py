"""Guessed tokens: what is guessed, and that nobody can see from the answer that they were."""

from __future__ import annotations

import pytest

from lsp_server.engines import embedded
from lsp_server.engines.drafts import NUM_DRAFTED_TOKENS, Drafts
from lsp_server.engines.embedded import EmbeddedEngine, GeneratedToken, Generation
from lsp_server.engines.graph import Cancellation
from lsp_server.engines.sampling import Sampling


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
    exact_model_folder: object, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
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


def test_guesses_stay_within_the_context(exact_model_folder: object) -> None:
    engine = EmbeddedEngine(exact_model_folder, num_threads=1)
    context = engine.manifest.context_tokens
    prompt = tuple([200, 201] * (context // 2 - 5))
    tokens = answer(engine, Generation(prompt_ids=prompt, max_new_tokens=context - len(prompt)))
    assert tokens[-1].finish is not None
