"""One row per language: everything the loop knows about it.

The corpus takes suffixes and grammar from here, the server the LSP identifier, the examples the
grammar and the comment mark. A language is added by one row and one grammar wheel.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language as Grammar


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """What the loop knows about one programming language."""

    name: str
    """Our name for it, used in corpora, events and reports."""
    lsp_ids: tuple[str, ...]
    """`languageId`s that editors send for it; the first is the usual one."""
    suffixes: tuple[str, ...]
    """File name suffixes in lower case, with the dot."""
    grammar: str
    """Grammar as `module:function` of the tree-sitter wheel."""
    line_comment: str
    """Mark that starts a comment up to the end of the line."""
    blocks: str
    """How a block is delimited: `braces` or `indent`."""


LANGUAGES: tuple[Language, ...] = (
    Language(
        name="python",
        lsp_ids=("python",),
        suffixes=(".py", ".pyi"),
        grammar="tree_sitter_python:language",
        line_comment="#",
        blocks="indent",
    ),
    Language(
        name="javascript",
        lsp_ids=("javascript", "javascriptreact"),
        suffixes=(".js", ".mjs", ".cjs", ".jsx"),
        grammar="tree_sitter_javascript:language",
        line_comment="//",
        blocks="braces",
    ),
    Language(
        name="typescript",
        lsp_ids=("typescript",),
        suffixes=(".ts", ".mts", ".cts"),
        grammar="tree_sitter_typescript:language_typescript",
        line_comment="//",
        blocks="braces",
    ),
    Language(
        name="tsx",
        lsp_ids=("typescriptreact",),
        suffixes=(".tsx",),
        grammar="tree_sitter_typescript:language_tsx",
        line_comment="//",
        blocks="braces",
    ),
    Language(
        name="java",
        lsp_ids=("java",),
        suffixes=(".java",),
        grammar="tree_sitter_java:language",
        line_comment="//",
        blocks="braces",
    ),
    Language(
        name="go",
        lsp_ids=("go",),
        suffixes=(".go",),
        grammar="tree_sitter_go:language",
        line_comment="//",
        blocks="braces",
    ),
    Language(
        name="rust",
        lsp_ids=("rust",),
        suffixes=(".rs",),
        grammar="tree_sitter_rust:language",
        line_comment="//",
        blocks="braces",
    ),
    Language(
        name="c",
        lsp_ids=("c",),
        suffixes=(".c", ".h"),
        grammar="tree_sitter_c:language",
        line_comment="//",
        blocks="braces",
    ),
    Language(
        name="cpp",
        lsp_ids=("cpp", "cuda-cpp"),
        suffixes=(".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"),
        grammar="tree_sitter_cpp:language",
        line_comment="//",
        blocks="braces",
    ),
)

_BY_NAME = {language.name: language for language in LANGUAGES}
_BY_LSP_ID = {lsp_id: language for language in LANGUAGES for lsp_id in language.lsp_ids}
_BY_SUFFIX = {suffix: language for language in LANGUAGES for suffix in language.suffixes}


def by_name(name: str) -> Language | None:
    """Return the language called `name` by us, or None."""
    return _BY_NAME.get(name)


def by_lsp_id(lsp_id: str) -> Language | None:
    """Return the language an editor calls `lsp_id`, or None."""
    return _BY_LSP_ID.get(lsp_id)


def by_path(path: str) -> Language | None:
    """Return the language of a file by the suffix of its name, or None."""
    return _BY_SUFFIX.get(PurePath(path).suffix.lower())


@cache
def grammar(name: str) -> Grammar:
    """Return the tree-sitter grammar of the language called `name`.

    Raises:
        KeyError: We have no language of that name.
    """
    from tree_sitter import Language as TreeSitterLanguage

    module, _, function = _BY_NAME[name].grammar.partition(":")
    return TreeSitterLanguage(getattr(importlib.import_module(module), function)())
