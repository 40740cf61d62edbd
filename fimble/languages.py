"""One row per language: everything the loop knows about it.

The corpus takes suffixes and grammar from here, the server the LSP identifier, the examples the
grammar and the comment mark. A language is added by one row and one grammar wheel.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language as Grammar


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockWords:
    """The words, or tags, that delimit blocks; each pattern is matched at the start of a line."""

    opens: re.Pattern[str]
    """A whole line behind which a block starts."""
    goes_on: re.Pattern[str]
    """What stands as far left as the opening line and does not end the block, such as `else`."""
    closes: re.Pattern[str]
    """What starts the line that ends the block."""
    start: re.Pattern[str] = re.compile(r"[ \t]*(?:\w+\W|<.|[^\w<])", re.DOTALL)
    """As much of a line as it takes to know whether it closes a block or goes on with it."""


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
    """Mark that starts a comment up to the end of the line; empty if the language has none."""
    blocks: str
    """How a block is delimited: `braces`, `indent`, `keywords`, `tags`, or `none` where only
    brackets and indentation tell."""
    block_comment: tuple[str, str] | None = None
    """What starts and what ends a comment of several lines."""
    file_names: tuple[str, ...] = ()
    """Whole names of files that have no suffix of the language."""
    quotes: tuple[str, ...] = ('"""', "'''", '"', "'", "`")
    """What starts, and again ends, a string; longer ones first."""
    block_words: BlockWords | None = None
    """What delimits blocks, for `keywords` and `tags`."""

    @property
    def comment_starts(self) -> tuple[str, ...]:
        """What lines start with that hold nothing but a comment."""
        start = () if self.block_comment is None else (self.block_comment[0],)
        # Where `//` is a comment, inner lines of `/* */` start with an asterisk by custom.
        inner = ("*",) if self.line_comment == "//" and start else ()
        return (*filter(None, (self.line_comment,)), *start, *inner)


