"""The comment at the top of a file: licence, authors, what an editor should do with it."""

from __future__ import annotations

import re
from functools import cache

from fimble.languages import by_name

# Besides what `fimble.languages` says of a language.
_OTHER_COMMENTS = {
    "php": r"#(?!\[)[^\n]*",  # `#[` starts an attribute
    "ruby": r"^=begin\b.*?^=end\b[^\n]*",
}
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
    comments = [r"\A#![^\n]*"]
    if row.block_comment is not None:
        start, end = map(re.escape, row.block_comment)
        comments.append(f"{start}.*?{end}")
    if row.line_comment:
        comments.append(f"{re.escape(row.line_comment)}[^\\n]*")
    if language in _OTHER_COMMENTS:
        comments.append(_OTHER_COMMENTS[language])
    first_line = f"(?:{_FIRST_LINE[language]})?" if language in _FIRST_LINE else ""
    # Possessive: a comment that never ends must not be tried at every length.
    return re.compile(rf"{first_line}(?:\s++|{'|'.join(comments)})*+", re.DOTALL | re.MULTILINE)
