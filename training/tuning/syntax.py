"""Functions, calls and comments of a file, alike for every language that has a grammar.

Grammars name the same things in a few ways; the tables below are all of it. Places are in
characters of the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tree_sitter import Parser

from fimble.languages import by_name, grammar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

_FUNCTIONS = frozenset(
    {
        *("function_definition", "function_declaration", "function_item", "method_definition"),
        *("method_declaration", "constructor_declaration", "method", "singleton_method"),
        "generator_function_declaration",
    }
)
_BODIES = frozenset(
    {"block", "body_statement", "compound_statement", "function_body", "statement_block"}
)
_CALLS = frozenset(
    {
        *("call", "call_expression", "function_call", "function_call_expression"),
        *("invocation_expression", "member_call_expression", "method_invocation"),
    }
)
_ARGUMENTS = frozenset({"argument_list", "arguments", "value_arguments"})
_LAST_NAME = re.compile(r"(\w+)\W*$")
_MAX_SIGNATURE_CHARS = 600
"""A name is looked for in so much of what stands before a body."""


class Function(NamedTuple):
    """A function or method with a body of its own lines."""

    name: str
    start: int
    """Of its signature."""
    body_start: int
    """End of the line before the body's first: where the cursor stands."""
    body_end: int
    """End of the body's last line; a closing brace below it stays."""
    end: int
    doc: str
    """Its documentation, as it stands; empty where it has none."""


class Call(NamedTuple):
    """A call with arguments."""

    name: str
    """Of what is called, without what it belongs to."""
    start: int
    """Behind the opening bracket."""
    end: int
    """Before the closing bracket."""


class Remark(NamedTuple):
    """A comment of whole lines, and the code that it stands over."""

    text: str
    code_start: int
    """End of its last line."""
    code_end: int


