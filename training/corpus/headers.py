"""The comment at the top of a file: licence, authors, what an editor should do with it."""

from __future__ import annotations

import re
from functools import cache

from fimble.languages import by_name

# What starts and ends a comment of several lines, by languages that have it.
_BLOCK_COMMENTS = (
    (r"/\*.*?\*/", frozenset({
        "javascript", "typescript", "tsx", "java", "go", "rust", "c", "cpp", "csharp", "php",
        "kotlin", "scala", "sql", "css",
    })),
    (r"<!--.*?-->", frozenset({"html"})),
    (r"--\[\[.*?\]\]", frozenset({"lua"})),
    (r"^=begin\b.*?^=end\b[^\n]*", frozenset({"ruby"})),
)  # fmt: skip
_FIRST_LINE = {"php": r"<\?php\b"}


def without_header(text: str, language: str) -> str:
    """Return a text without the comments and blank lines before its first line of code."""
    header = _header(language).match(text)
    assert header is not None, "it matches nothing as well"
    return text[header.end() :]


@cache
def _header(language: str) -> re.Pattern[str]:
    row = by_name(language)
    assert row is not None, "the language was found by its row"
    comments = [pattern for pattern, languages in _BLOCK_COMMENTS if language in languages]
    if row.line_comment and row.line_comment not in {"/*", "<!--"}:
        comments.append(f"{re.escape(row.line_comment)}[^\\n]*")
    if language == "php":
        comments.append(r"#(?!\[)[^\n]*")
    comments.append(r"\A#![^\n]*")
    first_line = f"(?:{_FIRST_LINE[language]})?" if language in _FIRST_LINE else ""
    # Possessive: a comment that never ends must not be tried at every length.
    return re.compile(rf"{first_line}(?:\s++|{'|'.join(comments)})*+", re.DOTALL | re.MULTILINE)
