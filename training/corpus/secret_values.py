"""Which matches of the scanner's rules are secrets that somebody could use.

The scanner's rules with a prefix of their own (`ghp_`, `xoxb-`) are sure; what stands here is for
those that go by a name near the value, and for blocks and URLs of which only a part is secret.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STAND_IN = re.compile(r"redacted_[0-9a-f]{8}(?![0-9a-f])")
"""What a secret is replaced by; finding one never counts as a secret."""

_PLACEHOLDER = re.compile(
    r"example|changeme|change_me|placeholder|yourkey|yourtoken|redacted|foo_?bar|xxxx|\*\*\*|\.\.\."
    r"|____|1234567|abcdefg|qwerty|undefined|deadbeef|cafebabe|secret|passw"
    r"|(?<![a-z0-9])(?:your|dummy|sample|fake|insert|replace|todo|none|null|lorem|test|not)[-_]",
    re.IGNORECASE,
)
_PASSWORD_HASH = re.compile(r"\$(?:\d[a-z]?|argon2\w*|pbkdf2\S*)\$|\{S?SHA|^md5[0-9a-f]{32}$")
_TEMPLATE = re.compile(
    r"\$\{|\{\{|%[sdv({]|\$\(|\{\w*\}|<%|#\{|^\$\w|^%\w+%$|^@\w+@$|\\[(xu]|[(){}\[\];]"
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+")
_ADDRESS_OF_CHAIN = re.compile(r"0x[0-9a-fA-F]{40}")
_PART = r"(?:[A-Z]?[a-z]+\d{0,4}|[A-Z]+\d{0,4}|\d{1,4})"
_IDENTIFIER = re.compile(rf"{_PART}(?:[-_./=+]{{1,2}}{_PART})+")
_WORD_BETWEEN_DOTS = re.compile(r"(?:^|[./])[A-Za-z]{2,}(?:$|[./])")
_WORDS = re.compile(r"[A-Z][a-z]{2,}|(?<![a-z])[a-z]{5,}")
_SNAKE = re.compile(r"[a-z]+(?:[-_][a-z]+)+")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{5}")
_TOKEN = re.compile(r"[A-Za-z0-9+/_=.~-]+")
_PUBLIC_NAME = re.compile(
    r"hash|digest|checksum|sha[-_]?\d|_sha|\bsha|md5|fingerprint|public|integrity|signature|etag|salt|nonce"
    r"|\biv\b|vector|commit|revision|uuid|guid|expected|ciphertext|plaintext|encoded|encrypted"
    r"|token[-_]?(?:type|name|kind|id)|secret[-_]?name|password[-_]?(?:hash|field|policy)|client[-_]?id",
    re.IGNORECASE,
)
_WEAK_NAME = re.compile(
    r"shared[-_]?secret|secret[-_]?key|private[-_]?key|session[-_]?key|\bsecret\b|encryption|master"
    r"|seed|storage|service|account",
    re.IGNORECASE,
)
_KEY_MARK = re.compile(rb"-----(BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_HEADER = re.compile(r"(?:Proc-Type|DEK-Info|Version|Comment|Hash): [^\n\"]*")
_COMMON = (
    "password passwd pass pwd secret guest root admin administrator user username test tester "
    "testing postgres mysql redis mongo mongodb rabbitmq minio hunter2 letmein welcome foo bar "
    "baz foobar qux xxx xyz abc abcd login token key pw p w apikey api_key hello world demo "
    "example mypass mypassword mysecret pass123 password1 password123 changeit s3cr3t x-oauth- "
    "basic oauth2 x-token-auth secretpassword "
)
_COMMON_PASSWORDS = frozenset(_COMMON.split())


def entropy_bits(value: str) -> float:
    """Return the Shannon entropy of a value's characters, in bits per character."""
    counts = Counter(value).values()
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts)


def is_placeholder(value: str) -> bool:
    """Whether a value stands for one that somebody else has to fill in, or refers to one."""
    if _PLACEHOLDER.search(value) or _TEMPLATE.search(value) or _UUID.fullmatch(value):
        return True
    return len(set(value)) < 5


