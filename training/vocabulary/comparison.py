"""Tokenizers side by side: everything that the report says about them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from training.recipe import ModelShape
from training.vocabulary.cost import Cost, cost
from training.vocabulary.measure import Fit, Tally, count_ids, num_ids, tally
from training.vocabulary.recipe import SampleConfig
from training.vocabulary.round_trip import RoundTrip, round_trips
from training.vocabulary.sample import held_out_texts, training_sample
from training.vocabulary.tokens import Token, TokenReport, token_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tokenizers import Tokenizer

    from training.vocabulary.formats import Named
    from training.vocabulary.sample import CorpusText


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to compare on."""

    corpus: Path
    """Output folder of `fimble corpus build`."""
    bytes_per_language: int = 0
    """About how much held-out text of each language; 0 means all."""
    sample_bytes: int = 20_000_000
    """Text of the training split that tells which tokens are learnt; 0 leaves them out."""
    shape: ModelShape | None = None
    """Of the model whose cost is asked for."""


class Measured(NamedTuple):
    """What was found out about one tokenizer."""

    name: str
    size: int
    """Tokens, special ones included."""
    fits: tuple[Fit, ...]
    """By language, in order of their names."""
    counts: np.ndarray
    """How often each id comes in the held-out text."""
    megabytes_per_s: float
    tokens: TokenReport
    round_trips: tuple[RoundTrip, ...]
    cost: Cost | None

    @property
    def bytes_per_token(self) -> float:
        """Mean over the languages, each of them counted alike."""
        return sum(fit.bytes_per_token for fit in self.fits) / len(self.fits)

    @property
    def total_bytes_per_token(self) -> float:
        """All held-out bytes over all their tokens."""
        return sum(fit.num_bytes for fit in self.fits) / sum(fit.num_tokens for fit in self.fits)

    def mean(self, name: str) -> float:
        """Return the mean of a property of `Fit` over the languages."""
        return sum(float(getattr(fit, name)) for fit in self.fits) / len(self.fits)


class Comparison(NamedTuple):
    """The tokenizers in the order in which they were named."""

    corpus: str
    num_files: int
    num_bytes: int
    sample_bytes: int
    measured: tuple[Measured, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the held-out text, in order."""
        return tuple(fit.language for fit in self.measured[0].fits)


def compare(named: Sequence[Named], question: Question, clock_s: Callable[[], float]) -> Comparison:
    """Return the comparison.

    Args:
        named: At least one.
        question: What to compare on.
        clock_s: Seconds from any start.

    Raises:
        ConfigError: The corpus lacks files, or one of its splits.
    """
    tokenizers = [each.tokenizer for each in named]
    held_out = held_out_texts(question.corpus, question.bytes_per_language)
    tallies = tally(tokenizers, _shown(held_out, "held-out files"), clock_s)
    sample = _Sample([], 0)
    if question.sample_bytes:
        config = SampleConfig(num_bytes=question.sample_bytes)
        texts = training_sample(question.corpus, config)
        sample = _sample(tokenizers, _shown(texts, "files of training"))
    fits = tallies[0].fits()
    return Comparison(
        corpus=question.corpus.resolve().name,
        num_files=sum(fit.num_files for fit in fits),
        num_bytes=tallies[0].num_bytes,
        sample_bytes=sample.num_bytes,
        measured=tuple(
            _measured(each, counted, counts, question.shape)
            for each, counted, counts in zip_longest(named, tallies, sample.counts)
        ),
    )


class _Sample(NamedTuple):
    """What a sample of training becomes."""

    counts: list[np.ndarray]
    """How often each id comes, for each tokenizer; empty where no sample was taken."""
    num_bytes: int


def _sample(tokenizers: Sequence[Tokenizer], texts: Iterable[CorpusText]) -> _Sample:
    counts = [np.zeros(num_ids(each), dtype=np.int64) for each in tokenizers]
    num_bytes = 0
    for text in texts:
        num_bytes += text.num_bytes
        for tokenizer, count in zip(tokenizers, counts, strict=True):
            encoding = tokenizer.encode(text.text, add_special_tokens=False)
            np.add(count, count_ids(encoding, len(count)), out=count)
    return _Sample(counts, num_bytes)


def _measured(
    named: Named, counted: Tally, sample: np.ndarray | None, shape: ModelShape | None
) -> Measured:
    measured = Measured(
        name=named.name,
        size=named.tokenizer.get_vocab_size(),
        fits=tuple(counted.fits()),
        counts=counted.counts,
        megabytes_per_s=counted.megabytes_per_s,
        tokens=token_report(named.tokenizer, held_out=counted.counts, sample=sample),
        round_trips=tuple(round_trips(named.tokenizer)),
        cost=None,
    )
    if shape is None:
        return measured
    return measured._replace(cost=cost(shape, measured.size, measured.bytes_per_token))


def _shown(texts: Iterable[CorpusText], what: str) -> Iterable[CorpusText]:
    """Return the texts, with a line of progress where somebody looks at one."""
    return tqdm(texts, desc=what, unit=" files", disable=None)


def as_json(comparison: Comparison) -> dict[str, object]:
    """Return the comparison as a document."""
    return {
        "corpus": comparison.corpus,
        "held_out": {"files": comparison.num_files, "bytes": comparison.num_bytes},
        "sample_bytes": comparison.sample_bytes,
        "tokenizers": [_json_of(each) for each in comparison.measured],
    }


def _json_of(measured: Measured) -> dict[str, object]:
    tokens = measured.tokens
    return {
        "name": measured.name,
        "size": measured.size,
        "bytes_per_token": round(measured.bytes_per_token, 4),
        "total_bytes_per_token": round(measured.total_bytes_per_token, 4),
        "megabytes_per_s": round(measured.megabytes_per_s, 2),
        "languages": {fit.language: _json_of_fit(fit) for fit in measured.fits},
        "tokens": {
            "special": tokens.num_special,
            "partial": tokens.num_partial,
            "unused": len(tokens.unused),
            **{kind.value: len(found) for kind, found in tokens.glitches.items()},
            "longest": [shown(token) for token in tokens.longest],
        },
        "round_trip": {each.probe: each.is_whole for each in measured.round_trips},
        "cost": None if measured.cost is None else measured.cost._asdict(),
    }


def _json_of_fit(fit: Fit) -> dict[str, object]:
    return {
        "files": fit.num_files,
        "restored": fit.num_restored,
        "bytes": fit.num_bytes,
        "tokens": fit.num_tokens,
        "lines": fit.num_lines,
        "bytes_per_token": round(fit.bytes_per_token, 4),
        "tokens_per_line": round(fit.tokens_per_line, 3),
        "tokens_per_indent": round(fit.tokens_per_indent, 3),
        "cheap_indent_rate": round(fit.cheap_indent_rate, 4),
    }


def shown(token: Token) -> str:
    """Return a token as a person can read it: blanks as `␣`, line ends and tabs as escapes."""
    text = token.data.decode(errors="backslashreplace")
    for char, mark in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), (" ", "␣")):
        text = text.replace(char, mark)
    return text
