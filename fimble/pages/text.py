"""Text of others on a page: what is read is what is there.

Texts of a corpus are hostile. The template escapes markup; here control characters, characters
that change the direction of text and invisible ones become visible.
"""

from __future__ import annotations

import unicodedata

_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_KEPT_AS_IT_IS = frozenset("\n\t\u200d")  # the last one joins the parts of an emoji


def visible(text: str) -> str:
    """Return the text with `⟨U+…⟩` for every character that is invisible or moves others."""
    return "".join(
        f"⟨U+{ord(char):04X}⟩"
        if unicodedata.category(char) in _INVISIBLE and char not in _KEPT_AS_IT_IS
        else char
        for char in text
    )
