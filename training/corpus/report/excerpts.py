"""Parts of files that a person reads: cut, and with nothing in them that a page would not show."""

from __future__ import annotations

import ast
import difflib
import re
import warnings
from typing import TYPE_CHECKING, NamedTuple

from fimble.languages import by_name, grammar
from fimble.pages.text import visible
from training.corpus.secret_values import STAND_IN

if TYPE_CHECKING:
    from tree_sitter import Node

    from training.corpus.report.facts import Pick

MAX_LINES = 30
MAX_LINE_CHARS = 160
MAX_PATH_CHARS = 160
MAX_DIFF_LINES = 60
_LINES_BEFORE = 8
_DIFFED_LINES = 600  # difflib needs time in the square of the lines
_DIFFED_CHARS = 100_000
_LONG_LINE_CHARS = 200


class Excerpt(NamedTuple):
    """Some lines of a text."""

    first_line: int
    """Number of its first line, from 1."""
    num_lines: int
    """Lines of the whole text."""
    lines: tuple[str, ...]
    marked: int | None
    """Place in `lines` of the offending one; None where it is the file as a whole."""


def cut_line(line: str, *, around: int = 0) -> str:
    """Return a line that a page can show, with the number of characters that are left out.

    Args:
        line: Any text without line ends.
        around: Place in the line that has to be seen.
    """
    if len(line) <= MAX_LINE_CHARS:
        return visible(line)
    start = max(0, min(around - MAX_LINE_CHARS // 4, len(line) - MAX_LINE_CHARS))
    shown = visible(line[start : start + MAX_LINE_CHARS])
    before = f"… {start:,} characters … " if start else ""
    after = len(line) - start - MAX_LINE_CHARS
    return f"{before}{shown}" + (f" … {after:,} more characters" if after else "")


def cut_path(path: str) -> str:
    """Return a path that a page can show; its end says most."""
    if len(path) <= MAX_PATH_CHARS:
        return visible(path)
    return f"{visible(path[:40])}…{visible(path[-(MAX_PATH_CHARS - 40) :])}"


def excerpt(text: str, pick: Pick) -> Excerpt:
    """Return the lines that show why a file was dropped, or its first ones.

    Args:
        text: The file.
        pick: What is known about it.
    """
    lines = text.split("\n")
    marked = _offending_line(text, lines, pick)
    start = 0 if marked is None or marked < MAX_LINES else marked - _LINES_BEFORE
    shown = tuple(cut_line(line) for line in lines[start : start + MAX_LINES])
    return Excerpt(
        first_line=start + 1,
        num_lines=len(lines),
        lines=shown,
        marked=None if marked is None else marked - start,
    )


def _offending_line(text: str, lines: list[str], pick: Pick) -> int | None:
    """Return the place of the line that the reason is about, or None."""
    match pick.stage, pick.reason:
        case "lines", _:
            longest = max(range(len(lines)), key=lambda place: (len(lines[place]), -place))
            return longest if len(lines[longest]) > _LONG_LINE_CHARS else None
        case "syntax", "syntax_errors" if by_name(pick.language) is not None:
            return _line_of_error(text, pick.language)
        case "syntax", _ if pick.language == "python":
            return _line_that_is_no_python(text)
        case "decontamination", _ if pick.detail:
            return _line_of_words(text, pick.detail)
    return None


def _line_of_words(text: str, detail: str) -> int | None:
    """Return the first line of the passage whose words end the detail of a decontaminated file."""
    words = re.findall(r"\w+", detail.rpartition(": ")[2])
    # Between words, an escape such as \n in a string literal separates like the character itself.
    passage = r"(?:\\[nrt]|\W)+".join(map(re.escape, words))
    found = re.search(passage, text, re.IGNORECASE) if words else None
    return None if found is None else text.count("\n", 0, found.start())


def _line_that_is_no_python(text: str) -> int | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return None if error.lineno is None else max(0, error.lineno - 1)
    except (ValueError, RecursionError, MemoryError):
        return None
    return None


def _line_of_error(text: str, language: str) -> int | None:
    """Return the first line that tree-sitter could not read, or None if it gave up on the whole.

    The stage parsed this text within its time limit, so parsing it again is safe.
    """
    from tree_sitter import Parser

    root: Node = Parser(grammar(language)).parse(text.encode()).root_node
    node = root
    while (inner := next((each for each in node.children if each.has_error), None)) is not None:
        node = inner
    return None if node.id == root.id else node.start_point.row


def diff(kept: str, dropped: str) -> tuple[str, ...]:
    """Return the first lines of a unified diff from a kept text to its near duplicate."""
    old, new = (text[:_DIFFED_CHARS].split("\n")[:_DIFFED_LINES] for text in (kept, dropped))
    found = list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]
    return tuple(cut_line(line) for line in found[:MAX_DIFF_LINES])


_STAND_IN_MARKS = {
    "emails": ("@example.com", "@example.org"),
    "ips": ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"),
}


def line_with_stand_in(text: str, kind: str) -> str | None:
    """Return the first line of a kept text that holds a stand-in, or None.

    Args:
        text: A text after redaction.
        kind: `secrets`, `emails` or `ips`.
    """
    for line in text.split("\n"):
        if kind == "secrets":
            found = STAND_IN.search(line)
            places = [found.start()] if found else []
        else:
            places = [line.find(mark) for mark in _STAND_IN_MARKS[kind] if mark in line]
        if places:
            return cut_line(line.strip(), around=min(places))
    return None
