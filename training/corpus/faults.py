"""Is a text whole, and in its language? What the grammars say, and how far each can be believed.

Most grammars know their language so well that one error means a broken file. C and C++ cannot be
parsed without their preprocessor, SQL has many dialects: there a share of the bytes may lie under
errors, and brackets that do not add up tell what the share does not.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from fimble.languages import by_name, grammar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tree_sitter import Node

MAX_ERROR_SHARE: Mapping[str, float] = {
    # No file of a hundred and more from well-kept projects had an error.
    "go": 0.0, "java": 0.0, "javascript": 0.0, "php": 0.0, "ruby": 0.0, "rust": 0.0, "tsx": 0.0,
    # Gaps of the grammars: one to four files of a hundred have an error, nearly always a small one.
    "typescript": 0.01, "css": 0.02, "bash": 0.02, "csharp": 0.02, "lua": 0.02, "scala": 0.02,
    "kotlin": 0.05,
    # Parsed by `ast` as well.
    "python": 0.05,
    # Macros; a tenth of another language's files stays below, and so does nearly all good code.
    "c": 0.1, "cpp": 0.1,
    # Tags of template languages.
    "html": 0.1,
    # Half of PostgreSQL's own tests lie above 0.2; templates that make SQL lie above 0.75.
    "sql": 0.7,
}  # fmt: skip
"""Share of bytes under ERROR nodes above which a file is dropped, by language. Measured on files of
projects that compile."""

_LOOSE = frozenset({"c", "cpp", "html", "sql"})
"""Languages in which good files lack something that the grammar expects."""
_PREPROCESSED = frozenset({"c", "cpp", "csharp"})
_CONFLICT = re.compile(r"^<{7} [^\n]*\n(?:.*\n)*?={7}\n(?:.*\n)*?>{7} ", re.MULTILINE)
_DIRECTIVE = re.compile(r"\s*#\s*(\w*)\s*(.*)")
_TAG = re.compile(r"<[A-Za-z!/?]")
_NEWER_NODES = frozenset({"type_parameter", "type_alias_statement"})
_EXCEPT_TWO = re.compile(r"\s*except\s+[\w.]+\s*,\s*(?:\w+\.)*[A-Z]")


class _Errors(NamedTuple):
    """What a grammar finds wrong with a text."""

    share: float
    """Bytes under ERROR nodes, of all."""
    num_missing: int
    """Tokens that the parser had to add."""


def fault(language: str, text: str, max_error_share: float) -> str | None:
    """Return what is wrong with a text as source code of a language, or None.

    Args:
        language: Our name of it.
        text: The file.
        max_error_share: See `MAX_ERROR_SHARE`.
    """
    if _has_conflict(text):
        return "merge_conflict"
    if language == "python" and (reason := _python_fault(text)):
        return reason
    if _is_plain(language, text):
        return "no_code"
    errors = _errors(language, text)
    if errors.share > max_error_share and language in _PREPROCESSED:
        errors = _errors(language, one_branch(text))
    if errors.share > max_error_share:
        return "syntax_errors"
    if errors.num_missing and language not in _LOOSE:
        return "missing_tokens"
    # To the shell's grammar a brace too many is a command.
    is_clean = not errors.share and not errors.num_missing and language != "bash"
    return None if is_clean or _is_balanced(language, text) else "unbalanced_brackets"


def _has_conflict(text: str) -> bool:
    return "\n=======\n" in text and _CONFLICT.search(text) is not None


def _is_plain(language: str, text: str) -> bool:
    """Return whether a text has nothing of PHP or HTML, whose grammars accept any text."""
    if language == "php":
        return "<?" not in text
    return language == "html" and _TAG.search(text) is None


def _errors(language: str, text: str) -> _Errors:
    data = text.encode()
    num_bytes = num_missing = 0
    stack = [_parsed(language, data)]
    while stack:
        node = stack.pop()
        if node.is_error:
            num_bytes += node.end_byte - node.start_byte
        elif node.is_missing:
            num_missing += 1
        elif node.has_error:
            stack.extend(node.children)
    return _Errors(num_bytes / max(len(data), 1), num_missing)


def _parsed(language: str, data: bytes) -> Node:
    from tree_sitter import Parser

    return Parser(grammar(language)).parse(data).root_node


def one_branch(text: str) -> str:
    """Return a text without directives, with the first branch of each `#if` (of `#if 0`, the rest).

    Where two branches open the same block, no grammar can read both.
    """
    kept = []
    skipped: list[bool] = []
    for line in text.replace("\\\n", " ").split("\n"):
        directive = _DIRECTIVE.match(line)
        if directive is None:
            if not any(skipped):
                kept.append(line)
            continue
        word, condition = directive.groups()
        if word.startswith("if"):
            skipped.append(condition.strip() in {"0", "false"})
        elif word in {"else", "elif"} and skipped:
            # What was skipped so far was `#if 0`; its other branch is the one to keep.
            skipped[-1] = not skipped[-1]
        elif word == "endif" and skipped:
            skipped.pop()
    return "\n".join(kept)


def _is_balanced(language: str, text: str) -> bool:
    """Return whether as many braces open as close, outside of strings and comments."""
    row = by_name(language)
    if row is None or row.blocks not in {"braces", "keywords"}:
        return True
    if language in _PREPROCESSED:
        text = one_branch(text)
    code = _no_code(language).sub("", text)
    return code.count("{") == code.count("}")


@cache
def _no_code(language: str) -> re.Pattern[str]:
    """Return the pattern of strings and comments."""
    row = by_name(language)
    assert row is not None, "the caller looked"
    kinds = []
    if row.block_comment is not None:
        start, end = map(re.escape, row.block_comment)
        kinds.append(rf"{start}(?s:.*?)(?:{end}|\Z)")
    if row.line_comment:
        before = r"(?<![^\s;()])" if language == "bash" else ""
        kinds.append(rf"{before}{re.escape(row.line_comment)}[^\n]*")
    kinds += [r'"""(?s:.*?)"""', r'"(?:[^"\\\n]|\\.)*"', r"'(?:[^'\\\n]|\\.)*'"]
    return re.compile("|".join(kinds))


def _python_fault(text: str) -> str | None:
    """Return why the running Python does not parse a text; the grammar accepts Python 2 as well."""
    try:
        ast.parse(text)
    except SyntaxError as error:
        return "newer_python" if _is_newer(text, error) else "not_python3"
    except (ValueError, RecursionError, MemoryError):
        return "not_python3"
    return None


def _is_newer(text: str, error: SyntaxError) -> bool:
    """Return whether syntax of a later Python is what the running one refuses.

    The signs: type parameters and f-strings of 3.12, `except A, B:` of 3.14 (in Python 2, what
    follows the comma is a variable).
    """
    root = _parsed("python", text.encode())
    if root.has_error:
        return False
    if (error.msg or "").startswith("f-string") or _EXCEPT_TWO.match(error.text or ""):
        return True
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type in _NEWER_NODES:
            return True
        stack.extend(node.named_children)
    return False
