"""Secrets and personal data in source code, replaced by stable stand-ins.

The scanner (kingfisher) finds candidates offline with its own rules and with `rules/private.yaml`
in one pass; which of them are replaced is decided by `secret_values.py` and `private_values.py`.
Equal values get equal stand-ins, so that code which uses a value twice still fits together.

A stand-in is inert: the e-mail addresses end in names of RFC 2606, IPv4 addresses lie in the ranges
of RFC 5737, IPv6 addresses in that of RFC 3849, and secrets become an identifier, which parses in a
string as well as outside.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fimble.paths import cache_dir
from training.corpus import private_values, secret_values

if TYPE_CHECKING:
    from kingfisher_sdk import Scanner

RULES = Path(__file__).parent / "rules" / "private.yaml"
MAX_PASSES = 8
"""Replacing one value may bare another; more passes than this were never needed."""

_CONTEXT_BYTES = 160
_OWN_PRIVATE = {
    "fimble.email": ("email", private_values.is_private_email),
    "fimble.ipv4": ("ipv4", private_values.is_private_ipv4),
    "fimble.ipv6": ("ipv6", private_values.is_private_ipv6),
}


class Redacted(NamedTuple):
    """A text without secrets and private addresses, and how many were replaced."""

    text: str
    num_secrets: int
    num_emails: int
    num_ips: int


class Found(NamedTuple):
    """A value to replace."""

    start: int
    """Offset of its first byte in UTF-8."""
    end: int
    """Offset behind its last byte."""
    kind: str
    """`secret`, `key_block`, `email`, `ipv4` or `ipv6`."""
    rule: str
    """Identifier of the rule that found it."""


def redact(text: str) -> Redacted:
    """Replace secrets, e-mail addresses and IP addresses by stand-ins.

    Redacting twice changes nothing. Nothing else of the text changes, and no line break except
    those inside blocks of private keys, which become one line.

    Args:
        text: Source code with LF line ends.
    """
    content = text.encode()
    counts = dict.fromkeys(("secret", "key_block", "email", "ipv4", "ipv6"), 0)
    for _ in range(MAX_PASSES):
        found = find(content)
        if not found:
            break
        for value in found:
            counts[value.kind] += 1
        content = _replace(content, found)
    return Redacted(
        text=content.decode() if any(counts.values()) else text,
        num_secrets=counts["secret"] + counts["key_block"],
        num_emails=counts["email"],
        num_ips=counts["ipv4"] + counts["ipv6"],
    )


def find(content: bytes) -> list[Found]:
    """Return what is to be replaced, in order and without overlaps.

    Args:
        content: A text in UTF-8.
    """
    candidates: list[Found] = []
    for finding in _scanner().scan(content):
        place = finding.location
        start, end = place["start_offset"], place["end_offset"]
        if content[start:end].decode(errors="replace") != finding.secret:
            continue  # the scanner looked at another encoding of the text
        decided = _decide(content, start, end, finding.rule_id)
        if decided is not None:
            candidates.append(decided)
    return _without_overlaps(candidates)


@cache
def _scanner() -> Scanner:
    """Return the process's scanner. It never opens a connection: only its validators do."""
    from kingfisher_sdk import Rules, Scanner

    folder = cache_dir() / "rules"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    rules = Rules([RULES], confidence="medium", cache_dir=folder)
    return Scanner(rules, base64=False, dedup=False, redact=False)


def _decide(content: bytes, start: int, end: int, rule: str) -> Found | None:
    value = content[start:end].decode(errors="replace")
    before = content[max(0, start - _CONTEXT_BYTES) : start].decode(errors="ignore")
    if rule in _OWN_PRIVATE:
        kind, is_private = _OWN_PRIVATE[rule]
        after = content[end : end + 16].decode(errors="ignore")
        if not is_private(value, before=before, after=after):
            return None
        return Found(start, end, kind, rule)
    if secret_values.STAND_IN.search(value):
        return None
    if "PRIVATE KEY" in value:
        block = secret_values.is_key_block(value)
        return Found(start, end, "key_block", rule) if block else None
    part = _secret_part(value, before.rpartition("\n")[2], rule)
    if part is None:
        return None
    offset = start + len(value[: value.index(part)].encode())
    return Found(offset, offset + len(part.encode()), "secret", rule)


def _secret_part(value: str, before: str, rule: str) -> str | None:
    """Return what of a match is the secret, or None."""
    if rule in {"fimble.assignment", "fimble.bare-assignment", "fimble.bearer"}:
        return value if secret_values.is_assigned_secret(value, before=before) else None
    if rule in {"fimble.url-password", "betterleaks.generic-credential-uri"}:
        return value if secret_values.is_url_password(value, before=before) else None
    if re.search(r"[\s{}]", value) or secret_values.is_placeholder(value):
        return None
    if "://" in value:
        tail = re.search(r"://[^/]*/(.+)$", value)
        return tail[1] if tail else None
    return value.strip("\"'`")


def _without_overlaps(candidates: list[Found]) -> list[Found]:
    """Return the candidates in order; where some overlap, secrets go before and longer ones too."""
    kept: list[Found] = []
    by_weight = sorted(
        set(candidates),
        key=lambda f: (f.kind not in {"key_block", "secret"}, f.start - f.end, f.start, f.rule),
    )
    taken = bytearray(max((f.end for f in candidates), default=0))
    for one in by_weight:
        if not any(taken[one.start : one.end]):
            taken[one.start : one.end] = b"\1" * (one.end - one.start)
            kept.append(one)
    return sorted(kept)


def _replace(content: bytes, found: list[Found]) -> bytes:
    parts: list[bytes] = []
    position = 0
    for value in found:
        parts.append(content[position : value.start])
        original = content[value.start : value.end].decode(errors="replace")
        parts.append(stand_in(original, value.kind).encode())
        position = value.end
    return b"".join((*parts, content[position:]))


_DOCUMENTATION_IPV4 = ("192.0.2", "198.51.100", "203.0.113")


def stand_in(value: str, kind: str) -> str:
    """Return what replaces a value: the same for the same value, on every machine.

    Args:
        value: What was found.
        kind: As in `Found`.
    """
    if kind in {"email", "ipv6"}:
        value = value.lower()
    digest = hashlib.sha256(f"{kind}\0{value}".encode()).hexdigest()
    number = int(digest[:8], 16)
    if kind == "email":
        return f"user{digest[:6]}@example.{('com', 'org')[number % 2]}"
    if kind == "ipv4":
        return f"{_DOCUMENTATION_IPV4[number % 3]}.{number // 3 % 254 + 1}"
    if kind == "ipv6":
        return str(ipaddress.IPv6Address((0x20010DB8 << 96) + number))
    word = f"redacted_{digest[:8]}"
    if kind == "key_block":
        lines = re.findall(r"-----(?:BEGIN|END)[^-]{0,120}-----", value)
        return f"{lines[0]}{word}{lines[-1]}" if len(lines) > 1 else word
    return word
