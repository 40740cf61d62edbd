"""Vocabularies that are tokens with ranks, as tiktoken and Mistral write them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_tiktoken(file: Path) -> dict[bytes, int]:
    """Return the tokens of a file with a token in base64 and its rank on each line.

    Raises:
        InputError: A line is something else.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except ValueError as error:
            raise InputError(
                f"{file}:{number}: a line must be a token in base64, a blank and its rank ({error})"
            ) from error
    return ranks


def read_tekken(table: Mapping[str, Any]) -> dict[bytes, int]:
    """Return the tokens of a `tekken.json`, as many as the model has besides its special ones."""
    config = table["config"]
    count = config["default_vocab_size"] - config["default_num_special_tokens"]
    return {base64.b64decode(row["token_bytes"]): row["rank"] for row in table["vocab"][:count]}


def merges_of(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Return pairs that lead to each token, in the order in which a tokenizer takes them.

    Every pair of tokens that makes up another one is such a pair: the rank of what a pair makes
    decides, which is how tiktoken merges.
    """
    pairs: list[tuple[int, int, int, bytes, bytes]] = []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ranks and right in ranks:
                pairs.append((rank, ranks[left], ranks[right], left, right))
    return [(left, right) for *_, left, right in sorted(pairs)]
