"""Brackets and quotes of code that may be unfinished, wrong, or start anywhere.

This is no lexer: it knows strings, comments and brackets well enough to say which bracket closes
what, needs no parse tree, and never looks ahead, so that a text read in pieces gives the same
answer as the whole.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fimble.languages import Language

OPENERS = "([{"
CLOSERS = ")]}"
_BRACKETS = frozenset(OPENERS + CLOSERS)
CODE = ""
"""State outside of strings and comments. Any other state is the text that ends it."""

_LINE_COMMENT = "\n"
_LONG_STRING_END = "]]"
_RAW_ENDS = frozenset({_LINE_COMMENT, "*/", "-->", _LONG_STRING_END})
"""Ends of comments, and of strings that know no escapes."""
_MULTILINE_ENDS = frozenset({'"""', "'''", "`", "*/", "-->", _LONG_STRING_END})
_QUOTES = ('"""', "'''", '"', "'", "`")
_CASE_PATTERN = re.compile(r"[ \t]*[^\s()]+(?:[ \t]*\|[ \t]*[^\s()]+)*[ \t]*")
# In Rust an apostrophe starts a lifetime more often than a character.
_RUST_TOKEN = re.compile(
    r"'\\u\{\w*\}'|'\\.'?|'\w'|'[^\w\n\\]'?|//|/\*|[\"()\[\]{}]",
)


class Bracket(NamedTuple):
    """One bracket in code."""

    index: int
    char: str


class Scan(NamedTuple):
    """What a piece of text does to the nesting."""

    brackets: tuple[Bracket, ...]
    """Brackets in code, in order."""
    first_end: int | None
    """Index of what ended the state the text started in; None if it goes on or was code."""
    state: str
    """State behind the text."""
    inner_newlines: frozenset[int]
    """Indices of line ends that lie within a string or a block comment."""


def scan(text: str, language: Language | None, state: str = CODE) -> Scan:
    """Return brackets and states of `text`.

    Args:
        text: Any text, LF only.
        language: Decides what starts a comment or a string; None knows strings only.
        state: State in front of the text.
    """
    brackets: list[Bracket] = []
    inner: list[int] = []
    index, first_end = 0, None
    if state:
        first_end, index = _skip(text, 0, state, language, inner)
        state = state if first_end is None else CODE
    while not state and (match := _token(text, index, language)):
        mark, index = match.group(), match.end()
        if mark in _BRACKETS:
            if _ends_case_pattern(text, match.start(), language):
                continue
            brackets.append(Bracket(match.start(), mark))
        elif started := _state_after(mark, language):
            end, index = _skip(text, index, started, language, inner)
            state = started if end is None else CODE
    return Scan(tuple(brackets), first_end, state, frozenset(inner))


def depths(brackets: tuple[Bracket, ...]) -> tuple[int, int]:
    """Return how many closers nothing opens, and how many openers nothing closes."""
    stray = depth = 0
    for bracket in brackets:
        if bracket.char in OPENERS:
            depth += 1
        elif depth:
            depth -= 1
        else:
            stray += 1
    return stray, depth


def _token(text: str, index: int, language: Language | None) -> re.Match[str] | None:
    return (_RUST_TOKEN if _is_rust(language) else _tokens(language)).search(text, index)


@cache
def _tokens(language: Language | None) -> re.Pattern[str]:
    """Return the pattern of everything that changes nesting or state in a language."""
    quotes = _QUOTES if language is None else language.quotes
    block = () if language is None or language.block_comment is None else language.block_comment[:1]
    marks = [re.escape(mark) for mark in (*block, *quotes)]
    if language is not None and language.line_comment:
        # In a shell, `$#` and `${x#y}` start no comment.
        before = r"(?<![^\s;()])" if language.name == "bash" else ""
        marks.insert(len(block), before + re.escape(language.line_comment))
    return re.compile("|".join((*marks, r"[()\[\]{}]")))


def _is_rust(language: Language | None) -> bool:
    return language is not None and language.name == "rust"


def _ends_case_pattern(text: str, index: int, language: Language | None) -> bool:
    """Return whether a bracket ends a pattern of a shell's `case`, such as `-h | --help)`."""
    if language is None or language.name != "bash" or text[index] != ")":
        return False
    line = text.rfind("\n", 0, index)
    return line >= 0 and _CASE_PATTERN.fullmatch(text, line + 1, index) is not None


def _state_after(mark: str, language: Language | None) -> str:
    """Return the state that a mark starts; `CODE` where it means nothing in the language."""
    if language is not None:
        if mark == language.line_comment:
            return _LINE_COMMENT
        if language.block_comment is not None and mark == language.block_comment[0]:
            return language.block_comment[1]
        if _is_rust(language) and mark[0] == "'":
            return CODE
    return _LONG_STRING_END if mark == "[[" else mark


def _skip(
    text: str, index: int, state: str, language: Language | None, inner: list[int]
) -> tuple[int | None, int]:
    """Return where a string or comment ends (None: not in this text), and where code goes on.

    Line ends within it are added to `inner`. A string that should end on its line does.
    """
    is_raw = state in _RAW_ENDS
    is_multiline = state in _MULTILINE_ENDS or (_is_rust(language) and state == '"')
    start = index
    while index < len(text):
        if text[index] == "\\" and not is_raw:
            index += 2
        elif text.startswith(state, index) or (text[index] == "\n" and not is_multiline):
            end = index
            index += 1 if text[index] == "\n" else len(state)
            break
        else:
            index += 1
    else:
        end = None
    stop = len(text) if end is None else end
    inner += [n for n in range(start, stop) if text[n] == "\n"]
    return end, index
