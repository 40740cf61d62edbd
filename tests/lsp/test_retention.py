"""What is left of accepted texts: alignment, spans, horizons, and the counters of typing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from fimble.events import SESSION_END_S, Kept, Retained, Typing, Undone
from fimble.text import Position, PositionEncoding
from lsp_server.alignment import MAX_CHARS, Left, distance_within, left_of
from lsp_server.documents import Document, Edit, Place, Range
from lsp_server.retention import MAX_WATCHED, Retention
from lsp_server.span import Span
from lsp_server.suggestion import Taken
from lsp_server.writing import Writing

URI = "file:///a.py"
TEXTS = st.text(alphabet="ab(é😀\n", max_size=12)


@settings(max_examples=300)
@given(pattern=TEXTS, text=TEXTS)
def test_the_distance_is_that_of_the_best_part(pattern: str, text: str) -> None:
    parts = (text[i:j] for i in range(len(text) + 1) for j in range(i, len(text) + 1))
    assert distance_within(pattern, text) == min(Levenshtein.distance(pattern, p) for p in parts)


def test_long_texts_are_aligned_as_rapidfuzz_does() -> None:
    text = "".join(f"value_{n} = compute({n})\n" for n in range(60))
    changed = text.replace("compute(7)", "other(7, x)").replace("value_30", "v")
    assert distance_within(text, changed) == Levenshtein.distance(text, changed)
    assert left_of(text, f"before\n{text}after") == Left(1.0, len(text), 60)


def test_what_is_left_is_counted_in_characters_and_whole_lines() -> None:
    left = left_of("a = 1\nb = 2", "  a = 1\nb = 3")
    assert (left.num_chars, left.num_lines) == (10, 1)
    assert left_of("abc", "") == Left(0.0, 0, 0)
    assert left_of("", "abc") == Left(0.0, 0, 0)
    assert left_of("x" * (MAX_CHARS + 9), "x" * MAX_CHARS).rate == 1.0


class Accepting:
    """A document in which a text was accepted behind `x = `, and a clock."""

    def __init__(self, text: str = "foo(bar)", *, is_sure: bool = True) -> None:
        self.document = Document.of(URI, "python", 1, f"x = {text}\ny = 2\n")
        self.retention = Retention()
        self.now_ms = 0.0
        end = Place(0, 4 + len(text))
        self.retention.watch(Taken("c", URI, text, Place(0, 4), end), self.document, 0.0)
        if is_sure:
            self.retention.resolved("c", is_accepted=True, now_ms=0.0)

    def edit(self, start: tuple[int, int], end: tuple[int, int], text: str) -> list[Undone]:
        span = Range(Position(*start), Position(*end))
        edit = self.document.replace(span, text, PositionEncoding.UTF32)
        return self.retention.edited(self.document, edit, self.now_ms)

    def looks(self, at_ms: float) -> list[Retained]:
        self.now_ms = at_ms
        return [look() for look in self.retention.tick(at_ms)]

    def last_looks(self) -> list[tuple[int, Kept, float]]:
        looks = [look() for look in self.retention.ended(self.now_ms)]
        return [(look.horizon_s, look.state, look.kept_rate) for look in looks]


def test_each_horizon_is_looked_at_once_and_what_lies_ahead_is_unknown() -> None:
    editor = Accepting()
    assert editor.retention.next_due_ms() == 30_000
    assert editor.looks(29_999) == []
    [look] = editor.looks(30_000)
    assert look == Retained(
        completion_id="c",
        horizon_s=30,
        age_ms=30_000.0,
        state=Kept.KEPT,
        kept_rate=1.0,
        kept_chars=8,
        kept_lines=1,
    )
    editor.edit((0, 8), (0, 11), "q")
    assert [(s.horizon_s, s.kept_rate) for s in editor.looks(300_000)] == [
        (120, 0.625),
        (300, 0.625),
    ]
    assert editor.last_looks() == [(SESSION_END_S, Kept.KEPT, 0.625), (600, Kept.UNKNOWN, 0.0)]
    assert editor.retention.next_due_ms() is None


def test_what_is_taken_back_at_once_is_undone_and_later_it_is_removed() -> None:
    editor = Accepting()
    editor.now_ms = 4999.0
    assert editor.edit((0, 4), (0, 12), "") == [Undone(completion_id="c", undone_after_ms=4999.0)]
    assert editor.edit((0, 0), (0, 1), "z") == []
    assert [look.state for look in editor.looks(30_000)] == [Kept.UNDONE]
    editor = Accepting()
    editor.now_ms = 5001.0
    assert editor.edit((0, 4), (0, 12), "") == []
    assert [(look.state, look.kept_rate) for look in editor.looks(30_000)] == [(Kept.REMOVED, 0.0)]


def test_what_comes_back_is_kept() -> None:
    editor = Accepting()
    editor.edit((0, 4), (0, 12), "")
    editor.edit((0, 4), (0, 4), "foo(bar)")
    assert [look.state for look in editor.looks(30_000)] == [Kept.KEPT]


def test_what_moves_is_found_again() -> None:
    text = "total = sum(value for value in values)"
    editor = Accepting(text)
    editor.edit((0, 0), (1, 0), "")
    editor.edit((1, 0), (1, 0), f"x = {text}\n")
    assert [look.state for look in editor.looks(30_000)] == [Kept.KEPT]


def test_a_text_that_was_typed_after_all_is_forgotten() -> None:
    editor = Accepting(is_sure=False)
    assert editor.edit((0, 4), (0, 12), "") == []
    assert editor.retention.next_due_ms() is None
    assert editor.retention.resolved("c", is_accepted=False, now_ms=9.0) == []
    assert editor.last_looks() == []
    editor = Accepting(is_sure=False)
    editor.edit((0, 4), (0, 12), "")
    [undone] = editor.retention.resolved("c", is_accepted=True, now_ms=9.0)
    assert undone == Undone(completion_id="c", undone_after_ms=0.0)


def test_only_so_many_are_followed_and_the_oldest_is_looked_at_last() -> None:
    editor = Accepting()
    looks = []
    for number in range(MAX_WATCHED):
        taken = Taken(f"d{number}", URI, "y", Place(1, 0), Place(1, 1))
        editor.retention.watch(taken, editor.document, 0.0)
        looks += editor.retention.resolved(taken.completion_id, is_accepted=True, now_ms=7.0)
    [look] = looks
    assert callable(look)
    assert (look().completion_id, look().horizon_s, look().age_ms) == ("c", SESSION_END_S, 7.0)


EDITS = st.tuples(st.integers(0, 30), st.integers(0, 8), st.sampled_from(["", "x", "\n", "ab\nc"]))


@settings(max_examples=300)
@given(edits=st.lists(EDITS, max_size=8))
def test_a_span_holds_what_is_left_of_its_text_and_what_is_written_within(
    edits: list[tuple[int, int, str]],
) -> None:
    """Against a model in which every character knows whether it belongs to the span."""
    document = Document.of(URI, "python", 1, "before\nONE\nTWO after\nend\n")
    marks = ["o"] * len(document.text)
    marks[7:14] = ["S"] * 7
    span = Span(Place(1, 0), Place(2, 3))
    for wanted, length, new in edits:
        text = document.text
        start, end = min(wanted, len(text)), min(wanted + length, len(text))
        places = [_position(text, start), _position(text, end)]
        edit: Edit = document.replace(Range(*places), new, PositionEncoding.UTF32)
        span.follow(edit)
        marks[start:end] = ["n"] * len(new)
    held = document.between(*span.places)
    kept = "".join(c for c, mark in zip(document.text, marks, strict=True) if mark == "S")
    letters = iter(held)
    assert all(char in letters for char in kept), (held, kept)


def _position(text: str, index: int) -> Position:
    return Position(text.count("\n", 0, index), index - text.rfind("\n", 0, index) - 1)


def test_the_counters_tell_where_characters_come_from() -> None:
    writing = Writing()
    place = Place(0, 0)
    for now_ms, old, new, is_completion in (
        (0, "", "f", False),
        (200, "", "oo(bar)", True),
        (30_000, "(bar)", "", False),
        (90_001, "", "a whole pasted line", False),
        (90_101, "", "()", False),
    ):
        edit = Edit(place, place, old, new)
        writing.edited("python", edit, is_completion=is_completion, now_ms=float(now_ms))
    assert writing.next_due_ms() == 300_000.0
    assert writing.tick(299_999.0) == []
    assert writing.tick(300_000.0) == [
        Typing(
            language="python",
            period_ms=300_000.0,
            active_ms=30_100.0,
            inserted_chars=3,
            completed_chars=7,
            deleted_chars=5,
            pasted_chars=19,
        )
    ]
    assert writing.ended(300_001.0) == []
    assert writing.next_due_ms() is None


@pytest.mark.parametrize("language", ["python", ""])
def test_the_counters_are_written_at_the_end_of_a_session(language: str) -> None:
    writing = Writing()
    writing.edited(
        language, Edit(Place(0, 0), Place(0, 0), "", "x"), is_completion=False, now_ms=5.0
    )
    [typing] = writing.ended(105.0)
    assert (typing.language, typing.period_ms, typing.inserted_chars) == (language, 100.0, 1)
