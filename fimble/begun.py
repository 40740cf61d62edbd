"""Where the token begins that the cursor stands in.

Models read text as tokens, and a text that ends within one ends as no training text does. An engine
that takes a beginning (`fimble.engine.Query.beginning`) is asked from the start of that token, and
chooses among the tokens that spell what stands there already.
"""

from __future__ import annotations

import re

MAX_CHARS = 40
_RUN = re.compile(rf"(?:(?<=\S) |(?<!\S))\S{{1,{MAX_CHARS}}}\Z")
_WORD = re.compile(
    rf"(?:(?<=\S) |[^\w\s]|(?<!\w))\w{{1,{MAX_CHARS}}}\Z"
    r"|(?:(?<=\S) |(?<![^\w\s]))[^\w\s]{1,4}\Z"
)


def begun_before(prefix: str) -> str:
    """Return what a text ends with that may be the start of a longer token.

    That is what stands there without a blank, with the blank before it: tokens that hold several
    words may hold `fs.readFileSync(` whole. Of more than `MAX_CHARS` characters it is the last word
    with the sign before it, or the last few signs. A blank of an indentation belongs to none. At
    the start of a line it is the line end before: what is missing there begins with an indentation,
    and middles that begin with a line end are those that have one.
    """
    if prefix.endswith("\n"):
        return "\n"
    start = max(0, len(prefix) - MAX_CHARS - 2)
    found = _RUN.search(prefix, start) or _WORD.search(prefix, start)
    return found.group() if found else ""
