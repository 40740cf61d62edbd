"""Licences: which SPDX expressions pass, and what a file's own header says.

The package's licence comes from the recipe. A line `SPDX-License-Identifier:` in a file's first
2 KB goes before it, and a copyleft notice there drops the file whatever the package says. Unknown
never passes.
"""

from __future__ import annotations

import re

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
_TOKEN = re.compile(r"\(|\)|[A-Za-z0-9.+-]+")


def is_permissive(expression: str) -> bool:
    """Return whether an SPDX expression lets us train on the text with attribution alone.

    `A OR B` needs one of them, `A AND B` both. What we cannot read does not pass.

    Source: SPDX specification 2.3, annex D, https://spdx.github.io/spdx-spec/
    """
    tokens = _TOKEN.findall(expression)
    if not tokens or "".join(tokens) != re.sub(r"\s", "", expression):
        return False
    verdict, rest = _either(tokens)
    return verdict and not rest


def _either(tokens: list[str]) -> tuple[bool, list[str]]:
    verdict, rest = _both(tokens)
    while rest and rest[0].upper() == "OR":
        other, rest = _both(rest[1:])
        verdict = verdict or other
    return verdict, rest


def _both(tokens: list[str]) -> tuple[bool, list[str]]:
    verdict, rest = _one(tokens)
    while rest and rest[0].upper() == "AND":
        other, rest = _one(rest[1:])
        verdict = verdict and other
    return verdict, rest


def _one(tokens: list[str]) -> tuple[bool, list[str]]:
    if not tokens:
        return False, []
    if tokens[0] == "(":
        verdict, rest = _either(tokens[1:])
        return (verdict, rest[1:]) if rest[:1] == [")"] else (False, rest)
    verdict, rest = tokens[0] in PERMISSIVE, tokens[1:]
    if rest and rest[0].upper() == "WITH":
        return verdict and rest[1:2] != [] and rest[1] in _EXCEPTIONS, rest[2:]
    return verdict, rest


def licence_of(text: str, package_licence: str) -> str:
    """Return the SPDX expression that holds for a file: its own, or else the package's."""
    match = _SPDX_LINE.search(text[:HEADER_CHARS])
    if match is None:
        return package_licence
    # The line may end in the comment's own end or a quote.
    return re.sub(r"[\s\"']*(?:\*+/|-->|\*\))?[\s\"',]*$", "", match[1]).strip()


def reason_to_drop(text: str, licence: str) -> str | None:
    """Return why the licence keeps a file out, or None.

    Args:
        text: The file.
        licence: What `licence_of` says about it.
    """
    if not is_permissive(licence):
        return "not_permissive"
    header = text[: 2 * HEADER_CHARS]
    if _SPDX_LINE.search(header) is None and _COPYLEFT.search(_COMMENT_MARKS.sub(" ", header)):
        return "copyleft_notice"
    return None