_C_COMMENT = ("/*", "*/")
_NEVER = re.compile(r"(?!)")
_RUBY_WORDS = BlockWords(
    opens=re.compile(
        r"(?!.*(?:\bend\b|\bthen\s+\S))"
        r"(?:\s*(?:def|class|module|if|unless|while|until|for|case|begin|else|elsif|when|rescue"
        r"|ensure)\b.*|.*\bdo(?:\s*\|[^|]*\|)?\s*|.*=\s*(?:if|unless|case|begin)\b.*)$"
    ),
    goes_on=re.compile(r"\s*(?:else|elsif|when|in|rescue|ensure)\b"),
    closes=re.compile(r"\s*end\b"),
)
_BASH_WORDS = BlockWords(
    opens=re.compile(
        r"(?:.*\b(?:then|do|else)\s*|\s*case\b.*\bin\s*|\s*[^\s()]+(?:\s*\|\s*[^\s()]+)*\)\s*)$"
    ),
    goes_on=re.compile(r"\s*(?:(?:else|elif|then|do)\b|[^\s()]+\))"),
    closes=re.compile(r"\s*(?:fi|done|esac)\b"),
    start=re.compile(r"[ \t]*[^\s()]*[\s()]"),  # a label such as `-h|--help)` may hold any sign
)
_LUA_WORDS = BlockWords(
    opens=re.compile(
        r"(?!.*\bend\b)(?:.*\b(?:then|do|repeat|else)\s*|.*\bfunction\b[^()]*\([^()]*\)\s*)$"
    ),
    goes_on=re.compile(r"\s*(?:else|elseif)\b"),
    closes=re.compile(r"\s*(?:end|until)\b"),
)
_HTML_TAGS = BlockWords(
    opens=re.compile(
        r"(?!.*/>\s*$)(?:.*<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)"
        r"[A-Za-z][\w:-]*(?:\s[^<>]*)?>\s*)$"
    ),
    goes_on=_NEVER,
    closes=re.compile(r"\s*</"),
)


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
        block_comment=_C_COMMENT,
    ),
    Language(
        name="typescript",
        lsp_ids=("typescript",),
        suffixes=(".ts", ".mts", ".cts"),
        grammar="tree_sitter_typescript:language_typescript",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="tsx",
        lsp_ids=("typescriptreact",),
        suffixes=(".tsx",),
        grammar="tree_sitter_typescript:language_tsx",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="java",
        lsp_ids=("java",),
        suffixes=(".java",),
        grammar="tree_sitter_java:language",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="go",
        lsp_ids=("go",),
        suffixes=(".go",),
        grammar="tree_sitter_go:language",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="rust",
        lsp_ids=("rust",),
        suffixes=(".rs",),
        grammar="tree_sitter_rust:language",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="c",
        lsp_ids=("c",),
        suffixes=(".c", ".h"),
        grammar="tree_sitter_c:language",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="cpp",
        lsp_ids=("cpp", "cuda-cpp"),
        suffixes=(".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"),
        grammar="tree_sitter_cpp:language",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="csharp",
        lsp_ids=("csharp",),
        suffixes=(".cs",),
        grammar="tree_sitter_c_sharp:language",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="ruby",
        lsp_ids=("ruby",),
        suffixes=(".rb", ".rake", ".gemspec", ".ru"),
        grammar="tree_sitter_ruby:language",
        line_comment="#",
        blocks="keywords",
        file_names=("Rakefile", "Gemfile", "Guardfile", "Capfile", "Podfile", "Vagrantfile"),
        block_words=_RUBY_WORDS,
    ),
    Language(
        name="php",
        lsp_ids=("php",),
        suffixes=(".php", ".phtml"),
        grammar="tree_sitter_php:language_php",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="bash",
        lsp_ids=("shellscript", "sh", "bash"),
        suffixes=(".sh", ".bash"),
        grammar="tree_sitter_bash:language",
        line_comment="#",
        blocks="keywords",
        file_names=(".bashrc", ".bash_profile", ".bash_aliases", ".profile", "PKGBUILD"),
        block_words=_BASH_WORDS,
    ),
    Language(
        name="kotlin",
        lsp_ids=("kotlin",),
        suffixes=(".kt", ".kts"),
        grammar="tree_sitter_kotlin:language",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="scala",
        lsp_ids=("scala",),
        suffixes=(".scala", ".sc", ".sbt"),
        grammar="tree_sitter_scala:language",
        line_comment="//",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="lua",
        lsp_ids=("lua",),
        suffixes=(".lua",),
        grammar="tree_sitter_lua:language",
        line_comment="--",
        blocks="keywords",
        block_comment=("--[[", "]]"),
        quotes=('"', "'", "[["),
        block_words=_LUA_WORDS,
    ),
    Language(
        name="sql",
        lsp_ids=("sql", "mysql", "plsql", "pgsql"),
        suffixes=(".sql",),
        grammar="tree_sitter_sql:language",
        line_comment="--",
        blocks="none",
        block_comment=_C_COMMENT,
    ),
    Language(
        name="html",
        lsp_ids=("html",),
        suffixes=(".html", ".htm"),
        grammar="tree_sitter_html:language",
        line_comment="",
        blocks="tags",
        block_comment=("<!--", "-->"),
        quotes=('"',),
        block_words=_HTML_TAGS,
    ),
    Language(
        name="css",
        lsp_ids=("css",),
        suffixes=(".css",),
        grammar="tree_sitter_css:language",
        line_comment="",
        blocks="braces",
        block_comment=_C_COMMENT,
    ),
)

_BY_NAME = {language.name: language for language in LANGUAGES}
_BY_LSP_ID = {lsp_id: language for language in LANGUAGES for lsp_id in language.lsp_ids}
_BY_SUFFIX = {suffix: language for language in LANGUAGES for suffix in language.suffixes}
_BY_FILE_NAME = {name: language for language in LANGUAGES for name in language.file_names}


def by_name(name: str) -> Language | None:
    """Return the language called `name` by us, or None."""
    return _BY_NAME.get(name)


def by_lsp_id(lsp_id: str) -> Language | None:
    """Return the language an editor calls `lsp_id`, or None."""
    return _BY_LSP_ID.get(lsp_id)


def by_path(path: str) -> Language | None:
    """Return the language of a file by its name or the suffix of that, or None."""
    name = PurePath(path)
    return _BY_FILE_NAME.get(name.name) or _BY_SUFFIX.get(name.suffix.lower())


@cache
def grammar(name: str) -> Grammar:
    """Return the tree-sitter grammar of the language called `name`.

    Raises:
        KeyError: We have no language of that name.
    """
    from tree_sitter import Language as TreeSitterLanguage

    module, _, function = _BY_NAME[name].grammar.partition(":")
    return TreeSitterLanguage(getattr(importlib.import_module(module), function)())
