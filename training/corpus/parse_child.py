"""The process that parses: it dies by itself when a file takes too long.

Some grammars hang inside C code that no Python signal handler can leave, and holds the GIL. So the
operating system's own CPU timer kills this process; the parent sees the pipe close and goes on
with a fresh one. No document can stop a build, and no orphan is left.
"""

from __future__ import annotations

import ast
import contextlib
import signal
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from tree_sitter import Node

MAX_ERROR_SHARE = 0.05
"""Share of bytes under ERROR nodes above which a file is not its language. Not a boolean, since
macros and templates make valid C and C++ show some errors."""


def serve(connection: Connection, limit_s: float) -> None:
    """Answer `(language, text)` with a verdict, until the pipe closes."""
    warnings.simplefilter("ignore")  # `ast.parse` warns about the files' own mistakes
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    # A build that was killed closes the pipe, at any moment.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            language, text = connection.recv()
            signal.setitimer(signal.ITIMER_PROF, limit_s)
            answer = verdict(language, text)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send(answer)


def verdict(language: str, text: str) -> tuple[str, str | None]:
    """Return the language a text turns out to be, and the reason to drop it or None."""
    if language == "python" and not _is_python3(text):
        return language, "not_python3"
    data = text.encode()
    if error_share(language, data) <= MAX_ERROR_SHARE:
        return language, None
    if language == "c" and error_share("cpp", data) <= MAX_ERROR_SHARE:
        return "cpp", None
    return language, "syntax_errors"


def _is_python3(text: str) -> bool:
    """Return whether the running Python parses a text; tree-sitter accepts Python 2 as well."""
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def error_share(language: str, data: bytes) -> float:
    """Return the share of bytes that lie under ERROR nodes, 0 to 1."""
    from tree_sitter import Parser

    from fimble.languages import grammar

    root = Parser(grammar(language)).parse(data).root_node
    return _error_bytes(root) / max(len(data), 1)


def _error_bytes(root: Node) -> int:
    total = 0
    stack = [root]
    while stack:
        node = stack.pop()
        if node.is_error:
            total += node.end_byte - node.start_byte
        elif node.has_error:
            stack.extend(node.children)
    return total