class SourceTree:
    """The syntax tree of one text."""

    def __init__(self, text: str, language: str) -> None:
        """Parse a text.

        Args:
            text: LF only.
            language: Our name of a language that has a grammar.
        """
        self.text = text
        self._data = text.encode("utf-8", "surrogatepass")
        self._is_ascii = len(self._data) == len(text)
        self._root = Parser(grammar(language)).parse(self._data).root_node
        row = by_name(language)
        self._comment_starts = row.comment_starts if row else ()

    @property
    def is_sound(self) -> bool:
        """Whether it parses without an error or a missing token."""
        return not self._root.has_error

    def functions(self) -> Iterator[Function]:
        """Yield the functions whose body starts on a line of its own."""
        for node in self._nodes(_FUNCTIONS):
            body = node.child_by_field_name("body") or _child_of(node, _BODIES)
            if body is None or body.end_byte <= body.start_byte:
                continue
            if found := self._function(node, body):
                yield found

    def calls(self) -> Iterator[Call]:
        """Yield the calls whose arguments are on one line, not empty and in round brackets."""
        for node in self._nodes(_CALLS):
            arguments = node.child_by_field_name("arguments") or _child_of(node, _ARGUMENTS)
            if arguments is None:
                continue
            start, end = self._char(arguments.start_byte), self._char(arguments.end_byte)
            inner = self.text[start + 1 : end - 1]
            is_call = self.text[start : start + 1] == "(" and self.text[end - 1 : end] == ")"
            name = _LAST_NAME.search(self.text[max(0, start - 80) : start])
            if is_call and name and inner.strip() and "\n" not in inner:
                yield Call(name.group(1), start + 1, end - 1)

    def remarks(self) -> Iterator[Remark]:
        """Yield comments with the code below them, up to a blank line or the end of its block."""
        text, line_start = self.text, 0
        while line_start < len(text):
            end = _line_end(text, line_start)
            line = text[line_start:end]
            if not self._is_comment(line):
                line_start = end + 1
                continue
            indent = len(line) - len(line.lstrip())
            last = self._end_of_run(end, indent, is_comment=True)
            code_end = self._end_of_run(last, indent, is_comment=False)
            if code_end > last and line_start > 0:
                yield Remark(text[line_start + indent : last], last, code_end)
            line_start = last + 1

    def _function(self, node: Node, body: Node) -> Function | None:
        start, end = self._char(_with_comments(body).start_byte), self._char(body.end_byte)
        doc, inner = self._doc(node, body)
        first = self._char(inner) if inner else start
        if self.text[start : start + 1] == "{" and self.text[end - 1 : end] == "}":
            first, end = max(first, start + 1), end - 1
        rest = self.text[first:end]
        place = first + len(rest) - len(rest.lstrip())
        above = self.text.rfind("\n", 0, place)
        if (
            above < self._char(node.start_byte)
            or self.text[above:place].strip()
            or not rest.strip()
        ):
            return None
        name = node.child_by_field_name("name") or node.child_by_field_name("declarator")
        return Function(
            name=self._name(name, node, body),
            start=self._char(node.start_byte),
            body_start=len(self.text[:above].rstrip(" \t")),
            body_end=len(self.text[:end].rstrip()),
            end=self._char(node.end_byte),
            doc=doc,
        )

    def _name(self, name: Node | None, node: Node, body: Node) -> str:
        """Return a function's name; in C it stands within its declarator, before the bracket."""
        end = body.start_byte if name is None else name.end_byte
        start = node.start_byte if name is None else name.start_byte
        words = self._data[start : min(end, start + _MAX_SIGNATURE_CHARS)]
        head = words.decode("utf-8", "ignore").partition("(")[0]
        found = _LAST_NAME.search(head)
        return found.group(1) if found else ""

    def _doc(self, node: Node, body: Node) -> tuple[str, int]:
        """Return a function's documentation, and where it ends if it stands in the body, or 0."""
        first = next(iter(body.named_children), None)
        if first is not None and first.type == "expression_statement":
            first = next(iter(first.named_children), None)
        if first is not None and first.type == "string" and body.type == "block":
            return self._piece(first), first.end_byte
        above = node.prev_sibling
        if above is None and node.parent is not None:  # `export function`, a decorated one
            above = node.parent.prev_sibling
        texts: list[str] = []
        below = node
        while above is not None and "comment" in above.type and _touch(above, below):
            texts.append(self._piece(above).rstrip())
            above, below = above.prev_sibling, above
        return "\n".join(reversed(texts)), 0

    def _nodes(self, types: frozenset[str]) -> Iterator[Node]:
        """Yield the nodes of some types that hold no error, in the order of the text."""
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if node.type in types and not node.has_error and node.is_named:
                yield node
            waiting += reversed(node.named_children)

    def _piece(self, node: Node) -> str:
        return self._data[node.start_byte : node.end_byte].decode("utf-8", "surrogatepass")

    def _char(self, byte: int) -> int:
        return byte if self._is_ascii else len(self._data[:byte].decode("utf-8", "surrogatepass"))

    def _is_comment(self, line: str) -> bool:
        return bool(self._comment_starts) and line.lstrip().startswith(self._comment_starts)

    def _end_of_run(self, end: int, indent: int, *, is_comment: bool) -> int:
        """Return the end of the lines below `end` that are comments, or code at `indent` or more.

        Comments must stand exactly at `indent`; code stops before one that does.
        """
        text = self.text
        while end < len(text):
            below = _line_end(text, end + 1)
            line = text[end + 1 : below]
            depth = len(line) - len(line.lstrip())
            is_at = depth == indent
            if is_comment != (self._is_comment(line) and is_at) or not line.strip():
                break
            if depth < indent:
                break
            end = below
        return end


def _child_of(node: Node, types: frozenset[str]) -> Node | None:
    return next((child for child in node.named_children if child.type in types), None)


def _with_comments(body: Node) -> Node:
    """Return the first of a body and the comments before it, which Python's grammar leaves out."""
    while (above := body.prev_sibling) is not None and "comment" in above.type:
        body = above
    return body


def _touch(comment: Node, below: Node) -> bool:
    """Return whether nothing but a line end stands between a comment and what is below it."""
    return below.start_point.row - comment.end_point.row <= 1


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return end if end >= 0 else len(text)
