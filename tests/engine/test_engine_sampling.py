"""The choice of the next token, against transformers and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from lsp_server.engines.sampling import GREEDY, Candidate, Sampling, TokenChooser

LOGITS = np.random.default_rng(7).normal(scale=3, size=500).astype(np.float32)
PROMPT = [3, 3, 3, 10, 499, 0]


def test_greedy_takes_the_likeliest_token_and_says_its_logprob() -> None:
    logits = np.log(np.array([0.1, 0.6, 0.3], np.float32))

    choice = TokenChooser(GREEDY).choose(logits, [0])

    assert choice.chosen.token_id == 1
    assert choice.chosen.logprob == pytest.approx(math.log(0.6), abs=1e-6)
    assert choice.top == ()


@pytest.mark.parametrize(
    ("sampling", "processors"),
    [
        (Sampling(temperature=0.3), [TemperatureLogitsWarper(0.3)]),
        (Sampling(temperature=1.7), [TemperatureLogitsWarper(1.7)]),
        (Sampling(top_k=1), [TopKLogitsWarper(1)]),
        (Sampling(top_k=17), [TopKLogitsWarper(17)]),
        (Sampling(top_k=9999), [TopKLogitsWarper(9999)]),
        (Sampling(top_p=0.01), [TopPLogitsWarper(0.01)]),
        (Sampling(top_p=0.9), [TopPLogitsWarper(0.9)]),
        (Sampling(typical_p=0.2), [TypicalLogitsWarper(0.2)]),
        (Sampling(typical_p=0.95), [TypicalLogitsWarper(0.95)]),
        (Sampling(repetition_penalty=1.3), [RepetitionPenaltyLogitsProcessor(1.3)]),
        (Sampling(repetition_penalty=0.7), [RepetitionPenaltyLogitsProcessor(0.7)]),
        (
            Sampling(temperature=0.8, top_k=50, top_p=0.9, typical_p=0.8, repetition_penalty=1.1),
            [
                RepetitionPenaltyLogitsProcessor(1.1),
                TemperatureLogitsWarper(0.8),
                TopKLogitsWarper(50),
                TopPLogitsWarper(0.9),
                TypicalLogitsWarper(0.8),
            ],
        ),
    ],
)
def test_penalties_and_warpers_leave_the_probabilities_that_transformers_leaves(
    sampling: Sampling, processors: list[object]
) -> None:
    scores = torch.tensor(LOGITS)[None]
    for processor in processors:
        scores = processor(torch.tensor([PROMPT]), scores)
    expected = torch.log_softmax(scores, -1)[0].numpy()

    top = TokenChooser(sampling, num_top=500).choose(LOGITS, PROMPT).top

    found = np.full(500, -np.inf, np.float32)
    for candidate in top:
        found[candidate.token_id] = candidate.logprob
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_frequency_penalty_takes_off_a_tokens_share_of_the_text() -> None:
    logits = np.zeros(4, np.float32)
    ids = [1, 1, 2, 1]

    top = TokenChooser(Sampling(frequency_penalty=2.0), num_top=4).choose(logits, ids).top

    scores = np.array([0, -2 * 3 / 4, -2 * 1 / 4, 0])
    expected = scores - np.log(np.exp(scores).sum())
    assert [c.token_id for c in top] == [0, 3, 2, 1]
    for candidate in top:
        assert candidate.logprob == pytest.approx(expected[candidate.token_id], abs=1e-6)


def test_the_scores_of_the_model_stay_as_they_are() -> None:
    logits = LOGITS.copy()

    chooser = TokenChooser(
        Sampling(temperature=0.5, top_k=5, top_p=0.5, repetition_penalty=2, frequency_penalty=1)
    )
    chooser.choose(logits, PROMPT)

    np.testing.assert_array_equal(logits, LOGITS)


def test_draws_follow_the_probabilities() -> None:
    probabilities = np.array([0.05, 0.5, 0.15, 0.3], np.float32)
    chooser = TokenChooser(Sampling(do_sample=True, seed=1))

    drawn = [chooser.choose(np.log(probabilities), [0]).chosen for _ in range(20_000)]

    counts = np.bincount([candidate.token_id for candidate in drawn]) / len(drawn)
    np.testing.assert_allclose(counts, probabilities, atol=0.01)
    assert drawn[0].logprob == pytest.approx(math.log(probabilities[drawn[0].token_id]), abs=1e-5)


def test_tokens_that_a_warper_removed_are_never_drawn() -> None:
    chooser = TokenChooser(Sampling(temperature=3.0, top_k=3, seed=5))
    likeliest = set(np.argsort(LOGITS)[-3:].tolist())

    drawn = {chooser.choose(LOGITS, PROMPT).chosen.token_id for _ in range(300)}

    assert drawn == likeliest


def test_a_seed_fixes_the_draws_and_another_one_changes_them() -> None:
    def draws(seed: int) -> list[int]:
        chooser = TokenChooser(Sampling(temperature=2.0, seed=seed))
        return [chooser.choose(LOGITS, PROMPT).chosen.token_id for _ in range(20)]

    assert draws(2**64 - 1) == draws(2**64 - 1)
    assert draws(1) != draws(2)


def test_a_temperature_of_one_alone_does_not_draw_as_in_tgi() -> None:
    assert not Sampling(temperature=1.0).draws
    assert Sampling(temperature=1.0, do_sample=True).draws
    assert Sampling(top_p=0.5).draws


def test_top_tokens_that_tie_are_all_reported() -> None:
    logits = np.log(np.array([0.1, 0.2, 0.2, 0.4, 0.1], np.float32))

    top = TokenChooser(GREEDY, num_top=2).choose(logits, [0]).top

    assert [candidate.token_id for candidate in top] == [3, 1, 2]
    assert top[0] == Candidate(3, pytest.approx(math.log(0.4), abs=1e-6))
