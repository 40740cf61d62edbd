"""Between text and token ids: encoding of prompts, and decoding that never splits a character."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, NamedTuple

from tokenizers import Tokenizer

from fimble.errors import ModelFolderError
from lsp_server.engines.segments import Special

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tokenizers import Encoding

    from lsp_server.engines.segments import Segment


class Piece(NamedTuple):
    """One token of an encoded text."""

    token_id: int
    start_bytes: int
    """Where the token starts in the UTF-8 form of the text."""
    stop_bytes: int


class Vocabulary:
    """A byte-level BPE vocabulary with its special tokens.

    Args:
        path: A `tokenizer.json`.
        size: Number of tokens that the model knows.

    Raises:
        ModelFolderError: The file is no byte-level vocabulary, or has more tokens than `size`.
    """

    def __init__(self, path: Path, *, size: int) -> None:
        definition = _read(path)
        self.size = size
        self._parsing = _tokenizer(definition, path)
        # Text that spells a special token must stay text, so a second instance never sees one.
        self._plain = _tokenizer(definition, path)
        self._plain.encode_special_tokens = True
        if (count := self._parsing.get_vocab_size(with_added_tokens=True)) > size:
            raise ModelFolderError(f"{path} has {count} tokens; the model knows {size}")
        added = self._parsing.get_added_tokens_decoder()
        self.specials: dict[int, str] = {i: t.content for i, t in added.items() if t.special}
        """Text of each special token by its id."""
        self._special_ids = {text: token_id for token_id, text in self.specials.items()}
        byte_of = _byte_of_symbol()
        symbols = (self._parsing.id_to_token(token_id) or "" for token_id in range(size))
        self._bytes = [bytes(byte_of.get(s, 0) for s in text) for text in symbols]
        for token_id, token in added.items():
            self._bytes[token_id] = b"" if token.special else token.content.encode()

    def special_id(self, text: str) -> int | None:
        """Return the id of a special token, or None if the vocabulary has none of that text."""
        return self._special_ids.get(text)

    def encode(self, segments: Iterable[Segment]) -> list[int]:
        """Return the ids of a prompt in segments; texts are never read as special tokens.

        Raises:
            KeyError: The vocabulary lacks a special token.
        """
        ids: list[int] = []
        for segment in segments:
            if isinstance(segment, Special):
                ids.append(self._special_ids[segment.text])
            else:
                ids += self._plain.encode(segment, add_special_tokens=False).ids
        return ids

    def encode_rendered(self, text: str) -> list[int]:
        """Return the ids of a prompt in one string; special tokens in it are obeyed, as in TGI."""
        return self._parsing.encode(text).ids

    def pieces(self, segments: Iterable[Segment]) -> list[Piece]:
        """Return the tokens of a prompt in segments with their places in the joined text.

        Raises:
            KeyError: The vocabulary lacks a special token.
        """
        pieces: list[Piece] = []
        start = 0
        for segment in segments:
            if isinstance(segment, Special):
                size = len(segment.text.encode())
                pieces.append(Piece(self._special_ids[segment.text], start, start + size))
            else:
                size = len(segment.encode())
                encoding = self._plain.encode(segment, add_special_tokens=False)
                pieces += _pieces(encoding, segment, start)
            start += size
        return pieces

    def pieces_rendered(self, text: str) -> list[Piece]:
        """Return the tokens of a prompt in one string, in which special tokens are obeyed."""
        return _pieces(self._parsing.encode(text), text, 0)

    def token_bytes(self, token_id: int) -> bytes:
        """Return what a token adds to the text; nothing for a special token."""
        return self._bytes[token_id]

    def token_text(self, token_id: int) -> str:
        """Return a token on its own for people to read; broken characters become U+FFFD."""
        special = self.specials.get(token_id)
        return self._bytes[token_id].decode(errors="replace") if special is None else special


class TextDecoder:
    """Turns tokens into text as they come; half of a character waits for its other half."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token_id: int) -> str:
        """Return the whole characters that the token completes."""
        return self.add_bytes(self._vocabulary.token_bytes(token_id))

    def add_bytes(self, data: bytes) -> str:
        """Return the whole characters that these bytes complete."""
        return self._decoder.decode(data)


def _read(path: Path) -> str:
    try:
        definition = path.read_text(encoding="utf-8")
        table = json.loads(definition)
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"cannot read {path}: {error}") from error
    decoder = table.get("decoder") if isinstance(table, dict) else None
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise ModelFolderError(f"{path} holds no byte-level vocabulary; other kinds are not read")
    return definition


def _tokenizer(definition: str, path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(definition)
    except Exception as error:
        raise ModelFolderError(f"{path} is not a tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _pieces(encoding: Encoding, text: str, start_bytes: int) -> list[Piece]:
    starts = [start_bytes]
    for character in text:
        starts.append(starts[-1] + len(character.encode()))
    return [
        Piece(token_id, starts[start], starts[stop])
        for token_id, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)
    ]


def _byte_of_symbol() -> dict[str, int]:
    """Return the byte that each symbol of a byte-level vocabulary stands for.

    Printable bytes of Latin-1 stand for themselves, the others for symbols from U+0100 on.

    Source: Radford et al. 2019 (GPT-2), `bytes_to_unicode` in its encoder.py.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = sorted(set(range(256)) - printable)
    symbols = {chr(byte): byte for byte in printable}
    return symbols | {chr(0x100 + place): byte for place, byte in enumerate(others)}
