"""The vocabulary of a GGUF file: tokens, merges, and the name of its split."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import gguf

from fimble.errors import InputError
from training.vocabulary.splits import SPLITS, Split

if TYPE_CHECKING:
    from pathlib import Path

_KEYS = gguf.Keys.Tokenizer


class GgufVocabulary(NamedTuple):
    """Byte-level BPE as llama.cpp stores it."""

    ids: dict[str, int]
    """Ids of tokens that text may become."""
    merges: list[tuple[str, str]]
    whole: list[str]
    """Tokens that are found in a text before anything is split, written as they are."""
    split: Split


def read_gguf(file: Path) -> GgufVocabulary:
    """Return the vocabulary of a model, or of a file that holds nothing else.

    Raises:
        InputError: The file is no GGUF, holds no byte-level BPE, or splits text in a way that is
            not in `SPLITS`.
    """
    try:
        reader = gguf.GGUFReader(file)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file} as GGUF: {error}") from error
    kind, split = (_text(reader, key) for key in (_KEYS.MODEL, _KEYS.PRE))
    if kind != "gpt2":
        raise InputError(
            f"{file} holds a vocabulary of the kind {kind or 'none'}; only byte-level BPE "
            "(kind gpt2) can be compared from GGUF: give the model's tokenizer.json instead"
        )
    if split not in SPLITS:
        raise InputError(
            f"{file} splits text as {split or 'it does not say'}; known are "
            f"{', '.join(sorted(SPLITS))}: give the model's tokenizer.json instead"
        )
    tokens: list[str] = reader.fields[_KEYS.LIST].contents()
    types: list[int] = reader.fields[_KEYS.TOKEN_TYPE].contents()
    merges: list[str] = reader.fields[_KEYS.MERGES].contents()
    text_types = {int(gguf.TokenType.NORMAL), int(gguf.TokenType.USER_DEFINED)}
    ids = {
        token: index
        for index, (token, type_id) in enumerate(zip(tokens, types, strict=True))
        if type_id in text_types
    }
    pairs = [merge.split(" ", 1) for merge in merges]
    return GgufVocabulary(
        ids=ids,
        merges=[(left, right) for left, right in pairs],
        whole=[token for token in ids if types[ids[token]] == gguf.TokenType.USER_DEFINED],
        split=SPLITS[split],
    )


def _text(reader: gguf.GGUFReader, key: str) -> str:
    field = reader.fields.get(key)
    return "" if field is None else str(field.contents())
