"""The stages that look at one file at a time: pure functions from table to table.

They run anywhere Arrow runs; parsers and other costly things are made once per process. Relations
between files (duplicates, caps) are SQL in `relations.py`.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from fimble.languages import by_name
from fimble.text import decode_source, to_lf
from training.corpus import filters, licence
from training.corpus.parse import Parser
from training.corpus.tables import judge, live, replace

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa


class Step(NamedTuple):
    """A stage and its name in cards."""

    name: str
    run: Callable[[pa.Table], pa.Table]


def decode(table: pa.Table) -> pa.Table:
    """Turn content into LF text; drop what is empty or no text."""
    table = judge(table, "decode", ("content",), _reason_not_text)
    contents = live(table, "content", bytes)
    texts = [None if content is None else _text_of(content) for content in contents]
    hashes = [None if text is None else _sha256(text) for text in texts]
    sizes = [
        size if text is None else len(text.encode())
        for size, text in zip(table["size_bytes"].to_pylist(), texts, strict=True)
    ]
    table = replace(replace(table, "text", texts), "sha256", hashes)
    return replace(replace(table, "size_bytes", sizes), "content", [None] * len(texts))


def _reason_not_text(content: bytes) -> str | None:
    if b"\0" in content:
        return "nul_bytes"
    text = decode_source(content)
    if text is None:
        return "not_utf8"
    return None if text.strip() else "empty"


def _text_of(content: bytes) -> str:
    text = decode_source(content)
    assert text is not None, "what is no text was dropped before"
    return to_lf(text)


def check_licence(table: pa.Table) -> pa.Table:
    """Record each file's licence; drop what is not permissive."""
    texts = live(table, "text", str)
    packages = table["licence"].to_pylist()
    licences = [
        package if text is None else licence.licence_of(text, package)
        for text, package in zip(texts, packages, strict=True)
    ]
    table = replace(table, "licence", licences)
    return judge(table, "licence", ("text", "licence"), licence.reason_to_drop)


def check_lines(table: pa.Table) -> pa.Table:
    """Drop texts whose lines or characters do not look like code."""
    return judge(table, "lines", ("text",), filters.reason_by_lines)


def check_origin(table: pa.Table) -> pa.Table:
    """Drop texts that a program wrote."""
    return judge(table, "origin", ("text", "language"), filters.reason_by_origin)


def check_syntax(table: pa.Table, limit_s: float) -> pa.Table:
    """Drop texts that are not their language; C headers that are C++ are renamed.

    Args:
        table: Rows of `ANNOTATED`.
        limit_s: CPU seconds for one text.
    """
    parser = _parser(limit_s)
    languages = dict(zip(table["id"].to_pylist(), table["language"].to_pylist(), strict=True))

    def reason_to_drop(file_id: str, language: str, text: str) -> str | None:
        languages[file_id], reason = parser.verdict(language, text)
        return reason

    table = judge(table, "syntax", ("id", "language", "text"), reason_to_drop)
    return replace(table, "language", [languages[i] for i in table["id"].to_pylist()])


@cache
def _parser(limit_s: float) -> Parser:
    return Parser(limit_s)


def hash_code(table: pa.Table) -> pa.Table:
    """Fill `code_sha256`: equal for files that differ only in white space and comment lines."""
    hashes = [
        None if text is None else _sha256(_code_of(text, language))
        for text, language in zip(
            live(table, "text", str), table["language"].to_pylist(), strict=True
        )
    ]
    return replace(table, "code_sha256", hashes)


def _code_of(text: str, language: str) -> str:
    row = by_name(language)
    assert row is not None, "the language was found by its row"
    # Inner lines of block comments start with an asterisk in every brace language we have.
    marks = (row.line_comment, "/*", "*") if row.blocks == "braces" else (row.line_comment,)
    lines = (line.strip() for line in text.split("\n"))
    return re.sub(r"\s+", "", "\n".join(line for line in lines if not line.startswith(marks)))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def steps(parse_limit_s: float) -> tuple[Step, ...]:
    """Return the stages in their order, cheap ones first."""
    return (
        Step("decode", decode),
        Step("licence", check_licence),
        Step("lines", check_lines),
        Step("origin", check_origin),
        Step("syntax", partial(check_syntax, limit_s=parse_limit_s)),
        Step("hash", hash_code),
    )
