"""The tokens of a vocabulary one by one: what each stands for, and whether text ever becomes it.

A token that training never shows keeps the values it was born with, and a model that meets it in
use does not know what it means.

Source: Land and Bartolo 2024, Fishing for Magikarp, arXiv:2405.05417.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from training.vocabulary.alphabet import BYTES_OF_CHARS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from tokenizers import Tokenizer

RARE_BELOW = 3
"""A token that the sample of training shows less often has hardly been seen."""
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
_BLANK_OF_SENTENCEPIECE = "\u2581"


class Glitch(StrEnum):
    """Why a token is not learnt."""

    UNREACHABLE = "unreachable"
    """Its own text becomes other tokens."""
    NEVER = "never"
    """Its text becomes this token, but no text of the sample does: a step on the way to others."""
    RARE = "rare"
    """The sample shows it fewer than `RARE_BELOW` times."""


class Token(NamedTuple):
    """One token."""

    index: int
    data: bytes
    """What it stands for; a part of a character need not be UTF-8."""


class TokenReport(NamedTuple):
    """The tokens of a vocabulary, special ones left out."""

    num_special: int
    num_partial: int
    """Tokens that are part of a character."""
    longest: tuple[Token, ...]
    """Longest first."""
    unused: tuple[Token, ...]
    """Those that held-out text never becomes."""
    glitches: dict[Glitch, tuple[Token, ...]]
    """Empty where no sample of training was given."""


def token_report(
    tokenizer: Tokenizer, *, held_out: np.ndarray, sample: np.ndarray | None, num_longest: int = 12
) -> TokenReport:
    """Return what is to be said about the tokens.

    Args:
        tokenizer: Reads special tokens in a text as text.
        held_out: How often each id comes in held-out text.
        sample: The same of a sample of training; None where there is none.
        num_longest: How many of the longest to name.
    """
    tokens = text_tokens(tokenizer)
    by_length = sorted(tokens, key=lambda token: (-len(token.data), token.index))
    return TokenReport(
        num_special=tokenizer.get_vocab_size() - len(tokens),
        num_partial=sum(_text(token) is None for token in tokens),
        longest=tuple(by_length[:num_longest]),
        unused=tuple(token for token in tokens if not held_out[token.index]),
        glitches={} if sample is None else _glitches(tokenizer, tokens, held_out, sample),
    )


def text_tokens(tokenizer: Tokenizer) -> list[Token]:
    """Return the tokens that text may become, by their ids."""
    special = special_ids(tokenizer)
    decode = _decode_of(tokenizer)
    added = {index: token.content for index, token in tokenizer.get_added_tokens_decoder().items()}
    found: list[Token] = []
    for piece, index in tokenizer.get_vocab(with_added_tokens=True).items():
        if index not in special:
            found.append(Token(index, added[index].encode() if index in added else decode(piece)))
    return sorted(found)


def special_ids(tokenizer: Tokenizer) -> set[int]:
    """Return the ids of special tokens, which no text becomes."""
    added = tokenizer.get_added_tokens_decoder()
    return {index for index, token in added.items() if token.special}


class _Decode:
    """What a piece of a vocabulary stands for."""

    def __init__(self, *, is_byte_level: bool) -> None:
        self._is_byte_level = is_byte_level

    def __call__(self, piece: str) -> bytes:
        if self._is_byte_level and all(char in BYTES_OF_CHARS for char in piece):
            return bytes(map(BYTES_OF_CHARS.__getitem__, piece))
        if not self._is_byte_level and (match := _BYTE_TOKEN.fullmatch(piece)):
            return bytes([int(match[1], 16)])
        return piece.replace(_BLANK_OF_SENTENCEPIECE, " ").encode()


def _decode_of(tokenizer: Tokenizer) -> _Decode:
    table: dict[str, Any] = json.loads(tokenizer.to_str())
    return _Decode(is_byte_level='"ByteLevel"' in json.dumps(table["decoder"]))


def _text(token: Token) -> str | None:
    """Return the token as text, or None for a part of a character."""
    try:
        return token.data.decode()
    except UnicodeDecodeError:
        return None


def _glitches(
    tokenizer: Tokenizer, tokens: Sequence[Token], held_out: np.ndarray, sample: np.ndarray
) -> dict[Glitch, tuple[Token, ...]]:
    found: dict[Glitch, list[Token]] = {kind: [] for kind in Glitch}
    for token in tokens:
        times = int(sample[token.index])
        if times >= RARE_BELOW:
            continue
        if times:
            found[Glitch.RARE].append(token)
        elif held_out[token.index] or _is_reachable(tokenizer, token):
            found[Glitch.NEVER].append(token)
        else:
            found[Glitch.UNREACHABLE].append(token)
    return {kind: tuple(tokens) for kind, tokens in found.items()}


def _is_reachable(tokenizer: Tokenizer, token: Token) -> bool:
    """Return whether the token's own text becomes it; a part of a character counts as reachable."""
    text = _text(token)
    if text is None:
        return True
    # Behind a letter, too: some tokenizers put a blank before the first word.
    alone = tokenizer.encode(text, add_special_tokens=False).ids
    return (
        token.index in alone
        or token.index in tokenizer.encode(f"\n{text}", add_special_tokens=False).ids
    )
