"""Where the body of a function ends that a prompt leaves open: a left-to-right answer's own end.

`fimble.stops` ends a suggestion sooner than that, as a person wants to read it. Here whole bodies
count, since tests run them. Each function returns the length of the text that belongs to the body,
or None while it is open.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fimble.blocks import indent
from fimble.languages import by_name
from fimble.nesting import CODE, OPENERS, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eval_harness.problem import Problem
    from fimble.languages import Language

_BRACES_ELSEWHERE = frozenset({"bash", "d", "perl", "r", "swift"})
"""Languages whose functions stand in braces although `fimble.languages` does not say so."""
_END = re.compile(r"\s*end\b")
_WORDS_ELSEWHERE = {"julia": _END, "ruby": _END, "lua": _END}
"""What closes a function in languages without braces."""


def body_end(text: str, problem: Problem) -> int | None:
    """Return where an answer's body ends, or None while it is open or its language unknown."""
    language = by_name(problem.language)
    if is_in_braces(problem.language):
        return _end_of_braces(text, problem, language)
    if problem.language in _WORDS_ELSEWHERE:
        return _end_at_word(text, problem, _WORDS_ELSEWHERE[problem.language])
    if language is not None and language.blocks == "indent":
        return _end_of_indented(text, problem, language)
    return None


def closed_body(text: str, problem: Problem) -> str:
    """Return the text of an answer that ended before its body did, with what it lacks.

    A method that is whole but not the class around it is closed where its last brace stands, as
    HumanEval-X asks for Java; of what is not whole, nothing is made up.
    """
    if not is_in_braces(problem.language):
        return text
    walk = _walk(text, problem, by_name(problem.language))
    outermost, end = walk.start, 0
    for depth, index in walk.closers:
        if depth <= outermost:
            outermost, end = depth, index + 1
    is_open = walk.kept < outermost < walk.start
    return text[:end] + "\n}" * (outermost - walk.kept) if is_open else text


def is_in_braces(language: str) -> bool:
    """Return whether functions of a language stand in braces."""
    row = by_name(language)
    return language in _BRACES_ELSEWHERE or (row is not None and row.blocks == "braces")


class _Walk(NamedTuple):
    """Braces of an answer."""

    start: int
    """How many are open where the answer starts."""
    kept: int
    """How many the tests close themselves."""
    closers: tuple[tuple[int, int], ...]
    """Of each closing brace, how many are open behind it, and its index."""


def _walk(text: str, problem: Problem, language: Language | None) -> _Walk:
    before = scan(problem.header + problem.prompt, language)
    start = _lowest_and_last(c.char for c in before.brackets)[1]
    behind = scan(problem.suffix + problem.test_code, language)
    num_stray = -_lowest_and_last(c.char for c in behind.brackets)[0]
    depth = start
    closers: list[tuple[int, int]] = []
    for bracket in scan(text, language, before.state).brackets:
        if bracket.char == "{":
            depth += 1
        elif bracket.char == "}":
            depth -= 1
            closers.append((depth, bracket.index))
    return _Walk(start, min(num_stray, start), tuple(closers))


def _lowest_and_last(chars: Iterator[str]) -> tuple[int, int]:
    """Return the least and the last number of braces that are open."""
    lowest = depth = 0
    for char in chars:
        depth += {"{": 1, "}": -1}.get(char, 0)
        lowest = min(lowest, depth)
    return lowest, depth


def _end_of_braces(text: str, problem: Problem, language: Language | None) -> int | None:
    """Return the end behind the brace that closes what the prompt opened.

    What the tests close, the answer must not: there it ends before the brace that would.
    """
    walk = _walk(text, problem, language)
    for depth, index in walk.closers:
        if depth < walk.kept:
            return index
        if depth == walk.kept < walk.start:
            return index + 1
    return None


def _end_of_indented(text: str, problem: Problem, language: Language) -> int | None:
    """Return the end before the first line that starts at the left edge.

    Lines within a string or brackets belong to the body wherever they start.
    """
    before = scan(problem.prompt, language)
    body = scan(text, language, before.state)
    depth = sum(1 if bracket.char in OPENERS else -1 for bracket in before.brackets)
    brackets = iter(body.brackets)
    bracket = next(brackets, None)
    is_within = before.state != CODE
    for number, (start, line) in enumerate(_lines(text)):
        while bracket is not None and bracket.index < start:
            depth += 1 if bracket.char in OPENERS else -1
            bracket = next(brackets, None)
        is_whole = number > 0 or not problem.prompt or problem.prompt.endswith("\n")
        if is_whole and not is_within and depth <= 0 and line[:1].strip():
            return start
        is_within = start + len(line) in body.inner_newlines
    return None


def _end_at_word(text: str, problem: Problem, closes: re.Pattern[str]) -> int | None:
    """Return the end of the first line that closes the function that the prompt opens."""
    opener = problem.prompt.rstrip()
    base = indent(opener[opener.rfind("\n") + 1 :])
    for start, line in _lines(text):
        is_complete = start + len(line) < len(text)
        if is_complete and closes.match(line) and indent(line) <= base:
            return start + len(line)
    return None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the start of each line and its text without the line end."""
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1
