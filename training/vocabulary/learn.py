"""Byte-level BPE for code.

Split pattern of Qwen2 (llama.cpp's `pre = qwen2`, so that a GGUF of our models needs no new code
there), single digits, no normalisation, sentinels at fixed low ids.

Source: Sennrich et al. 2016, arXiv:1508.07909; the pattern: llama.cpp `src/llama-vocab.cpp`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from fimble.errors import ConfigError
from fimble.fim import SPECIAL_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable


SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyRecipe:
    """How a vocabulary is trained."""

    corpus: Path
    """Output folder of `fimble corpus build`."""
    size: int = 16_384
    """Tokens, sentinels included; a multiple of 128 keeps matrix products whole."""
    sample_bytes: int = 60_000_000
    """Text to train on, drawn over all languages."""
    max_bytes_per_language: int = 0
    """Limit for each language within the sample; 0 means none."""
    max_token_bytes: int = 24
    """Longest token: longer ones are headers of licences, not code."""
    seed: int = 0
    weights: dict[str, float] = field(default_factory=dict)
    """Share of the sample by language, against 1 for languages not named."""

    def __post_init__(self) -> None:
        if self.size < len(SPECIAL_TOKENS) + 256 or self.size > 65_536:
            raise ConfigError(
                f"size is {self.size}; it must be {len(SPECIAL_TOKENS) + 256} to 65536"
            )
        if self.sample_bytes < 1:
            raise ConfigError(f"sample_bytes is {self.sample_bytes}; it must be 1 or more")


def learn(texts: Iterable[str], *, size: int, max_token_bytes: int = 24) -> Tokenizer:
    """Return a tokenizer trained on `texts`.

    Args:
        texts: Documents, LF only.
        size: Tokens of the vocabulary; fewer come out where the texts have fewer pairs.
        max_token_bytes: Longest token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=max_token_bytes,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
