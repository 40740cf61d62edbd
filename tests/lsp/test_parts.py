"""The small parts of the server: trails, cache, prompts, log."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fimble.begun import begun_before
from fimble.context import WindowBudget, window
from fimble.engine import Query
from fimble.fim import FORMATS, Mark
from fimble.text import Position, PositionEncoding
from lsp_server.backend import Answerer
from lsp_server.cache import BEFORE_CHARS, AnswerCache, Answered, Around
from lsp_server.documents import Document, Place, Range
from lsp_server.logs import without_code
from lsp_server.prompting import language_of, project_path, query_for, spot_at
from lsp_server.trail import Between, Step, Trail, is_typed

UTF32 = PositionEncoding.UTF32


def answered(text: str) -> Answered:
    return Answered(
        text=text,
        stop_reason="line",
        scope="line",
        mean_logprob=-1.0,
        prefix_chars=1,
        suffix_chars=1,
        answerer=Answerer(),
    )


@given(
    text=st.text("ab\n()", max_size=12),
    wanted=st.text("ab\n()", max_size=6),
    edits=st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 3), st.text("ab\n()", max_size=3)), max_size=8
    ),
    start=st.integers(0, 12),
)
def test_a_trail_is_always_text_that_stands_at_its_anchor(
    text: str, wanted: str, edits: list[tuple[int, int, str]], start: int
) -> None:
    document = Document.of("file:///a", "", 1, text)
    trail = Trail(_place(document, min(start, len(text))))
    for offset, width, new in edits:
        whole = document.text
        first = _place(document, min(offset, len(whole)))
        last = _place(document, min(offset + width, len(whole)))
        edit = document.replace(Range(Position(*first), Position(*last)), new, UTF32)
        step, added = trail.follow(edit, document, wanted)
        if step is Step.LOST:
            return
        assert document.after(trail.anchor, len(trail.text)) == trail.text
        assert step is not Step.GREW or (added and trail.text.endswith(added))


def _place(document: Document, offset: int) -> Place:
    before = document.text[:offset]
    return Place(before.count("\n"), offset - before.rfind("\n") - 1)


@pytest.mark.parametrize(
    ("added", "expected"),
    [("a", True), ("()", True), ("\n    ", True), ("    ", True), ("ab", False), ("\n  x", False)],
)
def test_what_one_key_writes_is_typed(added: str, expected: object) -> None:
    behind = "" if "\n" in added else " + 1"
    assert is_typed(added, Between(before="x = ", behind=behind, pause_ms=5000.0)) is expected


def test_an_answer_is_found_for_the_same_text_and_for_text_typed_along_it() -> None:
    cache = AnswerCache()
    cache.put(Around("x = ", "\n"), answered("foo(bar)"))
    assert cache.find(Around("x = ", "\n")) == answered("foo(bar)")
    assert cache.find(Around("x = foo", "\n")) == answered("(bar)")
    assert cache.find(Around("x = fo", "!\n")) is None
    assert cache.find(Around("x = fx", "\n")) is None
    assert cache.find(Around("y = ", "\n")) is None
    assert cache.find(Around("x = foo(bar)", "\n")) is None


def test_that_there_is_nothing_to_suggest_is_an_answer_too() -> None:
    cache = AnswerCache()
    cache.put(Around("x", ""), answered(""))
    assert cache.find(Around("x", "")) == answered("")
    assert cache.find(Around("xy", "")) is None


def test_the_latest_answer_for_typed_text_wins_over_an_older_rest() -> None:
    cache = AnswerCache()
    cache.put(Around("x = ", ""), answered("foo"))
    cache.put(Around("x = f", ""), answered("un"))
    assert cache.find(Around("x = f", "")) == answered("un")


def test_an_answer_is_found_far_down_a_document() -> None:
    cache = AnswerCache()
    far = "a\n" * 2000
    cache.put(Around(far[-BEFORE_CHARS - 200 :], ""), answered("foo"))
    assert cache.find(Around((far + "fo")[-BEFORE_CHARS - 200 :], "")) == answered("o")


def test_the_cache_forgets_the_oldest() -> None:
    cache = AnswerCache(size=2)
    for name in "abc":
        cache.put(Around(name, ""), answered(name))
    assert [cache.find(Around(name, "")) is None for name in "abc"] == [True, False, False]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "fimble",
            (Mark.FILE, "a.py\n", Mark.SUFFIX, "\nz", Mark.PREFIX, "x\ny = ", Mark.MIDDLE),
        ),
        ("starcoder", (Mark.PREFIX, "x\ny = ", Mark.SUFFIX, "\nz", Mark.MIDDLE)),
    ],
)
def test_prompts_have_the_order_and_the_header_of_the_model_family(
    name: str, parts: tuple[object, ...]
) -> None:
    document = Document.of("file:///p/a.py", "python", 1, "x\r\ny = \r\nz")
    budget = WindowBudget()
    spot = spot_at(document, Place(1, 4), path="a.py", budget=budget)
    around = window(spot.prefix, spot.suffix, budget)
    assert query_for(spot, around, FORMATS[name], 7) == Query(parts=parts, max_new_tokens=7)


@pytest.mark.parametrize(
    ("uri", "folders", "path"),
    [
        ("file:///p/q/a.py", ["file:///p"], "q/a.py"),
        ("file:///p/q/a.py", ["file:///p", "file:///p/q"], "a.py"),
        ("file:///p/%C3%BC%20b.py", ["file:///p/"], "ü b.py"),
        ("file:///pq/a.py", ["file:///p"], "a.py"),
        ("file:///p/a.py", ["file:///"], "a.py"),
        ("untitled:Untitled-1", ["file:///p"], "Untitled-1"),
    ],
)
def test_a_file_is_named_within_its_project(uri: str, folders: list[str], path: str) -> None:
    assert project_path(uri, folders) == path


@pytest.mark.parametrize(
    ("language_id", "uri", "name"),
    [
        ("typescriptreact", "file:///a", "tsx"),
        ("plaintext", "file:///a%2Ego", "go"),
        ("", "file:///a.rs", "rust"),
        ("cobol", "file:///a.cob", None),
    ],
)
def test_the_language_is_what_the_editor_says_else_what_the_name_says(
    language_id: str, uri: str, name: str | None
) -> None:
    language = language_of(Document.of(uri, language_id, 1, ""))
    assert (language.name if language else None) == name


def test_a_librarys_record_loses_its_arguments_and_its_exceptions_message() -> None:
    try:
        int("secret = 1")
    except ValueError:
        record = logging.LogRecord(
            "pygls.x", logging.ERROR, "p", 1, "failed %s\nsecret", ("secret",), sys.exc_info()
        )
    assert without_code(record)
    first, kind, frame = record.getMessage().splitlines()
    assert (first, kind) == ("failed %s", "ValueError")
    assert frame.endswith("test_a_librarys_record_loses_its_arguments_and_its_exceptions_message")
    assert record.exc_info is None


@pytest.mark.parametrize(
    ("prefix", "begun"),
    [
        ("x = ret", " ret"),
        ("    ret", "ret"),
        ("\nret", "ret"),
        ("f(a, self.val", " self.val"),
        ("f(a, self.", " self."),
        ("f(", "f("),
        ("def f():", " f():"),
        ("a ==", " =="),
        ("a\n    [", "["),
        ("# " + "-" * 9, " " + "-" * 9),
        ("f(a, b)  ", ""),
        ("a  b", "b"),
        ("def f():\n", "\n"),
        ("def f():\n\n", "\n"),
        ("def f():\n    ", ""),
        ("🙂 naïve", " naïve"),
        ("x = ", ""),
        ("x.", "x."),
        ("", ""),
        (f"= {'x' * 40}", f" {'x' * 40}"),
        (f"= {'x' * 41}", ""),
        (f"= {'x' * 41}.y", ".y"),
        (f"= {'x' * 41}();", "();"),
        ("x" * 100_000, ""),
    ],
)
def test_what_is_begun_before_the_cursor_is_what_stands_there_without_a_blank(
    prefix: str, begun: str
) -> None:
    assert begun_before(prefix) == begun


def test_a_prompt_stays_the_same_while_a_word_is_written() -> None:
    def query(line: str, *, takes_beginning: bool) -> Query:
        document = Document.of("file:///p/a.py", "python", 1, f"one = 1\n{line}\nlast\n")
        place, budget = Place(1, len(line)), WindowBudget()
        spot = spot_at(document, place, path="a.py", budget=budget)
        around = window(spot.prefix, spot.suffix, budget)
        fim_format = FORMATS["fimble"]
        return query_for(spot, around, fim_format, 9, takes_beginning=takes_beginning)

    first, then = query("two = on", takes_beginning=True), query("two = one", takes_beginning=True)
    assert first.parts == then.parts
    assert (first.beginning, then.beginning) == (" on", " one")
    assert first.parts[-2:] == ("one = 1\ntwo =", Mark.MIDDLE)
    plain = query("two = on", takes_beginning=False)
    assert (plain.parts[-2], plain.beginning) == ("one = 1\ntwo = on", "")
