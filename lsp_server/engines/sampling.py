"""Choice of the next token.

Penalties, warpers and their order are TGI's, and so are the reported log-probabilities: those of
the scores after penalties and warpers. Draws are reproducible by seed, but are not TGI's draws.

Source: text-generation-inference v3.3.7, server/text_generation_server/utils/tokens.py
(`HeterogeneousNextTokenChooser`) and logits_process.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen; the defaults are greedy."""

    temperature: float = 1.0
    """Divides the scores; above 0."""
    top_k: int = 0
    """Only so many tokens stay; 0 keeps all."""
    top_p: float = 1.0
    """The likeliest tokens stay until their probabilities reach this sum, 0 to 1."""
    typical_p: float = 1.0
    """The most typical tokens stay until their probabilities reach this sum, 0 to 1."""
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative scores of tokens that were used; above 0."""
    frequency_penalty: float = 0.0
    """Taken off a token's score, times its share of the text so far; -2 to 2."""
    do_sample: bool = False
    """Draw even if no warper is set."""
    seed: int = 0
    """0 to 2**64 - 1."""

    @property
    def warps(self) -> bool:
        """Whether a warper changes the scores."""
        return self.temperature != 1.0 or self.top_k > 0 or self.top_p < 1.0 or self.typical_p < 1.0

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn; the likeliest is taken otherwise."""
        return self.do_sample or self.warps


GREEDY = Sampling()


class Candidate(NamedTuple):
    """A token and its log-probability."""

    token_id: int
    logprob: float


class Choice(NamedTuple):
    """The next token, and the likeliest ones."""

    chosen: Candidate
    top: tuple[Candidate, ...]


class TokenChooser:
    """Chooses the tokens of one generation.

    Args:
        sampling: How.
        num_top: So many of the likeliest tokens are reported at each step, more if they tie.
    """

    def __init__(self, sampling: Sampling, *, num_top: int = 0) -> None:
        self._sampling = sampling
        self._num_top = num_top
        self._random = np.random.default_rng(sampling.seed)

    def choose(self, logits: Scores, ids: list[int]) -> Choice:
        """Return the next token.

        Args:
            logits: Scores from the model; they stay as they are.
            ids: The prompt and every token chosen so far.
        """
        scores = self._penalised(logits, ids)
        if self._sampling.warps:
            scores = self._warped(scores)
        logprobs = log_softmax(scores)
        if self._sampling.draws:
            # As TGI does: the largest p / e, with e drawn exponentially, is a
            # draw from p.
            noise = self._random.standard_exponential(len(scores), dtype=np.float32)
            token_id = int((logprobs - np.log(noise)).argmax())
        else:
            token_id = int(scores.argmax())
        chosen = Candidate(token_id, float(logprobs[token_id]))
        return Choice(chosen, self._top(logprobs))

    def _penalised(self, logits: Scores, ids: list[int]) -> Scores:
        repetition, frequency = self._sampling.repetition_penalty, self._sampling.frequency_penalty
        if repetition == 1.0 and frequency == 0.0:
            return logits
        scores = logits.copy()
        used, counts = np.unique(np.asarray(ids), return_counts=True)
        touched = scores[used]
        touched = np.where(touched < 0, touched * repetition, touched / repetition)
        scores[used] = touched - frequency * counts / len(ids)
        return scores

    def _warped(self, scores: Scores) -> Scores:
        settings = self._sampling
        scores = (scores / np.float32(settings.temperature)).astype(np.float32)
        if 0 < settings.top_k < len(scores):
            smallest = np.partition(scores, -settings.top_k)[-settings.top_k]
            scores[scores < smallest] = -np.inf
        if settings.top_p < 1.0:
            _keep_nucleus(scores, settings.top_p)
        if settings.typical_p < 1.0:
            _keep_typical(scores, settings.typical_p)
        return scores

    def _top(self, logprobs: Scores) -> tuple[Candidate, ...]:
        if self._num_top == 0:
            return ()
        count = min(self._num_top, len(logprobs))
        smallest = max(np.partition(logprobs, -count)[-count], np.finfo(np.float32).min)
        ids = np.nonzero(logprobs >= smallest)[0]
        ordered = ids[np.argsort(-logprobs[ids], kind="stable")]
        return tuple(Candidate(int(i), float(logprobs[i])) for i in ordered)


def log_softmax(scores: Scores) -> Scores:
    """Return natural logarithms of probabilities."""
    shifted = scores - scores.max()
    return shifted - np.log(np.exp(shifted).sum())


def _keep_nucleus(scores: Scores, mass: float) -> None:
    """Remove all but the likeliest tokens that together reach `mass`.

    Source: Holtzman et al. 2020, arXiv:1904.09751, section 3.1.
    """
    ordered = np.sort(scores)
    cumulated = np.cumsum(np.exp(log_softmax(ordered)))
    num_removed = min(int((cumulated <= 1 - mass).sum()), len(ordered) - 1)
    scores[scores < ordered[num_removed]] = -np.inf


def _keep_typical(scores: Scores, mass: float) -> None:
    """Remove all but the tokens nearest to the expected surprise that together reach `mass`.

    Source: Meister et al. 2022, arXiv:2202.00666, section 3; as `TypicalLogitsWarper` does it.
    """
    logprobs = log_softmax(scores)
    probabilities = np.exp(logprobs)
    entropy = -np.sum(probabilities * np.where(probabilities > 0, logprobs, 0))
    order = np.argsort(np.abs(-logprobs - entropy), kind="stable")
    cumulated = np.cumsum(probabilities[order])
    last = min(int((cumulated < mass).sum()), len(order) - 1)
    scores[order[last + 1 :]] = -np.inf
