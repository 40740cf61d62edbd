r"""How published tokenizers split text before merging, by llama.cpp's names (`tokenizer.ggml.pre`).

Files that hold tokens and merges alone (GGUF, tiktoken) name the split or leave it to the reader.
Patterns are those of the models' own `tokenizer.json`, which llama.cpp adapts to its engine; each
splits what the ones before it left whole.

Source: llama.cpp `src/llama-vocab.cpp`, `llm_tokenizer_bpe`.
"""

from __future__ import annotations

from typing import NamedTuple

from training.vocabulary.learn import SPLIT_PATTERN


class Split(NamedTuple):
    """How text becomes words, within which alone pairs are merged."""

    patterns: tuple[str, ...]
    """Applied in their order; what one matches is a word, and so is what lies between matches."""
    ignores_merges: bool = False
    """A word that is a token is that token, even where merges would not lead to it."""


_WORD_OF_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_REST_OF_GPT4 = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_CAMEL = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"

_GPT2 = Split((_WORD_OF_GPT2,))
_STARCODER = Split((r"\p{N}", _WORD_OF_GPT2))
_LLAMA3 = Split((SPLIT_PATTERN.replace(r"|\p{N}|", r"|\p{N}{1,3}|"),), ignores_merges=True)

_QWEN35 = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}|"
    r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT4O = rf"{_CAMEL[0]}{_CONTRACTION}?|{_CAMEL[1]}{_CONTRACTION}?|\p{{N}}{{1,3}}|{_REST_OF_GPT4}"
_SEED_CODER = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|"
    r" ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

SPLITS: dict[str, Split] = {
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "mpt": _GPT2,
    "mellum": _GPT2,
    "starcoder": _STARCODER,
    "refact": _STARCODER,
    "smollm": _STARCODER,
    "mellum2": _STARCODER,
    "codeshell": _STARCODER,
    "command-r": _STARCODER,
    "qwen2": Split((SPLIT_PATTERN,)),
    "qwen35": Split((_QWEN35,)),
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "falcon3": _LLAMA3,
    "gpt-4o": Split((_GPT4O,)),
    "tekken": Split((rf"{_CAMEL[0]}|{_CAMEL[1]}|\p{{N}}|{_REST_OF_GPT4}",), ignores_merges=True),
    "seed-coder": Split((_SEED_CODER,)),
    "deepseek-coder": Split((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}")),
    "deepseek-v3": Split((r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK3)),
}
"""Those of models that complete code."""

SPLIT_OF_RANKS: dict[str, str] = {
    "r50k_base": "gpt-2",
    "p50k_base": "gpt-2",
    "cl100k_base": "llama-bpe",
    "o200k_base": "gpt-4o",
    "qwen": "qwen2",
}
"""Splits of tiktoken's files, which hold tokens and their ranks alone, by their usual names."""
