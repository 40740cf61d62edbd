"""What the server infers from edits, and from what editors say."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fimble.events import AcceptKind, Outcome, Resolved, Shown, Source
from fimble.text import Position, PositionEncoding
from lsp_server.documents import Document, Place, Range
from lsp_server.outcomes import EXPIRE_MS, SETTLE_MS, Outcomes, Rest
from lsp_server.trail import Trail

URI = "file:///a.py"
SHOWN_AFTER_MS = 250.0


class Editor:
    """A document with a suggestion at the end of its first line, and a clock."""

    def __init__(self, text: str = "x = ", suggestion: str = "foo(bar)") -> None:
        self.document = Document.of(URI, "python", 1, text)
        self.outcomes = Outcomes(shown_after_ms=SHOWN_AFTER_MS)
        self.now_ms = 1000.0
        self.events: list[Shown | Resolved] = []
        self.num_served = 0
        first = self.document.lines[0].rstrip("\r\n")
        self.serve(suggestion, Place(0, len(first)))

    def serve(self, suggestion: str, place: Place) -> str:
        name = f"c{self.num_served}"
        self.num_served += 1
        self.events += self.outcomes.served(
            Rest(name, suggestion),
            uri=URI,
            trail=Trail(place),
            requested_ms=self.now_ms - 40,
            now_ms=self.now_ms,
        )
        return name

    def wait(self, ms: float) -> Editor:
        self.now_ms += ms
        self.events += self.outcomes.tick(self.now_ms)
        return self

    def edit(self, start: tuple[int, int], end: tuple[int, int], text: str) -> Editor:
        span = Range(Position(*start), Position(*end))
        edit = self.document.replace(span, text, PositionEncoding.UTF32)
        self.events += self.outcomes.edited(self.document, edit, self.now_ms)
        return self

    def write(self, *texts: str) -> Editor:
        """Insert each text at the end of the first line, one edit each."""
        for text in texts:
            end = (0, len(self.document.lines[0].rstrip("\n")))
            self.edit(end, end, text)
        return self

    def accept(self, name: str = "c0") -> Editor:
        self.events += self.outcomes.accept(name, self.now_ms)
        return self

    def end(self) -> list[tuple[Outcome, Source, int, int]]:
        """End the session; return outcome, source, accepted and typed characters."""
        self.events += self.outcomes.ended(self.now_ms)
        resolved = [event for event in self.events if isinstance(event, Resolved)]
        return [(r.outcome, r.source, r.accepted_chars, r.typed_chars) for r in resolved]


def test_the_rest_in_one_edit_is_an_acceptance() -> None:
    editor = Editor().wait(300).write("foo(bar)").wait(SETTLE_MS)
    assert editor.events == [
        Shown(completion_id="c0", source=Source.INFERRED, shown_delay_ms=40.0),
        Resolved(
            completion_id="c0",
            outcome=Outcome.ACCEPTED,
            source=Source.INFERRED,
            visible_ms=300.0,
            accepted_chars=8,
            accepted_lines=1,
            typed_chars=0,
            accept_kind=AcceptKind.FULL,
            num_accepts=1,
        ),
    ]


def test_the_command_makes_the_acceptance_the_editors_word() -> None:
    editor = Editor().wait(300).write("foo(bar)").wait(5).accept().accept().wait(9999)
    assert editor.end() == [(Outcome.ACCEPTED, Source.EDITOR, 8, 0)]


def test_an_edit_that_comes_before_the_timer_finds_the_suggestion_shown() -> None:
    editor = Editor()
    editor.now_ms += 400
    assert editor.write("x").end() == [(Outcome.REJECTED, Source.INFERRED, 0, 0)]
    assert editor.events[0] == Shown(
        completion_id="c0", source=Source.INFERRED, shown_delay_ms=40.0
    )


def test_an_acceptance_before_it_counts_as_shown_was_shown_all_the_same() -> None:
    editor = Editor().wait(20).write("foo(bar)").wait(5).accept()
    assert [type(event) for event in editor.events] == [Shown, Resolved]
    assert editor.end() == [(Outcome.ACCEPTED, Source.EDITOR, 8, 0)]


def test_writing_it_by_hand_is_typing_through() -> None:
    editor = Editor().wait(300).write(*"foo(bar)")
    assert editor.end() == [(Outcome.TYPED_THROUGH, Source.INFERRED, 0, 8)]


def test_typing_and_then_accepting_counts_each_character_once() -> None:
    editor = Editor().wait(300).write("f", "o", "o(bar)").wait(5).accept()
    assert editor.end() == [(Outcome.ACCEPTED, Source.EDITOR, 6, 2)]


def test_the_last_character_accepted_by_command_was_not_typed() -> None:
    editor = Editor(suggestion="foo").wait(300).write("f", "o", "o").wait(5).accept()
    assert editor.end() == [(Outcome.ACCEPTED, Source.EDITOR, 1, 2)]


def test_a_word_and_then_something_else_is_a_part() -> None:
    editor = Editor().wait(300).write("foo", "!")
    assert editor.end() == [(Outcome.ACCEPTED_PART, Source.INFERRED, 3, 0)]


def test_words_accepted_one_after_the_other_are_an_acceptance() -> None:
    editor = Editor().wait(300).write("foo", "(bar", ")").wait(SETTLE_MS)
    assert editor.end() == [(Outcome.ACCEPTED_PART, Source.INFERRED, 7, 1)]
    editor = Editor(suggestion="foo bar").wait(300).write("foo", " bar").wait(SETTLE_MS)
    assert editor.end() == [(Outcome.ACCEPTED, Source.INFERRED, 7, 0)]


def test_a_command_for_every_word_is_not_a_second_acceptance() -> None:
    editor = Editor().wait(300).write("foo").accept().write("(bar)").wait(3).accept()
    assert editor.end() == [(Outcome.ACCEPTED, Source.EDITOR, 8, 0)]


def test_a_command_before_the_edit_settles_it_at_once() -> None:
    editor = Editor().wait(300).accept().write("foo(bar)")
    assert editor.end() == [(Outcome.ACCEPTED, Source.EDITOR, 8, 0)]


def test_something_else_is_a_rejection() -> None:
    assert Editor().wait(300).write("f", "x").end() == [(Outcome.REJECTED, Source.INFERRED, 0, 1)]


def test_something_else_before_it_could_be_seen_is_not_a_rejection() -> None:
    assert Editor().wait(100).write("x").end() == [(Outcome.NOT_SHOWN, Source.INFERRED, 0, 0)]


def test_backspace_over_what_was_accepted_takes_it_back() -> None:
    editor = Editor().wait(300).write("foo").edit((0, 4), (0, 7), "").write("y")
    assert editor.end() == [(Outcome.REJECTED, Source.INFERRED, 0, 0)]


def test_backspace_before_the_place_is_a_rejection() -> None:
    editor = Editor().wait(300).edit((0, 3), (0, 4), "")
    assert editor.end() == [(Outcome.REJECTED, Source.INFERRED, 0, 0)]


def test_asking_elsewhere_is_moving_away() -> None:
    editor = Editor("x = \ny = ").wait(300)
    editor.events += editor.outcomes.asked(URI, Place(0, 4), editor.now_ms)
    assert editor.events[1:] == []
    editor.events += editor.outcomes.asked(URI, Place(1, 4), editor.now_ms)
    assert editor.end() == [(Outcome.MOVED_AWAY, Source.INFERRED, 0, 0)]


def test_closing_the_document_is_moving_away() -> None:
    editor = Editor().wait(300)
    editor.events += editor.outcomes.closed(URI, editor.now_ms)
    assert editor.end() == [(Outcome.MOVED_AWAY, Source.INFERRED, 0, 0)]


def test_going_to_another_document_is_moving_away() -> None:
    editor = Editor().wait(300)
    assert editor.outcomes.focused(URI, editor.now_ms) == []
    editor.events += editor.outcomes.focused("file:///b.py", editor.now_ms)
    assert editor.end() == [(Outcome.MOVED_AWAY, Source.INFERRED, 0, 0)]


def test_a_quarter_of_an_hour_without_a_sign_is_unknown() -> None:
    editor = Editor().wait(300).wait(EXPIRE_MS)
    assert editor.end() == [(Outcome.EXPIRED, Source.INFERRED, 0, 0)]
    assert editor.outcomes.next_due_ms() is None


def test_the_time_to_look_again_is_known() -> None:
    editor = Editor()
    assert editor.outcomes.next_due_ms() == 1000 + SHOWN_AFTER_MS
    editor.wait(SHOWN_AFTER_MS)
    assert editor.outcomes.next_due_ms() == 1000 + EXPIRE_MS
    editor.write("foo(bar)")
    assert editor.outcomes.next_due_ms() == 1000 + SHOWN_AFTER_MS + SETTLE_MS


def test_copilots_word_about_the_screen_wins() -> None:
    editor = Editor().wait(10)
    editor.events += editor.outcomes.shown("c0", editor.now_ms)
    editor.events += editor.outcomes.shown("c0", editor.now_ms)
    assert editor.wait(9999).events == [
        Shown(completion_id="c0", source=Source.EDITOR, shown_delay_ms=50.0)
    ]


@pytest.mark.parametrize("edit_comes_first", [True, False])
def test_copilots_partial_acceptance_counts_once_with_its_edit(edit_comes_first: bool) -> None:  # noqa: FBT001
    editor = Editor(suggestion="f(x)").wait(300)
    steps = [
        lambda: editor.write("f"),
        lambda: editor.events.extend(editor.outcomes.accepted_part("c0", 3, editor.now_ms)),
    ]
    for step in steps if edit_comes_first else steps[::-1]:
        step()
    assert editor.write("!").end() == [(Outcome.ACCEPTED_PART, Source.EDITOR, 1, 0)]


def test_copilots_partial_acceptance_of_everything_is_an_acceptance() -> None:
    editor = Editor().wait(300).write("foo(bar)")
    editor.events += editor.outcomes.accepted_part("c0", 0, editor.now_ms)
    assert editor.end() == [(Outcome.ACCEPTED, Source.EDITOR, 8, 0)]


def test_an_edit_above_moves_the_suggestion() -> None:
    editor = Editor("x = ").wait(300).edit((0, 0), (0, 0), "import os\n")
    assert editor.outcomes.rest_at(URI, Place(1, 4)) == Rest("c0", "foo(bar)")
    editor.edit((1, 4), (1, 4), "foo(bar)")
    assert editor.end() == [(Outcome.ACCEPTED, Source.INFERRED, 8, 0)]


def test_an_edit_below_leaves_it_alone() -> None:
    editor = Editor("x = \ny = 1\n").wait(300).edit((1, 4), (1, 5), "2")
    assert editor.outcomes.rest_at(URI, Place(0, 4)) == Rest("c0", "foo(bar)")


def test_a_bracket_that_the_editor_closes_is_typed_with_its_partner() -> None:
    editor = Editor().wait(300).write("f", "o", "o", "()")
    assert editor.outcomes.rest_at(URI, Place(0, 8)) == Rest("c0", "bar)")
    editor.outcomes.shortened(URI, "bar")
    editor.wait(300).edit((0, 8), (0, 8), "bar")
    assert editor.end() == [(Outcome.ACCEPTED, Source.INFERRED, 3, 4)]


def test_a_bracket_closed_by_a_second_edit_is_typed_with_its_partner() -> None:
    editor = Editor().wait(300).write("f", "o", "o", "(", ")")
    assert editor.outcomes.rest_at(URI, Place(0, 8)) == Rest("c0", "bar)")


def test_a_line_end_with_the_editors_indentation_is_typed() -> None:
    editor = Editor("if x:", "\n    return").wait(300).write("\n    ")
    assert editor.outcomes.rest_at(URI, Place(1, 4)) == Rest("c0", "return")
    editor.edit((1, 4), (1, 4), "return")
    assert editor.end() == [(Outcome.ACCEPTED, Source.INFERRED, 6, 5)]


def test_a_character_reported_behind_an_equal_one_is_still_typing_along() -> None:
    # Editors that compare texts say that the second of two equal characters is the new one.
    editor = Editor("x = ", "))").wait(300)
    editor.edit((0, 4), (0, 4), "")
    editor.document.replace(None, "x = )", PositionEncoding.UTF32)
    editor.edit((0, 5), (0, 5), ")")
    assert editor.outcomes.rest_at(URI, Place(0, 5)) == Rest("c0", ")")


def test_the_whole_line_replaced_by_the_accepted_one_is_an_acceptance() -> None:
    editor = Editor("    ret", "urn a + b").wait(300).edit((0, 4), (0, 7), "return a + b")
    assert editor.end() == [(Outcome.ACCEPTED, Source.INFERRED, 9, 0)]


def test_several_lines_are_counted_as_lines() -> None:
    editor = Editor("if x:", "\n    a()\n    b()").wait(300).write("\n    a()\n    b()")
    editor.end()
    resolved = editor.events[-1]
    assert isinstance(resolved, Resolved)
    assert (resolved.accepted_lines, resolved.accepted_chars) == (3, 16)


def test_an_acceptance_in_a_crlf_document_counts_characters_with_lf() -> None:
    editor = Editor("if x:\r\nz\r\n", "\n    a()").wait(300)
    editor.edit((0, 5), (0, 5), "\r\n    a()")
    assert editor.end() == [(Outcome.ACCEPTED, Source.INFERRED, 8, 0)]


ACTIONS = st.one_of(
    st.tuples(st.just("along"), st.integers(1, 9)),
    st.tuples(st.just("write"), st.sampled_from(["x", "()", "\n", "foo", "😀", ")"])),
    st.tuples(st.just("back"), st.integers(1, 4)),
    st.tuples(st.just("above"), st.sampled_from(["import os\n", "z", "\n"])),
    st.tuples(st.just("accept"), st.integers(0, 3)),
    st.tuples(st.just("part"), st.tuples(st.integers(0, 3), st.integers(0, 9))),
    st.tuples(st.just("shown"), st.integers(0, 3)),
    st.tuples(st.just("serve"), st.sampled_from(["foo(bar)", "\n    y", ")", "😀 = 1"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 100, 300, 600, EXPIRE_MS])),
    st.tuples(st.just("ask"), st.tuples(st.integers(0, 2), st.integers(0, 9))),
    st.tuples(st.just("close"), st.none()),
)


@settings(max_examples=300)
@given(actions=st.lists(ACTIONS, max_size=30))
def test_whatever_happens_a_completion_is_shown_once_and_resolved_once(
    actions: list[tuple[str, object]],
) -> None:
    editor = Editor()
    lengths = {"c0": len("foo(bar)")}
    for action, value in actions:
        _act(editor, lengths, action, value)
    editor.end()
    shown = Counter(e.completion_id for e in editor.events if isinstance(e, Shown))
    resolved = [e for e in editor.events if isinstance(e, Resolved)]
    assert sorted(e.completion_id for e in resolved) == sorted(lengths)
    assert all(count == 1 for count in shown.values())
    for event in resolved:
        assert event.accepted_chars + event.typed_chars <= lengths[event.completion_id]
        assert event.visible_ms >= 0
        was_shown = event.completion_id in shown
        assert was_shown is (event.outcome is not Outcome.NOT_SHOWN)
        is_accepted = event.outcome in {Outcome.ACCEPTED, Outcome.ACCEPTED_PART}
        assert is_accepted or event.accepted_chars == 0
        assert event.outcome is not Outcome.ACCEPTED or event.accepted_chars > 0
    assert editor.outcomes.next_due_ms() is None


def _act(editor: Editor, lengths: dict[str, int], action: str, value: object) -> None:
    lines = editor.document.lines
    end = (len(lines) - 1, len(lines[-1]))
    rest = editor.outcomes.rest_at(URI, Place(*end))
    match action, value:
        case "along", int(count) if rest is not None:
            editor.edit(end, end, rest.text[:count])
        case "write", str(text):
            editor.edit(end, end, text)
        case "back", int(count):
            editor.edit((end[0], max(0, end[1] - count)), end, "")
        case "above", str(text):
            editor.edit((0, 0), (0, 0), text)
        case _:
            _hear(editor, lengths, action, value)


def _hear(editor: Editor, lengths: dict[str, int], action: str, value: object) -> None:
    lines = editor.document.lines
    end = (len(lines) - 1, len(lines[-1]))
    match action, value:
        case "accept", int(number):
            editor.accept(f"c{number}")
        case "part", (number, left):
            editor.events += editor.outcomes.accepted_part(f"c{number}", left, editor.now_ms)
        case "shown", int(number):
            editor.events += editor.outcomes.shown(f"c{number}", editor.now_ms)
        case "serve", str(text):
            lengths[editor.serve(text, Place(*end))] = len(text)
        case "wait", int(ms):
            editor.wait(ms)
        case "ask", (line, column):
            editor.events += editor.outcomes.asked(URI, Place(line, column), editor.now_ms)
        case "close", _:
            editor.events += editor.outcomes.closed(URI, editor.now_ms)