def is_random(value: str) -> bool:
    """Whether a value looks drawn at random from letters, digits and few signs.

    Words, paths, identifiers and dotted names change between lower case, upper case and digits
    seldom; random text does it at 40 to 60% of its places.
    """
    if len(value) < 16 or entropy_bits(value) < (3.0 if _HEX.fullmatch(value) else 3.2):
        return False
    num_digits = sum(map(str.isdigit, value))
    mixed = any(map(str.isupper, value)) and any(map(str.islower, value))
    if not any(map(str.isalpha, value)) or (num_digits < 2 and not mixed):
        return False
    dotted = "." in value or value.startswith("/")
    if _IDENTIFIER.fullmatch(value) or (dotted and _WORD_BETWEEN_DOTS.search(value)):
        return False
    words = _word_share(value)
    changes = _num_changes(value) / (len(value) - 1)
    if mixed:
        return words <= (0.7 if num_digits > 1 else 0.5) and changes >= (
            0.3 if num_digits else 0.35
        )
    return words <= 0.7 and changes >= 0.15


def _word_share(value: str) -> float:
    """Return the share of characters in runs of letters that could be words."""
    words = (word for word in _WORDS.findall(value) if _pronounceable(word.lower()))
    return sum(map(len, words)) / len(value)


def _pronounceable(word: str) -> bool:
    num_vowels = sum(char in "aeiouy" for char in word)
    return num_vowels >= len(word) / 5 and _CONSONANTS.search(word) is None


def _num_changes(value: str) -> int:
    kinds = [("d" if c.isdigit() else "u" if c.isupper() else "l") for c in value if c.isalnum()]
    return sum(left != right for left, right in pairwise(kinds))


def is_assigned(value: str, *, before: str) -> bool:
    """Whether a value that follows a telling name is a secret.

    Args:
        value: What stands in the quotes.
        before: The line up to the value.
    """
    if is_placeholder(value) or _PUBLIC_NAME.search(before[-80:]) or _PASSWORD_HASH.search(value):
        return False
    if _is_strong_password(value, before):
        return True
    if _TOKEN.fullmatch(value) is None or _ADDRESS_OF_CHAIN.fullmatch(value):
        return False
    if _HEX.fullmatch(value) and (_WEAK_NAME.search(before) or len(value) % 2 or len(value) < 32):
        return False
    return is_random(value)


def _is_strong_password(value: str, before: str) -> bool:
    """Whether it has letters of both cases, digits and signs, after a name that means password."""
    if re.search(r"passw|pwd|secret|identified", before, re.IGNORECASE) is None:
        return False
    kinds = (str.islower, str.isupper, str.isdigit)
    if not all(any(kind(char) for char in value) for kind in kinds) or not value.isascii():
        return False
    num_signs = sum(not char.isalnum() and char not in "_-./=" for char in value)
    if not 1 <= num_signs <= len(value) / 3:
        return False
    return _num_changes(value) / (len(value) - 1) >= 0.25


def is_url_password(password: str, *, before: str) -> bool:
    """Whether the password of a URL is one.

    Args:
        password: What stands between the colon and the at sign.
        before: The text up to it, with scheme and user.
    """
    user = before.rpartition("://")[2].rstrip(":").lower()
    plain = password.lower()
    if plain in _COMMON_PASSWORDS or plain == user or is_placeholder(password):
        return False
    return len(password) >= 6 and not plain.isalpha()


def key_blocks(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield where blocks of private keys start and end, with their lines BEGIN and END.

    Args:
        content: A text in UTF-8.
    """
    begin: re.Match[bytes] | None = None
    for mark in _KEY_MARK.finditer(content):
        if mark[1] == b"BEGIN":
            begin = mark
        elif begin is not None:
            body = content[begin.end() : mark.start()].decode(errors="replace")
            if is_key_body(body):
                yield begin.start(), mark.end()
            begin = None


def is_key_body(body: str) -> bool:
    """Whether what stands between the lines BEGIN and END is a key, and not code about keys."""
    body = _KEY_HEADER.sub(" ", re.sub(r"\\[nrt]", " ", body))
    runs = re.findall(r"[A-Za-z0-9+/=]{16,}", body)
    solid = sum(not char.isspace() for char in body)
    long_enough = sum(map(len, runs)) >= max(40, 0.6 * solid)
    return long_enough and len(set("".join(runs))) >= 16


def secret_part(match: str) -> str | None:
    """Return what of a match with an unmistakable form is the secret, or None.

    Args:
        match: What a rule found that knows its tokens by their prefix.
    """
    if re.search(r"[\s{}]", match) or is_placeholder(match) or _SNAKE.fullmatch(match):
        return None
    if "://" in match:
        tail = re.search(r"://[^/]*/(.+)$", match)
        return tail[1] if tail else None
    return match.strip("\"'`")
