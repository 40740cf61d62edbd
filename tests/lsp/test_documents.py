"""The document store against a naive model: one string, spliced by offsets."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fimble.context import WindowBudget, window
from fimble.errors import PositionError
from fimble.text import LineIndex, Position, PositionEncoding, to_lf
from lsp_server.documents import Document, Documents, Edit, Place, Range, advanced, split_lines

UTF16 = PositionEncoding.UTF16
TEXT = st.lists(
    st.sampled_from(
        ["a", "b", " ", "\n", "\r", "\r\n", "é", "漢", "😀", "\f", "\u2028", "\x85", "\v"]
    )
).map("".join)


def document(text: str) -> Document:
    return Document.of("file:///a.py", "python", 1, text)


def naive_offset(text: str, position: Position, encoding: PositionEncoding) -> int:
    """Count code units character by character; lines end at LF, CRLF and CR."""
    starts = [0, *(m.end() for m in re.finditer(r"\r\n|\r|\n", text))]
    start = starts[position.line]
    left = position.character
    for index in range(start, len(text) + 1):
        if index == len(text) or text[index] in "\r\n":
            return index
        size = {
            PositionEncoding.UTF8: len(text[index].encode()),
            PositionEncoding.UTF16: 2 if ord(text[index]) > 0xFFFF else 1,
            PositionEncoding.UTF32: 1,
        }[encoding]
        if left < size:
            return index
        left -= size
    raise AssertionError


@given(
    text=TEXT,
    edits=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), TEXT), max_size=6
    ),
    encoding=st.sampled_from(PositionEncoding),
)
@example(text="a\r", edits=[(1, 0, 0, "\n")], encoding=UTF16)
@example(text="\ra\n", edits=[(1, 0, 1, "")], encoding=UTF16)
def test_edits_in_any_order_give_the_text_of_the_naive_model(
    text: str, edits: list[tuple[int, int, int, str]], encoding: PositionEncoding
) -> None:
    ours, naive = document(text), text
    for line, first, width, new in edits:
        num_lines = len(re.findall(r"\r\n|\r|\n", naive)) + 1
        start = Position(line % num_lines, first)
        end = Position(min(num_lines - 1, start.line + width % 3), width)
        low, high = sorted(naive_offset(naive, p, encoding) for p in (start, end))
        naive = naive[:low] + new + naive[high:]
        ours.replace(Range(start, end), new, encoding)
        assert ours.text == naive
    assert ours.lines == split_lines(naive)
    assert ours.size_bytes == len(naive.encode())


@given(text=TEXT, new=TEXT)
def test_a_full_change_gives_the_new_text(text: str, new: str) -> None:
    ours = document(text)
    ours.replace(None, new, UTF16)
    assert (ours.text, ours.size_bytes) == (new, len(new.encode()))


@given(text=TEXT.map(to_lf), new=TEXT.map(to_lf), data=st.data())
def test_the_reported_edit_turns_the_old_text_into_the_new(
    text: str, new: str, data: st.DataObject
) -> None:
    ours = document(text)
    low = data.draw(st.integers(0, len(text)))
    high = data.draw(st.integers(low, len(text)))
    index = LineIndex(text)
    span = Range(index.position(low, UTF16), index.position(high, UTF16))
    edit = ours.replace(span if data.draw(st.booleans()) else None, new, UTF16)
    low = index.offset(Position(*edit.start), PositionEncoding.UTF32)
    high = index.offset(Position(*edit.end), PositionEncoding.UTF32)
    assert text[low:high] == edit.old
    assert text[:low] + edit.new + text[high:] == ours.text
    assert not edit.old or not edit.new or edit.old[0] != edit.new[0]
    assert not edit.old or not edit.new or edit.old[-1] != edit.new[-1]


@given(
    text=TEXT,
    encoding=st.sampled_from(PositionEncoding),
    line=st.integers(0, 9),
    char=st.integers(0, 9),
)
def test_places_and_positions_agree_with_the_shared_line_index(
    text: str, encoding: PositionEncoding, line: int, char: int
) -> None:
    ours, index = document(text), LineIndex(text)
    line %= index.num_lines
    place = ours.place(Position(line, char), encoding)
    offset = index.offset(Position(line, char), encoding)
    assert ours.position(place, encoding) == index.position(offset, encoding)
    assert ours.tail(place, 10_000) == to_lf(text[:offset])
    assert ours.after(place, 10_000) == to_lf(text[offset:])
    assert ours.tail(place, 3) == to_lf(text[:offset])[-3:]
    assert ours.after(place, 3) == to_lf(text[offset:])[:3]


@given(
    lines=st.lists(
        st.sampled_from(["x", "", "def f(a):\r", "é" * 9, "😀 = 1"]), min_size=1, max_size=400
    ),
    step=st.sampled_from([1, 5, 7, 50, 64]),
    data=st.data(),
)
def test_a_window_is_anchored_as_if_it_had_the_whole_text(
    lines: list[str], step: int, data: st.DataObject
) -> None:
    text = "\n".join(lines)
    ours = document(text)
    line = data.draw(st.integers(0, len(ours.lines) - 1))
    place = Place(line, data.draw(st.integers(0, len(ours.lines[line].rstrip("\r\n")))))
    budget = WindowBudget(prefix_bytes=128, suffix_bytes=40, step_lines=step)
    near = ours.before(place, min_chars=budget.prefix_bytes, step_lines=step)
    whole = ours.tail(place, 1_000_000)
    behind = ours.after(place, budget.suffix_bytes + 1)
    assert window(near, behind, budget) == window(whole, ours.after(place, 1_000_000), budget)


@pytest.mark.parametrize(
    ("encoding", "character", "column"),
    [
        (PositionEncoding.UTF8, 4, 1),
        (PositionEncoding.UTF16, 2, 1),
        (PositionEncoding.UTF32, 1, 1),
        (PositionEncoding.UTF16, 1, 0),
        (PositionEncoding.UTF16, 99, 3),
    ],
)
def test_an_emoji_counts_as_the_clients_encoding_says(
    encoding: PositionEncoding, character: int, column: int
) -> None:
    assert document("😀ab\r\n").place(Position(0, character), encoding) == Place(0, column)


def test_form_feeds_and_unicode_separators_are_no_line_ends() -> None:
    ours = document("a\fb\u2028c\x85d\ne")
    ours.replace(Range(Position(1, 0), Position(1, 1)), "E", UTF16)
    assert ours.text == "a\fb\u2028c\x85d\nE"


def test_a_crlf_document_keeps_its_line_ends() -> None:
    ours = document("a\r\nb\r\n")
    edit = ours.replace(Range(Position(1, 1), Position(1, 1)), "\r\nc", UTF16)
    assert ours.text == "a\r\nb\r\nc\r\n"
    assert edit == Edit(Place(1, 1), Place(1, 1), "", "\nc")
    assert (ours.line_end, document("a").line_end, document("a\rb").line_end) == (
        "\r\n",
        "\n",
        "\r",
    )


def test_a_position_below_the_text_is_refused_for_requests_and_means_the_end_for_edits() -> None:
    ours = document("a\nb")
    with pytest.raises(
        PositionError, match="line 7 is outside the document, whose lines are 0 to 1"
    ):
        ours.place(Position(7, 0), UTF16)
    ours.replace(Range(Position(0, 1), Position(9, 0)), "", UTF16)
    assert ours.text == "a"


def test_a_reversed_range_is_the_same_range() -> None:
    ours = document("abc")
    ours.replace(Range(Position(0, 3), Position(0, 1)), "", UTF16)
    assert ours.text == "a"


def test_lone_surrogates_become_replacement_characters_of_the_same_width() -> None:
    ours = document("a\ud83db")
    assert ours.text == "a�b"
    ours.replace(Range(Position(0, 2), Position(0, 3)), "\udc00", UTF16)
    assert ours.text == "a��"


def test_closing_a_document_forgets_its_text() -> None:
    documents = Documents()
    documents.open("file:///a", "python", 1, "x = 1\n")
    documents.close("file:///a")
    documents.close("file:///a")
    assert documents.get("file:///a") is None
    assert len(documents) == 0


def test_an_edit_in_a_huge_document_touches_its_own_lines_only() -> None:
    ours = document("x = 1\n" * 1_000_000)
    before = ours.lines[500_001]
    ours.replace(Range(Position(500_000, 5), Position(500_000, 5)), "2\ny = 3", UTF16)
    assert ours.lines[500_000:500_002] == ["x = 12\n", "y = 3\n"]
    assert ours.lines[500_002] is before
    assert ours.size_bytes == 6_000_000 + len("2\ny = 3")


@pytest.mark.parametrize(
    ("text", "end"), [("ab", Place(2, 5)), ("a\nbc", Place(3, 2)), ("", Place(2, 3))]
)
def test_a_text_advances_a_place_to_its_end(text: str, end: Place) -> None:
    assert advanced(Place(2, 3), text) == end


def test_ten_thousand_edits_in_random_encodings_equal_the_naive_model() -> None:
    chance = random.Random(1)
    pieces = ["a", "é", "😀", "\n", "\r\n", "\r", "\t", "\f", "\u2028", " = ", "def f():\n", ""]
    naive = "x = 1\r\n" * 20
    ours = document(naive)
    for number in range(10_000):
        encoding = chance.choice(list(PositionEncoding))
        num_lines = len(re.findall(r"\r\n|\r|\n", naive)) + 1
        line = chance.randrange(num_lines)
        start = Position(line, chance.randrange(12))
        wide = len(naive) > 1500  # so that it does not grow for ever
        end = Position(min(num_lines - 1, line + chance.randrange(9 if wide else 2)), 4)
        new = "".join(chance.choices(pieces, k=chance.randrange(4)))
        low, high = sorted(naive_offset(naive, place, encoding) for place in (start, end))
        naive = naive[:low] + new + naive[high:]
        ours.replace(Range(start, end), new, encoding)
        if number % 50 == 0:
            assert ours.text == naive
    assert ours.text == naive
    assert ours.lines == split_lines(naive)
    assert ours.size_bytes == len(naive.encode())
