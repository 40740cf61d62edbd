"""What a file declares: signatures with the first line of what is said about them, bodies left out.

Grammars name things alike: whatever has a field `body` is a signature up to there; containers go on
with their members. One table serves all languages; a language that declares nothing, or has no
grammar, is outlined by its lines without indentation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tree_sitter import Parser

from fimble.languages import by_name, grammar
from fimble.snippets.node_kinds import (
    ASSIGNMENTS,
    BETWEEN,
    CONTAINERS,
    DATA,
    FUNCTIONS,
    INNER,
    PLAIN,
    SCOPES,
    UNNAMED,
    WRAPPERS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

MAX_PARSED_BYTES = 48_000
"""What stands further down in a file is not declared as far as we know: parsing takes time."""
MAX_DECLARATIONS = 200
"""Declarations of one file that are kept."""
MAX_DECLARATION_BYTES = 400
"""A signature, or a declaration without a body, is cut behind so many bytes."""
_MAX_PLAIN_LINES = 3
_MAX_SMALL_LINES = 12
_SMALL_BYTES = 240
"""Data of no more than this is kept whole."""
_NAME = re.compile(r"[^\W\d]\w*")
_QUOTES = re.compile(r"""^[rRuU]{0,2}("{3}|'{3}|"|')""")
_KEYWORDS = frozenset({"val", "var", "const", "private", "public", "static", "final"})
_LEADS = ("template", "export", "extern", "declare", "@")
"""What wraps a declaration starts with one of these."""
_MAX_LEVEL = 40
"""Nodes within nodes that are entered: a file may nest thousands."""
_DEEPEST = 3
"""Containers within containers that are looked into."""
_MAX_LINES_READ = 400
_WITHOUT_DECLARATIONS = frozenset({"sql", "html", "css"})


class Declaration(NamedTuple):
    """One thing that a file declares."""

    name: str
    """Its own name; empty where it has none, as a Rust `impl` block."""
    text: str
    """Lines of the file, with their indentation, without a line end behind the last."""
    parent: int | None
    """Place of the container in the outline; None at the top."""


def outline(text: str, language: str) -> list[Declaration]:
    """Return what a file declares, in order, containers before what they contain.

    Args:
        text: The file, LF only; may be broken.
        language: Our name of its language.
    """
    if by_name(language) is None or language in _WITHOUT_DECLARATIONS:
        return list(_by_lines(text, language))
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > MAX_PARSED_BYTES:
        data = data[: data.rfind(b"\n", 0, MAX_PARSED_BYTES) + 1]
    walk = _Walk(data)
    walk.enter(Parser(grammar(language)).parse(data).root_node, None, 0)
    return walk.found


class _Walk:
    """One walk through the tree of a file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._level = 0
        self.found: list[Declaration] = []

    def enter(self, node: Node, parent: int | None, depth: int, before: Node | None = None) -> None:
        """Take the declarations among the children of a node.

        Args:
            node: A file, a body, or what wraps a declaration.
            parent: Place of the container.
            depth: Number of containers around it.
            before: The comment above the node.
        """
        if self._level >= _MAX_LEVEL:
            return
        self._level += 1
        for child in node.named_children:
            if len(self.found) >= MAX_DECLARATIONS:
                break
            self._take(child, before, parent, depth)
            if "comment" in child.type:
                before = child
            elif child.type not in BETWEEN:
                before = None
        self._level -= 1

    def _take(self, node: Node, comment: Node | None, parent: int | None, depth: int) -> None:
        kind = node.type
        if kind in WRAPPERS or kind in SCOPES:
            inner = node.child_by_field_name("body") if kind in SCOPES else None
            self.enter(inner or node, parent, depth, comment)
            return
        is_definition = kind in CONTAINERS or kind in FUNCTIONS
        if not (is_definition or kind in PLAIN or _is_assignment(node)):
            return
        if kind == "preproc_def" and node.child_by_field_name("value") is None:
            return  # what guards a header from being read twice
        is_small = node.end_byte - node.start_byte <= _SMALL_BYTES
        inner = None if is_small and kind in DATA else _body_of(node)
        self._add(node, inner, comment, parent)
        if inner is not None and kind in CONTAINERS and depth < _DEEPEST:
            self.enter(inner, len(self.found) - 1, depth + 1)

    def _add(
        self, node: Node, inner: Node | None, comment: Node | None, parent: int | None
    ) -> None:
        signature = self._signature(node, inner, parent)
        if said := self._docstring(inner):
            signature = f"{signature}\n{_indent_of(signature)}    {said}"
        elif comment is not None and (said := self._comment(comment)):
            signature = f"{said}\n{signature}"
        self.found.append(Declaration(_name_of(node), signature, parent))

    def _signature(self, node: Node, inner: Node | None, parent: int | None) -> str:
        start = self._data.rfind(b"\n", 0, node.start_byte) + 1
        lead = ""
        before = self._text(start, node.start_byte).strip()
        if parent is not None and before and not before.startswith(_LEADS):
            # It shares a line with its container.
            start, lead = node.start_byte, f"{_indent_of(self.found[parent].text)}    "
        end = node.end_byte if inner is None else inner.start_byte
        lines = self._text(start, min(end, start + MAX_DECLARATION_BYTES)).rstrip().split("\n")
        if inner is None:
            lines = lines[: _MAX_SMALL_LINES if node.type in DATA else _MAX_PLAIN_LINES]
        else:
            lines = [line for line in lines if not line.lstrip().startswith("#")]
        return lead + "\n".join(lines)

    def _docstring(self, inner: Node | None) -> str:
        """Return the first line of the docstring of a body; empty where it has none."""
        first = inner.named_children[0] if inner is not None and inner.named_children else None
        if first is not None and first.type == "expression_statement" and first.named_children:
            first = first.named_children[0]
        if first is None or first.type != "string":
            return ""
        first_line, *rest = self._text(first.start_byte, first.end_byte).split("\n")
        quotes = _QUOTES.match(first_line)
        return first_line.rstrip() + (quotes[1] if rest and quotes else "")

    def _comment(self, node: Node) -> str:
        """Return the first line that says something of the comment above a declaration."""
        start = self._data.rfind(b"\n", 0, node.start_byte) + 1
        lines = self._text(start, node.end_byte).split("\n")
        if self._text(start, node.start_byte).strip():
            return ""  # it stands behind code, and is about that
        is_block = len(lines) > 1
        said = next((line for line in lines if any(map(str.isalnum, line))), "").rstrip()
        if is_block and said.lstrip().startswith("*"):
            return f"{_indent_of(lines[0])}/** {said.strip(' */')} */"
        return f"{said} */" if is_block and said.lstrip().startswith("/*") else said

    def _text(self, start: int, end: int) -> str:
        return self._data[start:end].decode("utf-8", "ignore")


def _body_of(node: Node) -> Node | None:
    """Return what a signature ends at: the body of a node, or of the function it gives a name."""
    inner = node.child_by_field_name("body")
    if inner is None and node.type in {"lexical_declaration", "variable_declaration"}:
        value = node.named_children[0].child_by_field_name("value") if node.named_children else None
        return value.child_by_field_name("body") if value is not None else None
    if inner is None and node.type not in PLAIN:
        inner = next((child for child in node.named_children if child.type in INNER), None)
    return inner


def _is_assignment(node: Node) -> bool:
    """Return whether a node gives a name a value, or a type: a constant, or a field."""
    if node.type == "expression_statement" and node.named_children:
        node = node.named_children[0]
    return node.type in ASSIGNMENTS


def _name_of(node: Node) -> str:
    """Return the name that a node declares; empty where it declares none."""
    if node.type == "impl_item":
        node = node.child_by_field_name("type") or node
    for _ in range(6):
        inner = None
        for field in ("name", "declarator", "left"):
            inner = inner or node.child_by_field_name(field)
        if inner is None and node.type in UNNAMED and node.named_children:
            inner = node.named_children[0]
        if inner is None:
            break
        node = inner
    text = (node.text or b"")[:MAX_DECLARATION_BYTES].decode("utf-8", "ignore")
    return next((name for name in _NAME.findall(text) if name not in _KEYWORDS), "")


def _indent_of(text: str) -> str:
    return text[: len(text) - len(text.lstrip(" \t"))]


def _by_lines(text: str, language: str) -> Iterator[Declaration]:
    """Yield the lines without indentation that say something, of a file without declarations."""
    row = by_name(language)
    comments = row.comment_starts if row else ("#", "//")
    for line in text.split("\n")[:_MAX_LINES_READ]:
        is_comment = line.startswith(comments) if comments else False
        if (
            line
            and line[0] not in " \t})]/*"
            and not is_comment
            and len(line) <= MAX_DECLARATION_BYTES
        ):
            match = _NAME.search(line)
            yield Declaration(match.group() if match else "", line.rstrip(), None)
