"""Hashes of words and n-grams against tuples of plain Python."""

from __future__ import annotations

import random
import re
import string
import subprocess
import sys

import numpy as np
import pytest

from training.corpus.shingles import BLOCK_BYTES, find_words, mix, shingles

WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")


def tuples(text: bytes, num_words: int) -> list[tuple[bytes, ...]]:
    words = WORD.findall(text)
    return [tuple(words[i : i + num_words]) for i in range(len(words) - num_words + 1)]


def assert_same_classes(texts: list[bytes], num_words: int) -> None:
    """Assert that two shingles have one hash exactly if they are equal."""
    found = shingles(texts, num_words)
    expected = [tuples(text, num_words) for text in texts]
    assert np.diff(found.offsets).tolist() == [len(each) for each in expected]
    flat = [each for row in expected for each in row]
    hash_of: dict[tuple[bytes, ...], int] = {}
    for shingle, value in zip(flat, found.hashes.tolist(), strict=True):
        assert hash_of.setdefault(shingle, value) == value
    assert len(set(hash_of.values())) == len(hash_of)


def thue_morse(num_chars: int, alphabet: str) -> bytes:
    return "".join(alphabet[i.bit_count() % 2] for i in range(num_chars)).encode()


ADVERSARIAL = {
    "nothing": [b"", b" \n\t(){};", b""],
    "one word more and less": [b"a", b"a b", b"a b c", b"a b c d", b"a b c d e", b"a b c d e f"],
    "places": [b"a b c d e", b"b a c d e", b"e d c b a", b"a a a a a", b"a a a a b", b"b a a a a"],
    "borders": [b"ab c d e f", b"a bc d e f", b"abcd e f g h", b"a b c", b"d e f", b"g h i j k"],
    "no end of line": [b"a b c d e", b"f g h i j", b"_ _ _ _ _"],
    "lengths": [b" ".join(b"x" * n for n in range(1, 200)), b" ".join([b"x" * 7, b"x" * 8] * 9)],
    "ends of chunks": [
        b" ".join(b"a" * size + tail for size in (7, 8, 63, 64) for tail in (b"", b"b", b"c"))
    ],
    "thue and morse": [
        b" ".join(thue_morse(n, order) for n in (8, 64, 1024, 4096) for order in ("ab", "ba"))
    ],
    "line ends": [b"a\r\nb\r\nc\r\nd\r\ne\r\n", b"a\nb\nc\nd\ne", b"a b c d e"],
    "emoji": ["x = '🙂 é' + naïve_ß(日本) * 2".encode(), "x = '🙃 é' + naïve_ß(日本) * 2".encode()],
    "not UTF-8": [b"\xff\xfe a \x80 b \xc3 c", b"\xff\xfe a \x81 b \xc3 c"],
    "bytes of numbers": [b"1 2 3 4 5 6 7 8 9 10 11 12", b"01 2 3 4 5", b"1_ _1 1_1 11 1"],
}  # fmt: skip


@pytest.mark.parametrize("texts", ADVERSARIAL.values(), ids=ADVERSARIAL.keys())
@pytest.mark.parametrize("num_words", [1, 2, 5, 13])
def test_shingles_are_equal_exactly_where_their_words_are(
    texts: list[bytes], num_words: int
) -> None:
    assert_same_classes(texts, num_words)


def test_shingles_of_many_random_words_do_not_collide() -> None:
    rng = random.Random(3)
    alphabet = string.ascii_letters + string.digits + "_"
    texts = [
        " ".join(
            "".join(rng.choices(alphabet, k=rng.randint(1, 20))) for _ in range(2_000)
        ).encode()
        for _ in range(20)
    ]
    assert_same_classes(texts, 1)
    assert_same_classes(texts, 5)


def test_words_start_where_the_regular_expression_finds_them() -> None:
    text = b"  def f(x_1, 'caf\xc3\xa9'):\r\n\treturn -x_1"
    assert find_words(text).starts.tolist() == [match.start() for match in WORD.finditer(text)]


def test_the_shingles_of_a_text_do_not_depend_on_its_neighbours() -> None:
    rng = random.Random(4)
    texts = [
        b" ".join(b"w%d" % rng.randrange(50) for _ in range(rng.randrange(40))) for _ in range(300)
    ]
    together = shingles(texts, 5)
    for number, text in enumerate(texts):
        rows = slice(together.offsets[number], together.offsets[number + 1])
        assert together.hashes[rows].tolist() == shingles([text], 5).hashes.tolist()


def test_texts_larger_than_a_block_are_cut_nowhere() -> None:
    words = [b"w%d" % number for number in range(400_000)]
    huge = b" ".join(words)
    assert len(huge) > 2 * BLOCK_BYTES
    found = shingles([b"a b c d e", huge, b"", b"a b c d e"], 5)
    assert found.offsets.tolist() == [0, 1, 399_997, 399_997, 399_998]
    assert found.hashes[0] == found.hashes[-1]
    assert len(np.unique(found.hashes)) == 399_997


def test_one_word_of_a_megabyte_is_a_word() -> None:
    a, b = shingles([b"x" * 1_000_000, b"x" * 999_999 + b"y"], 1).hashes.tolist()
    assert a != b


def mixed(value: int) -> int:
    """Return the finaliser of SplitMix64 in plain Python."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return value ^ (value >> 31)


def test_hashes_are_those_of_plain_python_in_every_process() -> None:
    text = "def area(width, height):  # 🙂\n    return width * height\n"
    words = [int.from_bytes(word, "little") for word in WORD.findall(text.encode())]
    places = [mixed(((1 << 32) + i) * 0x9E3779B97F4A7C15 % 2**64) | 1 for i in range(1, 6)]
    expected = [
        mixed(sum(mixed(w) * p for w, p in zip(words[i:], places, strict=False)) % 2**64)
        for i in range(len(words) - 4)
    ]
    code = (
        "import sys; from training.corpus.shingles import shingles;"
        "print(shingles([sys.argv[1].encode()], 5).hashes.tolist())"
    )
    for seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code, text],
            capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        )  # fmt: skip
        assert out.stdout.strip() == str(expected)


def test_mixing_is_that_of_splitmix64() -> None:
    # First outputs of the reference implementation for seed 1234567 (Vigna's splitmix64.c).
    seed, step = 1234567, 0x9E3779B97F4A7C15
    states = np.array([(seed + step * (i + 1)) % 2**64 for i in range(3)], dtype=np.uint64)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert mix(states).tolist() == expected
