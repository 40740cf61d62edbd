"""Licences: which SPDX expressions pass, and what a file's own header says.

The package's licence comes from the recipe. A line `SPDX-License-Identifier:` in a file's first
2 KB goes before it, and a copyleft notice there drops the file whatever the package says. Unknown
never passes.
"""

from __future__ import annotations

import re
from functools import cache

from license_expression import (
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

HEADER_CHARS = 2048

PERMISSIVE = frozenset({
    "0BSD", "AFL-2.1", "Apache-2.0", "BlueOak-1.0.0", "BSD-1-Clause", "BSD-2-Clause",
    "BSD-2-Clause-Patent", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSD-4-Clause-UC", "BSL-1.0",
    "CC0-1.0", "curl", "HPND", "ICU", "ISC", "libpng-2.0", "MIT", "MIT-0", "MIT-CMU",
    "NCSA", "PostgreSQL", "PSF-2.0", "Python-2.0", "TCL", "Unicode-3.0",
    "Unicode-DFS-2016", "Unlicense", "blessing", "X11", "Zlib",
})  # fmt: skip
"""SPDX identifiers that ask for no more than attribution."""

_EXCEPTIONS = frozenset({"LLVM-exception", "Swift-exception"})
_SPDX_LINE = re.compile(r"SPDX-License-Identifier:[ \t]*([^\n]+)")
_COPYLEFT = re.compile(
    r"GNU\s+(?:Lesser\s+|Library\s+|Affero\s+)?General\s+Public\s+License"
    r"|Mozilla\s+Public\s+License|Eclipse\s+Public\s+License|Server\s+Side\s+Public\s+License"
    r"|Business\s+Source\s+License|Creative\s+Commons\s+Attribution-(?:Share|Non)",
    re.IGNORECASE,
)
_COMMENT_MARKS = re.compile(r"(?m)^[ \t]*(?:#+|//+|/?\*+/?|--|;+|%+)?[ \t]*|[ \t]*\*/")


@cache
def is_permissive(expression: str, allow: frozenset[str] = PERMISSIVE) -> bool:
    """Return whether an SPDX expression is satisfied by licences in `allow`.

    `A OR B` needs one of them, `A AND B` both. Case does not matter, old names count as the new
    ones (`GPL-2.0+`), and what cannot be read does not pass.

    Source: SPDX specification 2.3, annex D, https://spdx.github.io/spdx-spec/
    """
    try:
        parsed = _licensing().parse(expression, strict=True)
    except (ExpressionError, RecursionError):
        return False
    return parsed is not None and _passes(parsed, allow)


def _passes(node: object, allow: frozenset[str]) -> bool:
    if isinstance(node, LicenseWithExceptionSymbol):
        exception = node.exception_symbol.key
        return node.license_symbol.key in allow and exception in _EXCEPTIONS
    if isinstance(node, LicenseSymbol):
        return node.key in allow
    is_and = isinstance(node, _licensing().AND)
    assert is_and or isinstance(node, _licensing().OR), "the grammar has nothing else"
    verdicts = (_passes(each, allow) for each in node.args)
    return all(verdicts) if is_and else any(verdicts)


@cache
def _licensing() -> Licensing:
    return get_spdx_licensing()


def licence_of(text: str, package_licence: str) -> str:
    """Return the SPDX expression that holds for a file: its own, or else the package's."""
    match = _SPDX_LINE.search(text[:HEADER_CHARS])
    if match is None:
        return package_licence
    # The line may end in the comment's own end or a quote.
    return re.sub(r"[\s\"']*(?:\*+/|-->|\*\))?[\s\"',]*$", "", match[1]).strip()


def reason_to_drop(text: str, licence: str, allow: frozenset[str] = PERMISSIVE) -> str | None:
    """Return why the licence keeps a file out, or None.

    Args:
        text: The file.
        licence: What `licence_of` says about it.
        allow: SPDX identifiers that pass.
    """
    if not is_permissive(licence, allow):
        return "not_permissive"
    header = text[: 2 * HEADER_CHARS]
    if _SPDX_LINE.search(header) is None and _COPYLEFT.search(_COMMENT_MARKS.sub(" ", header)):
        return "copyleft_notice"
    return None
