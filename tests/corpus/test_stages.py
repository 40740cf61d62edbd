"""Stages on planted rows: the whole outcome of each, reasons and texts."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from training.corpus.parse import Parser
from training.corpus.recipe import Rules
from training.corpus.stages import check_syntax, decode, hash_texts, steps
from training.corpus.tables import ANNOTATED, as_int64

CODE = "def area(width, height):\n    return width * height\n"


def table_of(*files: tuple[str, bytes]) -> pa.Table:
    """Return a table as `read` gives it, one row for each (language, content)."""
    rows = [
        {
            "id": f"{number:016}",
            "source": "pypi:a==1",
            "project": "a",
            "version": "1",
            "path": f"file{number}",
            "language": language,
            "licence": "MIT",
            "split": "train",
            "size_bytes": len(content),
            "folder_rank": "0" * 16,
            "content": content,
        }
        for number, (language, content) in enumerate(files)
    ]
    return pa.Table.from_pylist(rows, schema=ANNOTATED)


@pytest.mark.parametrize(
    ("content", "text", "reason"),
    [
        (b"x = 1\n", "x = 1\n", None),
        (b"x = 1\r\ny = 2\rz = 3", "x = 1\ny = 2\nz = 3", None),
        ("s = '🙂é'\r\n".encode(), "s = '🙂é'\n", None),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n", None),
        (b"x = '\x0c\xe2\x80\xa8'\n", "x = '\x0c\u2028'\n", None),
        (b"", None, "empty"),
        (b" \n\t\n", None, "empty"),
        (b"x\0y\n", None, "nul_bytes"),
        (b"caf\xe9\n", None, "not_utf8"),
        (b"\xed\xa0\x80\n", None, "not_utf8"),
    ],
)
def test_decoding_gives_lf_text_or_a_reason(
    content: bytes, text: str | None, reason: str | None
) -> None:
    row = decode(table_of(("python", content))).to_pylist()[0]
    assert (row["text"], row["reason"]) == (text, reason)
    assert row["content"] is None
    assert row["stage"] == ("decode" if reason else None)
    assert row["size_bytes"] == (len(content) if text is None else len(text.encode()))
    assert row["num_lines"] == (None if text is None else text.count("\n") + 1)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", CODE, ("python", None)),
        ("python", 'print "hello"\n', ("python", "not_python3")),
        ("python", "x = '\ud83d'.encode()\n".replace("\ud83d", "\\ud83d"), ("python", None)),
        ("python", "(" * 3000 + ")" * 3000, ("python", "not_python3")),
        ("javascript", "const f = (a) => a + 1;\n", ("javascript", None)),
        ("javascript", "<<<<<<< HEAD\n=======\n>>>>>>> x\n", ("javascript", "merge_conflict")),
        ("tsx", "const a = <b>🙂</b>;\n", ("tsx", None)),
        ("c", "int add(int a, int b) { return a + b; }\n", ("c", None)),
        (
            "c",
            "namespace a { template <class T> class B : public C<T> { public: B(); }; }\n",
            ("cpp", None),
        ),
        ("c", "this is prose, and not code at all; it's no C++ either (\n", ("c", "syntax_errors")),
        ("go", "package a\n\nfunc F() int { return 1 }\n", ("go", None)),
        ("rust", "fn f() -> i32 { 1 }\n", ("rust", None)),
        ("java", "class A { int f() { return 1; } }\n", ("java", None)),
    ],
)
def test_the_grammar_decides_what_is_its_language(
    language: str, text: str, expected: tuple[str, str | None]
) -> None:
    table = decode(table_of((language, text.encode())))
    row = check_syntax(table, limit_s=10.0).to_pylist()[0]
    assert (row["language"], row["reason"]) == expected


def test_a_few_errors_in_a_long_file_are_tolerated() -> None:
    text = "int add(int a, int b) { return a + b; }\n" * 100 + "@@ ??\n"
    row = check_syntax(decode(table_of(("c", text.encode()))), limit_s=10.0).to_pylist()[0]
    assert (row["language"], row["reason"]) == ("c", None)


def test_a_recipe_sets_how_much_of_a_text_may_be_wrong() -> None:
    text = "int add(int a, int b) { return a + b; }\n" * 100 + "@@ ??\n"
    table = decode(table_of(("c", text.encode())))
    usual = check_syntax(table, limit_s=10.0)
    strict = check_syntax(table, limit_s=10.0, max_error_share={"c": 0.0, "cpp": 0.0})
    assert [usual["reason"][0].as_py(), strict["reason"][0].as_py()] == [None, "syntax_errors"]


@pytest.mark.slow
def test_a_text_that_takes_too_long_is_dropped_and_the_next_one_is_parsed() -> None:
    parser = Parser(limit_s=0.5)
    try:
        slow = "a<" * 100_000
        assert parser.verdict("cpp", slow) == ("cpp", "parse_died")
        assert parser.verdict("cpp", "int a;\n") == ("cpp", None)
    finally:
        parser.close()


def test_the_hash_is_that_of_the_final_text() -> None:
    table = hash_texts(decode(table_of(("c", b"int a;\r\n"), ("c", b"int a;\n"), ("c", b"\0"))))
    first, second, dropped = table.to_pylist()
    expected = hashlib.sha256(b"int a;\n").hexdigest()
    assert (first["sha256"], second["sha256"], dropped["sha256"]) == (expected, expected, None)
    assert [row["file"] for row in (first, dropped)] == [
        as_int64(row["id"]) for row in (first, dropped)
    ]


def test_a_dropped_row_is_left_alone_by_every_later_stage() -> None:
    table = table_of(("python", b"x\0"), ("python", CODE.encode()))
    for step in steps(Rules()):
        table = step.run(table)
    dropped, kept = table.to_pylist()
    assert (dropped["stage"], dropped["reason"], dropped["text"]) == ("decode", "nul_bytes", None)
    assert (kept["stage"], kept["reason"], kept["text"]) == (None, None, CODE)


def test_stages_accept_a_table_without_rows() -> None:
    table = table_of()
    for step in steps(Rules()):
        table = step.run(table)
    assert table.num_rows == 0
    assert table.schema == ANNOTATED
