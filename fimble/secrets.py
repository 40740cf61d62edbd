"""Text that looks like a secret; deliberately coarse, since what is held back costs little.

The language server asks this before it lets code into the store of content. It is no replacement
for the corpus's scanner, which has hundreds of rules: this one has to load at once.
"""

from __future__ import annotations

import math
import re
from collections import Counter

_KNOWN = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bgh[pousr]_[0-9A-Za-z]{30,}"  # GitHub
    r"|\bglpat-[0-9A-Za-z_-]{20}"  # GitLab
    r"|\bxox[abposr]-[0-9A-Za-z-]{10,}"  # Slack
    r"|\bhf_[0-9A-Za-z]{30,}"  # Hugging Face
    r"|\bsk-[0-9A-Za-z_-]{20,}"  # several vendors
    r"|\bAIza[0-9A-Za-z_-]{35}"  # Google
    r"|\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}"  # JSON web token
    r"|[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s:@]{3,}@"  # password in an address
)
_ASSIGNED = re.compile(
    r"(?:pass(?:word|wd|phrase)?|secret|token|api_?key|credential|private_?key|auth)\w*"
    r"[\"']?\s*(?::=|=>|[:=])\s*[\"']([^\"'\s]{6,})[\"']",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"']([0-9A-Za-z+/=_-]{24,})[\"']")
_RANDOM_BITS = 4.2
"""Entropy a character of random base64 texts; hexadecimal has up to 4, words have 3 to 4."""
_HEX = re.compile(r"(?:[0-9a-f]{32,}|[0-9A-F]{32,})")


def holds_secret(text: str) -> bool:
    """Return whether a text holds what looks like a key, a token or a password."""
    if _KNOWN.search(text) or _ASSIGNED.search(text):
        return True
    return any(_HEX.fullmatch(q) or _entropy(q) >= _RANDOM_BITS for q in _QUOTED.findall(text))


def _entropy(text: str) -> float:
    """Return the entropy of the characters of a text, in bits each."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)
