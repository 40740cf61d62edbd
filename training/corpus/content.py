"""What a text is made of: shares of comments, of repeated lines, of data, by language.

Each function gives one share, 0 to 1; `filters` holds it against a limit. They look at lines and
patterns and parse nothing, since they run over everything that was read.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from fimble.languages import by_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WINDOW_LINES = 5
LONG_STRING_CHARS = 100
_HEX_WORD_MAX_BYTES = 20
_NEVER = re.compile(r"(?!)")
_HEX_WORD = re.compile(rb"\b0[xX][0-9a-fA-F]+\b")
_LONG_STRING = re.compile(
    rf'"[^"]{{{LONG_STRING_CHARS},}}"|\'[^\']{{{LONG_STRING_CHARS},}}\'|`[^`]{{{LONG_STRING_CHARS},}}`'
)
# Source: Lozhkov et al. 2024 (StarCoder 2), "Encoded data filter", arXiv:2402.19173.
_BASE64 = re.compile(rb"[a-zA-Z0-9+/\n=]{64,}")
_HEX_BYTES = re.compile(rb"(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}")
_UNICODE = re.compile(rb"(?:\\u[0-9a-fA-F]{4}){8,}")
# The patterns are slow, and few files have any match: look first for what every match holds.
_TO_BASE64 = bytes(
    0x61 if chr(b).isascii() and (chr(b).isalnum() or b in b"+/\n=") else 0 for b in range(256)
)
_TO_HEX = bytes(0x61 if b in b"0123456789abcdefABCDEFx\\," else 0 for b in range(256))
_BASE64_RUN, _HEX_RUN = b"a" * 64, b"a" * 16
_LITERAL = (
    r"""(?:[uUbB@]?"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|-?\d[\w.]*|true|false|null|nil|None)"""
)
# Literals with what stands between them in tables: `'a' => 'b',`, `{"a", 1},`, `["x"] = 2`.
_DATA_LINE = re.compile(
    rf"^[ \t]*(?:[A-Za-z_]\w*[ \t]*[:=][ \t]*)?[\[({{]*[ \t]*{_LITERAL}"
    rf"(?:[\])}}]*[ \t]*(?:=>|->|[:=,;])[ \t]*[\[({{]*{_LITERAL})*[\])}},; \t]*$",
    re.MULTILINE,
)
_SQL_ROW = re.compile(
    r"^[ \t]*(?:(?:INSERT|REPLACE)[ \t]+(?:IGNORE[ \t]+)?INTO\b[^\n]*|VALUES\b[^\n]*"
    r"|\([^\n]*\)[ \t]*[,;])[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
# Places in a picture, and characters of an icon font.
_CSS_CELL = re.compile(r"background-position\s*:|content\s*:\s*[\"']\\[0-9a-fA-F]{1,6}[\"']")
_CSS_CELL_LINES = 3
"""Lines of a rule that holds one cell, as formatters write it."""
_DATA_DIGIT_SHARE = 0.05
_INVISIBLE = re.compile(
    # What is never closed goes on to the end: a search that fails must not start over everywhere.
    r"<script\b.*?(?:</script|\Z)|<style\b.*?(?:</style|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*>|\s+",
    re.DOTALL | re.IGNORECASE,
)
_PYTHON_STATEMENT = re.compile(r"^[ \t]*(assert|from|import|pass|print)\b", re.MULTILINE)


class PythonShares(NamedTuple):
    """Shares of lines that start with a statement."""

    asserts: float
    imports: float
    passes: float
    prints: float


class Visible(NamedTuple):
    """Text that a browser shows."""

    num_chars: int
    share: float


def repeated_line_share(full_lines: Sequence[str]) -> float:
    """Return the share of lines that stood there before; blank lines are not among `full_lines`."""
    return 1 - len(set(full_lines)) / max(len(full_lines), 1)


def repeated_window_share(full_lines: Sequence[str]) -> float:
    """Return the share of runs of `WINDOW_LINES` lines that stood there before."""
    windows = list(zip(*(full_lines[start:] for start in range(WINDOW_LINES)), strict=False))
    return 1 - len(set(windows)) / max(len(windows), 1)


def encoded_runs(data: bytes) -> Iterator[list[int]]:
    """Yield the lengths of the runs of base64, of hexadecimal bytes and of Unicode escapes."""
    patterns = []
    if _BASE64_RUN in data.translate(_TO_BASE64):
        patterns.append(_BASE64)
    if _HEX_RUN in data.translate(_TO_HEX, b" \t\n\r\f\v"):
        patterns.append(_HEX_BYTES)
    if b"\\u" in data:
        patterns.append(_UNICODE)
    for pattern in patterns:
        runs = [match.end() - match.start() for match in pattern.finditer(data)]
        if runs:
            yield runs


def hex_word_share(data: bytes) -> float:
    """Return the share of bytes in words such as `0x1f`."""
    return sum(map(len, _HEX_WORD.findall(data))) / max(len(data), 1)


def may_hold_hex_words(data: bytes, share: float) -> bool:
    """Return whether `hex_word_share` can reach `share`; to count is cheaper than to find."""
    num_starts = data.count(b"0x") + data.count(b"0X")
    return num_starts * _HEX_WORD_MAX_BYTES > share * len(data)


def long_string_share(lines: Sequence[str]) -> float:
    """Return the share of lines with a string of `LONG_STRING_CHARS` characters or more.

    Source: OpenCoder counts strings of more than 20 words; a hundred characters are as many.
    """
    long_lines = [line for line in lines if len(line) > LONG_STRING_CHARS + 1]
    return sum(_LONG_STRING.search(line) is not None for line in long_lines) / max(len(lines), 1)


def comment_share(text: str, language: str) -> float:
    """Return the share of characters in comments that start their line, but for that at the top."""
    pattern = _comments(language)
    top = pattern.match(text)
    start = top.end() if top else 0
    num_chars = sum(len(match.group()) for match in pattern.finditer(text, start))
    return num_chars / max(len(text) - start, 1)


@cache
def _comments(language: str) -> re.Pattern[str]:
    row = by_name(language)
    if row is None:
        return _NEVER
    kinds = []
    if row.block_comment is not None:
        start, end = map(re.escape, row.block_comment)
        kinds.append(rf"{start}(?s:.*?)(?:{end}|\Z)")
    if row.line_comment:
        mark = re.escape(row.line_comment)
        kinds.append(rf"{mark}[^\n]*(?:\n[ \t]*{mark}[^\n]*)*")
    return re.compile(rf"^[ \t]*(?:{'|'.join(kinds)})", re.MULTILINE)


def data_share(text: str, language: str, num_lines: int) -> float:
    """Return the share of a text that is a table: of its bytes for SQL, else of its lines."""
    if language == "sql":
        return sum(len(match.group()) for match in _SQL_ROW.finditer(text)) / max(len(text), 1)
    if language == "css":
        return min(1.0, _CSS_CELL_LINES * len(_CSS_CELL.findall(text)) / num_lines)
    return sum(1 for _ in _DATA_LINE.finditer(text)) / num_lines


def may_be_table(data: bytes, share: float, num_lines: int, digit_share: float) -> bool:
    """Return whether there are quotes or digits enough for `data_share` to reach `share`."""
    num_quotes = data.count(b'"') + data.count(b"'")
    return num_quotes >= 2 * share * num_lines or digit_share > _DATA_DIGIT_SHARE


def visible_text(text: str) -> Visible:
    """Return how much text an HTML page shows, white space not counted."""
    num_chars = len(_INVISIBLE.sub("", text))
    return Visible(num_chars, num_chars / max(len(text), 1))


def python_shares(text: str, num_lines: int) -> PythonShares:
    """Return the shares of lines that start with statements which alone are no program."""
    counts = Counter(_PYTHON_STATEMENT.findall(text))
    imports = counts["import"] + counts["from"]
    found = (counts["assert"], imports, counts["pass"], counts["print"])
    return PythonShares(*(count / num_lines for count in found))
