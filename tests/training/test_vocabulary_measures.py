"""What is measured of a tokenizer, on texts that can be counted by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from fimble.fim import SPECIAL_TOKENS
from training.recipe import ModelShape
from training.vocabulary.alphabet import BYTES_OF_CHARS, CHARS_OF_BYTES
from training.vocabulary.comparison import shown
from training.vocabulary.cost import cost
from training.vocabulary.formats import byte_level, load
from training.vocabulary.measure import Fit, indents_of, num_lines, tally
from training.vocabulary.round_trip import probes, round_trips
from training.vocabulary.sample import CorpusText
from training.vocabulary.splits import SPLITS, Split
from training.vocabulary.tokens import Glitch, Token, text_tokens, token_report

if TYPE_CHECKING:
    from pathlib import Path

BYTES = {char: byte for byte, char in enumerate(CHARS_OF_BYTES)}


def with_tokens(*tokens: str, split: Split = SPLITS["qwen2"]) -> Tokenizer:
    """Return a tokenizer of the bytes and these tokens; each is merged from left to right."""
    ids, merges = dict(BYTES), []
    for token in tokens:
        letters = "".join(CHARS_OF_BYTES[byte] for byte in token.encode())
        for end in range(2, len(letters) + 1):
            if letters[:end] not in ids:
                ids[letters[:end]] = len(ids)
                merges.append((letters[: end - 1], letters[end - 1]))
    return byte_level(ids, merges, split)


def fit_of(tokenizer: Tokenizer, *texts: str) -> Fit:
    files = [CorpusText(str(n), "p", "python", text) for n, text in enumerate(texts)]
    (counted,) = tally([tokenizer], files, lambda: 0.0)
    (fit,) = counted.fits()
    return fit


def test_letters_of_bytes_are_those_of_gpt2() -> None:
    assert set(CHARS_OF_BYTES) == set(pre_tokenizers.ByteLevel.alphabet())
    assert "".join(CHARS_OF_BYTES[byte] for byte in "é \n".encode()) == "Ã©ĠĊ"
    assert [BYTES_OF_CHARS[char] for char in CHARS_OF_BYTES] == list(range(256))


def test_the_fit_counts_bytes_tokens_lines_and_indentation() -> None:
    fit = fit_of(with_tokens("    ", "ab"), "é = 1\n        ab\n\tab", "\r\n", "")
    # Seven of the eight blanks are a word, of which pairs are merged first: 2, 2 and 3 of them.
    # The last one is the start of the word ` ab`, but a token of its own.
    assert fit == Fit(
        language="python",
        num_files=3,
        num_restored=3,
        num_bytes=7 + 11 + 3 + 2,
        num_tokens=7 + (3 + 2 + 1) + 2 + 2,
        num_lines=3 + 1,
        num_indents=2,
        num_indent_tokens=4 + 1,
        num_cheap_indents=1,
    )
    assert fit.bytes_per_token == 23 / 17
    assert fit.tokens_per_line == 17 / 4
    assert (fit.tokens_per_indent, fit.cheap_indent_rate, fit.restored_rate) == (2.5, 0.5, 1.0)


def test_a_token_that_takes_the_line_end_with_it_is_the_cost_of_indentation() -> None:
    split = Split((r"\s+|\S+",))
    fit = fit_of(with_tokens("\n    ", split=split), "a\n    b\n  \n    c\n")
    assert (fit.num_indents, fit.num_indent_tokens, fit.num_cheap_indents) == (2, 2, 2)
    assert fit_of(with_tokens(split=split), "a\n    b").num_indent_tokens == 4


@pytest.mark.parametrize(
    ("text", "lines"), [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2), ("a\r\n", 1)]
)
def test_lines_are_counted_whether_the_last_one_ends_or_not(text: str, lines: int) -> None:
    assert num_lines(text) == lines


def test_empty_lines_have_no_indentation() -> None:
    indents = indents_of("a\n   \n\t\n  b\n 🙂 c\n")
    assert list(zip(indents.starts.tolist(), indents.ends.tolist(), strict=True)) == [
        (8, 10),
        (12, 13),
    ]


def test_time_is_what_encoding_took() -> None:
    ticks = iter(range(100))
    files = [CorpusText("1", "p", "c", "x" * 50_000), CorpusText("2", "p", "c", "y" * 50_000)]
    (counted,) = tally([with_tokens()], files, lambda: float(next(ticks)))
    assert counted.seconds == 2.0
    assert counted.megabytes_per_s == 0.05


def test_tokens_stand_for_bytes_and_special_ones_are_left_out(tokenizer_path: Path) -> None:
    tokenizer = load(tokenizer_path)
    tokens = text_tokens(tokenizer)
    assert [token.index for token in tokens] == list(range(64, 1024))
    assert {token.data for token in tokens[:256]} == {bytes([byte]) for byte in range(256)}
    for token in tokens:
        if token.data.isascii():
            assert tokenizer.decode([token.index]).encode() == token.data


def test_glitch_tokens_are_told_apart() -> None:
    # `1234` cannot come: digits stand alone. `abc` is a step to `abcd`, `ab` one to `abc`.
    tokenizer = with_tokens("abcd", "1234", "xy", "zz")
    names = {token.data.decode(): token for token in text_tokens(tokenizer)[256:]}
    texts = ["abcd xy", "zz zz zz"]
    counts = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    for text in texts:
        np.add.at(counts, tokenizer.encode(text).ids, 1)
    report = token_report(tokenizer, held_out=np.zeros_like(counts), sample=counts, num_longest=2)
    of = {
        kind: {token.data.decode() for token in found if token.index > 255}
        for kind, found in report.glitches.items()
    }
    assert of == {
        Glitch.UNREACHABLE: {"12", "123", "1234"},
        Glitch.NEVER: {"ab", "abc"},
        Glitch.RARE: {"abcd", "xy"},
    }
    assert report.longest == (names["abcd"], names["1234"])
    assert len(report.unused) == len(names) + 256
    assert report.num_partial == 128
    assert report.num_special == 0


def test_without_a_sample_nothing_is_said_about_glitches() -> None:
    tokenizer = with_tokens("ab")
    counts = np.ones(tokenizer.get_vocab_size(), dtype=np.int64)
    report = token_report(tokenizer, held_out=counts, sample=None)
    assert report.glitches == {}
    assert report.unused == ()


def test_every_probe_comes_back_from_our_vocabulary(tokenizer_path: Path) -> None:
    trips = round_trips(load(tokenizer_path))
    assert [trip.probe for trip in trips] == [*(p.name for p in probes()), "its own special tokens"]
    assert [trip for trip in trips if not trip.is_whole] == []
    spelled = next(probe.text for probe in probes() if probe.name == "spelled sentinels")
    assert set(SPECIAL_TOKENS) <= set(spelled.split(" "))


def test_a_tokenizer_that_obeys_text_or_changes_it_is_found_out(tokenizer_path: Path) -> None:
    obeying = Tokenizer.from_file(str(tokenizer_path))
    obeying.encode_special_tokens = False
    assert {t.probe for t in round_trips(obeying) if not t.stayed_text} == {
        "spelled sentinels",
        "its own special tokens",
    }
    composing = with_tokens()
    composing.normalizer = normalizers.NFC()
    assert [t.probe for t in round_trips(composing) if not t.restored] == ["decomposed letters"]


def test_bytes_of_sentencepiece_are_read_from_their_names() -> None:
    vocab = {f"<0x{byte:02X}>": byte for byte in range(256)} | {"\u2581": 256, "\u2581\u2581": 257}
    tokenizer = Tokenizer(
        models.BPE(vocab, [("\u2581", "\u2581")], byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
    ])  # fmt: skip
    tokens = text_tokens(tokenizer)
    assert tokens[0xE9] == Token(0xE9, b"\xe9")
    assert tokens[256:] == [Token(256, b" "), Token(257, b"  ")]


def test_tokens_are_shown_so_that_blanks_are_seen() -> None:
    assert shown(Token(1, b"\n\t  x\r")) == "\\n\\t␣␣x\\r"
    assert shown(Token(2, "é".encode()[:1])) == "\\xc3"


def test_the_cost_is_that_of_a_llama_of_this_shape() -> None:
    shape = ModelShape(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    # By hand: queries and outputs 64 x 64, keys and values 64 x 32, three matrices of 64 x 128.
    blocks = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    of = cost(shape, 1000, bytes_per_token=4.0)
    assert of.num_parameters == blocks + 64_000
    assert of.num_embedding_parameters == 64_000
    assert of.embedding_rate == 64_000 / (blocks + 64_000)
    assert of.prefill_flops_per_byte == 2 * blocks / 4
    assert of.decode_flops_per_byte == 2 * (blocks + 64_000) / 4
    attention = 6 * 2 * 64 * shape.context_tokens
    assert of.train_flops_per_byte == (6 * (blocks + 64_000) + attention) / 4
