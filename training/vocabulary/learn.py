r"""Byte-level BPE for code: single digits, no normalisation, sentinels at fixed low ids.

Pairs are merged within words or within lines. Words are those of Qwen2, so that a GGUF of our
models needs no new code in llama.cpp (`pre = qwen2`). Lines let a token hold several words, such as
`) -> None:`. Where merges end is a matter of learning alone then: no text is split when it is
encoded, but for digits, which no merge touches. That is what llama.cpp does with `pre = superbpe`.

Source: Sennrich et al. 2016, arXiv:1508.07909; Qwen2's pattern: llama.cpp `src/llama-vocab.cpp`;
tokens of several words: Liu et al. 2025, SuperBPE, arXiv:2503.13423.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from fimble.fim import SPECIAL_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable


class Unit(StrEnum):
    """Within what pairs are merged."""

    WORD = "word"
    """Qwen2's: letters with what stands before them, marks with line ends, blanks."""
    LINE = "line"
    """The code of a line; its end is a unit with the indentation of the next one."""
    LINE_WITH_END = "line_with_end"
    """A line, its end, and the indentation of the next one."""


SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's words."""
DIGIT_PATTERN = r"\p{N}"
_LEARNT_WITHIN: dict[Unit, tuple[str, ...]] = {
    Unit.WORD: (SPLIT_PATTERN,),
    Unit.LINE: (DIGIT_PATTERN, r"\n+[ \t]*|[^\n]+"),
    Unit.LINE_WITH_END: (DIGIT_PATTERN, r"[^\n]*\n+[ \t]*|[^\n]+"),
}


def learn(
    texts: Iterable[str], *, size: int, max_token_bytes: int = 24, unit: Unit = Unit.WORD
) -> Tokenizer:
    """Return a tokenizer trained on `texts`.

    Args:
        texts: Documents, LF only.
        size: Tokens of the vocabulary; fewer come out where the texts have fewer pairs. A smaller
            size gives the start of a larger one.
        max_token_bytes: Longest token.
        unit: Within what pairs are merged.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _split(*_LEARNT_WITHIN[unit])
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
    if unit is not Unit.WORD:
        tokenizer.pre_tokenizer = _split(DIGIT_PATTERN)
    return tokenizer


def _split(*patterns: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
