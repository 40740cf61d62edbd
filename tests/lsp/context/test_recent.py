"""Places that were edited lately: they grow, move with edits above them, and are forgotten."""

from __future__ import annotations

from fimble.text import Position, PositionEncoding
from lsp_server.context.recent import MAX_PLACES, NEAR_LINES, PLACE_LINES, EditedLines, RecentEdits
from lsp_server.documents import Documents, Range

A, B = "file:///a.py", "file:///b.py"


class Editor:
    """Two documents of 200 lines, and what is noted of their edits."""

    def __init__(self) -> None:
        self.recent = RecentEdits()
        self.documents = Documents()
        for uri in (A, B):
            self.documents.open(uri, "python", 1, "x = '🙂'\r\n" * 200)

    def replace(self, line: int, end_line: int, text: str, uri: str = A) -> bool:
        document = self.documents.get(uri)
        assert document is not None
        span = Range(Position(line, 0), Position(end_line, 0))
        return self.recent.note(uri, document.replace(span, text, PositionEncoding.UTF16))

    def places(self) -> list[tuple[int, int]]:
        return [(each.start_line, each.end_line) for each in self.recent.beside(B)]


def test_edits_near_each_other_are_one_place_and_the_latest_is_last() -> None:
    editor = Editor()
    assert editor.replace(20, 21, "a\n")
    assert editor.replace(100, 101, "b\n")
    assert not editor.replace(22, 23, "c\n")
    assert editor.places() == [(100, 101), (20, 23)]
    assert editor.replace(20 - NEAR_LINES - 2, 20 - NEAR_LINES - 1, "far\n")
    assert editor.recent.beside(A) == []
    assert editor.replace(5, 6, "other\n", uri=B)
    assert editor.recent.beside(A) == [EditedLines(B, 5, 6)]


def test_a_place_moves_with_what_is_written_and_deleted_above_it() -> None:
    editor = Editor()
    editor.replace(100, 101, "b\n")
    editor.replace(20, 20, "one\ntwo\nthree\n")
    assert editor.places() == [(103, 104), (20, 24)]
    editor.replace(0, 50, "")
    assert editor.places()[0] == (53, 54)
    assert editor.replace(1, 1, "moved by an edit in another document\n", uri=B)
    assert editor.places()[0] == (53, 54)


def test_of_a_long_place_the_lines_of_the_latest_edit_count() -> None:
    editor = Editor()
    for line in range(50):
        editor.replace(line, line, "typed\n")
    ((first, last),) = editor.places()
    assert last - first == PLACE_LINES
    assert first <= 49 < last
    editor.replace(0, 0, "pasted\n" * 500)
    assert editor.places()[-1][1] - editor.places()[-1][0] == PLACE_LINES


def test_older_places_are_forgotten() -> None:
    editor = Editor()
    for number in range(MAX_PLACES + 3):
        editor.replace(15 * number, 15 * number + 1, "a\n")
    assert [first for first, _ in editor.places()] == [15 * n for n in range(3, MAX_PLACES + 3)]
