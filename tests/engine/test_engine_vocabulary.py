"""Text to ids and back: sentinels in text, bytes and characters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fimble.errors import ModelFolderError
from fimble.fim import FIMBLE, SPECIAL_TOKENS, FimOrder, infill_prompt
from lsp_server.engines.segments import Special, from_json, segments_of, to_json
from lsp_server.engines.vocabulary import Piece, TextDecoder, Vocabulary
from tests.stand_ins.tiny_model import TINY_VOCABULARY, tiny_model_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXTS = ["", "x = 1\r\n", "naïve 🙂👩‍👩‍👧 <|fim_middle|>", "\t\n\n   \x00 \u2028 end"]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(tiny_model_folder() / "tokenizer.json", size=TINY_VOCABULARY)


def decoded(vocabulary: Vocabulary, ids: list[int]) -> list[str]:
    decoder = TextDecoder(vocabulary)
    return [decoder.add(token_id) for token_id in ids]


@pytest.mark.parametrize("sentinel", SPECIAL_TOKENS)
def test_text_that_spells_a_special_token_stays_text(vocabulary: Vocabulary, sentinel: str) -> None:
    text = f'END = "{sentinel}"{sentinel}'

    ids = vocabulary.encode([text])

    assert min(ids) >= len(SPECIAL_TOKENS)
    assert "".join(decoded(vocabulary, ids)) == text


def test_marks_become_single_special_tokens_and_texts_between_them_are_read_alone(
    vocabulary: Vocabulary,
) -> None:
    parts = infill_prompt(prefix="a <|fim_suffix|> b", suffix="c", order=FimOrder.SPM, path="p.py")

    ids = vocabulary.encode(segments_of(parts, FIMBLE))

    texts = [vocabulary.encode([text]) for text in ("p.py\n", "c", "a <|fim_suffix|> b")]
    file, suffix, prefix, middle = (
        SPECIAL_TOKENS.index(name)
        for name in ("<|file_sep|>", "<|fim_suffix|>", "<|fim_prefix|>", "<|fim_middle|>")
    )
    assert ids == [file, *texts[0], suffix, *texts[1], prefix, *texts[2], middle]


def test_a_prompt_in_one_string_obeys_its_special_tokens(vocabulary: Vocabulary) -> None:
    prompt = FIMBLE.render(infill_prompt(prefix="a", suffix="b", order=FimOrder.PSM))

    assert vocabulary.encode_rendered(prompt) == vocabulary.encode(
        segments_of(infill_prompt(prefix="a", suffix="b", order=FimOrder.PSM), FIMBLE)
    )


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_gives_the_text_back_and_never_half_of_a_character(
    vocabulary: Vocabulary, text: str
) -> None:
    pieces = decoded(vocabulary, vocabulary.encode([text]))

    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)


@given(text=st.text())
def test_any_text_survives_the_way_to_ids_and_back(vocabulary: Vocabulary, text: str) -> None:
    pieces = decoded(vocabulary, vocabulary.encode([text]))

    assert "".join(pieces) == text


def test_an_emoji_of_four_tokens_comes_with_the_last_of_them(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode(["🙂"])

    assert len(ids) == 4
    assert decoded(vocabulary, ids) == ["", "", "", "🙂"]


def test_bytes_that_are_no_character_become_one_replacement_each_and_the_rest_goes_on(
    vocabulary: Vocabulary,
) -> None:
    smile, letter = vocabulary.encode(["🙂"]), vocabulary.encode(["a"])

    assert "".join(decoded(vocabulary, [*smile[:2], *letter, *smile])) == "\ufffda🙂"


def test_pieces_say_where_tokens_stand_in_bytes(vocabulary: Vocabulary) -> None:
    segments = ("é", Special("<|fim_middle|>"), "🙂a")

    pieces = vocabulary.pieces(segments)

    e1, e2 = vocabulary.encode(["é"])
    ids = vocabulary.encode(["🙂a"])
    assert pieces == [
        Piece(e1, 0, 2),
        Piece(e2, 0, 2),
        Piece(SPECIAL_TOKENS.index("<|fim_middle|>"), 2, 16),
        *(Piece(token_id, 16, 20) for token_id in ids[:4]),
        Piece(ids[4], 20, 21),
    ]
    assert vocabulary.pieces_rendered("é<|fim_middle|>🙂a") == pieces


def test_tokens_can_be_named_for_people(vocabulary: Vocabulary) -> None:
    assert vocabulary.token_text(SPECIAL_TOKENS.index("<|endoftext|>")) == "<|endoftext|>"
    assert vocabulary.token_text(vocabulary.encode(["\n"])[0]) == "\n"
    assert vocabulary.token_text(vocabulary.encode(["🙂"])[0]) == "\ufffd"


def test_segments_survive_json_and_other_forms_are_refused() -> None:
    segments = ("a\r\n", Special("<|fim_pad|>"), "🙂")

    assert from_json(json.loads(json.dumps(to_json(segments)))) == segments
    for item in (1, None, {"special": 1}, {"special": "x", "more": 1}, {"text": "x"}, ["x"]):
        with pytest.raises(ValueError, match=r"inputs\[1\]"):
            from_json(["fine", item])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda _: "{", "cannot read"),
        (lambda _: "[]", "no byte-level vocabulary"),
        (lambda text: text.replace('"ByteLevel"', '"Metaspace"'), "no byte-level vocabulary"),
        (lambda text: text.replace('"BPE"', '"Abacus"'), "is not a tokenizer"),
    ],
)
def test_a_file_that_is_no_byte_level_vocabulary_is_refused(
    tmp_path: Path, edit: Callable[[str], str], message: str
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(edit((tiny_model_folder() / "tokenizer.json").read_text(encoding="utf-8")))

    with pytest.raises(ModelFolderError, match=message):
        Vocabulary(path, size=TINY_VOCABULARY)


def test_a_vocabulary_larger_than_the_models_is_refused() -> None:
    with pytest.raises(ModelFolderError, match="512 tokens; the model knows 511"):
        Vocabulary(tiny_model_folder() / "tokenizer.json", size=511)
