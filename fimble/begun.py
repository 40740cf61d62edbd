"""Where the token begins that the cursor stands in.

Models read text as tokens, and a text that ends within one ends as no training text does. An engine
that takes a beginning (`fimble.engine.Query.beginning`) is asked from the start of that token, and
chooses among the tokens that spell what stands there already.
"""

from __future__ import annotations

import re

MAX_WORD_CHARS = 40
_BEGUN = re.compile(
    rf"(?:(?<=\S) |[^\w\s]|(?<!\w))\w{{1,{MAX_WORD_CHARS}}}\Z"
    r"|(?:(?<=\S) |(?<![^\w\s]))[^\w\s]{1,4}\Z"
)


def begun_before(prefix: str) -> str:
    """Return what a text ends with that may be the start of a longer token.

    A token is a word with the blank or the sign before it, or a few signs with the blank before
    them. A blank of an indentation is none of the word's. Longer words than `MAX_WORD_CHARS` are
    data. At the start of a line it is the line end before: what is missing there begins with an
    indentation, and middles that begin with a line end are those that have one.
    """
    if prefix.endswith("\n"):
        return "\n"
    found = _BEGUN.search(prefix, max(0, len(prefix) - MAX_WORD_CHARS - 2))
    return found.group() if found else ""
