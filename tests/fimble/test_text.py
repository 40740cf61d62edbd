"""Line ends and positions, against a model that looks at one character after the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fimble.errors import PositionError
from fimble.text import (
    LineIndex,
    Position,
    PositionEncoding,
    decode_source,
    line_end_of,
    to_lf,
    units,
    with_line_end,
)

CHARS = st.sampled_from("ab \t\r\n\f\v\x85\u2028\u2029é中🙂\ud83d\udc4d")
TEXTS = st.lists(CHARS | st.sampled_from(["\r\n", "🙂🙂", "x = 1"]), max_size=40).map("".join)
ENCODINGS = st.sampled_from(PositionEncoding)


def char_units(char: str, encoding: PositionEncoding) -> int:
    """Count the units of one character by its code point (Unicode 16, section 3.9)."""
    point = ord(char)
    match encoding:
        case PositionEncoding.UTF8:
            return 1 + (point > 0x7F) + (point > 0x7FF) + (point > 0xFFFF)
        case PositionEncoding.UTF16:
            return 1 + (point > 0xFFFF)
        case PositionEncoding.UTF32:
            return 1


def lines_of(text: str) -> list[tuple[int, str]]:
    """Return start and content of each line, found one character after the other."""
    lines, start, index = [], 0, 0
    while index < len(text):
        width = 2 if text[index : index + 2] == "\r\n" else int(text[index] in "\r\n")
        if width:
            lines.append((start, text[start:index]))
            start = index + width
        index += width or 1
    return [*lines, (start, text[start:])]


@given(TEXTS)
def test_lines_end_where_the_protocol_says_and_nowhere_else(text: str) -> None:
    index = LineIndex(text)
    assert [index.line(n) for n in range(index.num_lines)] == [line for _, line in lines_of(text)]


@given(text=TEXTS, encoding=ENCODINGS)
def test_every_position_means_the_character_it_points_into(
    text: str, encoding: PositionEncoding
) -> None:
    index = LineIndex(text)
    for number, (start, line) in enumerate(lines_of(text)):
        character = 0
        for column, char in enumerate(line):
            for inside in range(char_units(char, encoding)):
                assert index.offset(Position(number, character + inside), encoding) == (
                    start + column
                )
            character += char_units(char, encoding)
        for beyond in (0, 1, 1000):
            assert index.offset(Position(number, character + beyond), encoding) == (
                start + len(line)
            )


@given(text=TEXTS, encoding=ENCODINGS, data=st.data())
def test_an_offset_survives_the_way_through_a_position(
    text: str, encoding: PositionEncoding, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, len(text)))
    index = LineIndex(text)
    is_inside_crlf = text[max(0, offset - 1) : offset + 1] == "\r\n"
    position = index.position(offset, encoding)
    assert index.offset(position, encoding) == offset - is_inside_crlf
    assert position.character <= units(index.line(position.line), encoding)


@given(text=TEXTS, encoding=ENCODINGS)
def test_units_are_the_sum_over_the_characters(text: str, encoding: PositionEncoding) -> None:
    assert units(text, encoding) == sum(char_units(char, encoding) for char in text) or (
        "\ud83d\udc4d" in text  # two halves that stand together are one character
    )


@pytest.mark.parametrize("position", [(-1, 0), (0, -1), (2, 0), (9, 9)])
def test_a_position_outside_the_text_is_refused(position: tuple[int, int]) -> None:
    with pytest.raises(PositionError, match="whose lines are 0 to 1"):
        LineIndex("a\nb").offset(Position(*position), PositionEncoding.UTF16)


@pytest.mark.parametrize("offset", [-1, 4])
def test_an_offset_outside_the_text_is_refused(offset: int) -> None:
    with pytest.raises(PositionError, match=f"offset {offset} is outside the text of 3"):
        LineIndex("a\nb").position(offset, PositionEncoding.UTF8)


def test_an_empty_text_has_one_empty_line() -> None:
    index = LineIndex("")
    assert (index.num_lines, index.line(0)) == (1, "")
    assert index.offset(Position(0, 7), PositionEncoding.UTF16) == 0


def test_positions_in_a_line_of_a_million_emoji_are_found_within_the_time_limit() -> None:
    index = LineIndex("🙂" * 1_000_000)
    assert index.offset(Position(0, 1_999_999), PositionEncoding.UTF16) == 999_999
    assert index.offset(Position(0, 4_000_000), PositionEncoding.UTF8) == 1_000_000


@given(TEXTS)
def test_models_see_lf_only_and_editors_get_their_line_end_back(text: str) -> None:
    lf = to_lf(text)
    assert "\r" not in lf
    assert lf.count("\n") == len(lines_of(text)) - 1
    for line_end in ("\n", "\r\n", "\r"):
        assert to_lf(with_line_end(lf, line_end)) == lf


@pytest.mark.parametrize(
    ("text", "line_end"),
    [("", "\n"), ("a", "\n"), ("a\r\nb\n", "\r\n"), ("a\rb\r\n", "\r"), ("a\u2028b\nc", "\n")],
)
def test_the_first_line_end_is_the_documents(text: str, line_end: str) -> None:
    assert line_end_of(text) == line_end


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        ("é🙂\r\n".encode(), "é🙂\r\n"),
        (b"\xef\xbb\xbfx", "x"),
        (b"a\0b", None),
        (b"\xff\xfea\0", None),
        (b"caf\xe9", None),
        (b"\xed\xa0\xbd", None),
    ],
    ids=str,
)
def test_a_source_file_is_utf_8_without_nul_bytes(data: bytes, text: str | None) -> None:
    assert decode_source(data) == text
