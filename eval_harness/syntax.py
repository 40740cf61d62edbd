"""Whether a program parses, by the grammars that the rest of the loop uses."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from fimble.languages import by_name, grammar

if TYPE_CHECKING:
    from tree_sitter import Parser

    from eval_harness.problem import Problem


def parses(problem: Problem, answer: str) -> bool | None:
    """Return whether the program of an answer, tests included, parses without an error.

    None where we have no grammar of the language.
    """
    parser = _parser(problem.language)
    if parser is None:
        return None
    program = f"{problem.candidate(answer)}\n{problem.test_code}"
    return not parser.parse(program.encode(errors="replace")).root_node.has_error


@cache
def _parser(language: str) -> Parser | None:
    if by_name(language) is None:
        return None
    from tree_sitter import Parser

    return Parser(grammar(language))
