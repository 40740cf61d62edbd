"""`fimble lsp`: the language server on standard input and output."""

from __future__ import annotations

import functools
import importlib
import sys
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what editors pass by habit."""
    parser.add_argument("--stdio", action="store_true", help="the only transport, and the default")


def run(arguments: argparse.Namespace) -> int:
    """Serve one editor until it leaves; return 0 if it said goodbye."""
    del arguments
    import_protocol_types()
    from lsp_server.editor_process import serve

    return serve()


def import_protocol_types() -> None:
    """Import `lsprotocol.types` in half of its time, so that editors get their first answer sooner.

    The module defines 554 classes, and most of its 0.4 s goes into writing and compiling methods
    for them (https://github.com/microsoft/lsprotocol/issues/441). Nobody prints these objects here,
    and few of them exist at a time, so `__repr__` and slots are left out while it is imported.
    """
    if "lsprotocol.types" in sys.modules:
        return
    define = attrs.define
    attrs.define = functools.partial(define, repr=False, slots=False)
    try:
        importlib.import_module("lsprotocol.types")
    finally:
        attrs.define = define
