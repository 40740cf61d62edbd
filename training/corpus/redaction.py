"""Secrets and personal data in source code, replaced by stable stand-ins.

The scanner (kingfisher) finds candidates offline with its own rules and with `rules/private.yaml`
in one pass; which of them are replaced is decided by `secret_values.py` and `private_values.py`.
Equal values get equal stand-ins, so that code which uses a value twice still fits together.

A stand-in is inert: the e-mail addresses end in names of RFC 2606, IPv4 addresses lie in the ranges
of RFC 5737, IPv6 addresses in that of RFC 3849, and secrets become an identifier, which parses in a
string as well as outside.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fimble.paths import cache_dir
from training.corpus import private_values, secret_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kingfisher_sdk import Scanner

RULES = Path(__file__).parent / "rules" / "private.yaml"
MAX_PASSES = 8
"""Replacing one value may bare another; more passes than this were never needed."""

WINDOW_BYTES = 32_768
"""What the scanner sees at a time: larger than most files, small enough that 1 MB of nothing but
matches takes seconds and not minutes."""
SCAN_LIMIT_S = 60.0
"""A last resort against input that stalls the scanner; a window takes a millisecond."""

_CONTEXT_BYTES = 160
_SECRET_HELPERS = frozenset(("betterleaks.aws-secret-access-key",))
# The other invisible rules find names of accounts and hosts, which only validators need.
_ASSIGNED = "(?:=|>|:{1,3}="  # how the scanner's rules spell that a value follows a name
_ASSIGNMENTS = frozenset(("fimble.assignment", "fimble.bare-assignment", "fimble.bearer"))
_URL_PASSWORDS = frozenset(("fimble.url-password", "betterleaks.generic-credential-uri"))


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
    """Identifier of the scanner's rule that found it; empty for addresses and blocks."""


def redact(text: str) -> Redacted:
    """Replace secrets, e-mail addresses and IP addresses by stand-ins.

    Redacting twice changes nothing. Nothing else of the text changes, and no line break except
    those inside blocks of private keys, which become one line.

    Args:
        text: Source code with LF line ends.

    Raises:
        TimeoutError: The scanner stalled at a part of the text.
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
    candidates = [Found(*address, "") for address in private_values.addresses(content)]
    candidates += [Found(*place, "key_block", "") for place in secret_values.key_blocks(content)]
    for start, end in _windows(content):
        candidates += _scan(content, start, end)
    return _without_overlaps(candidates)


def _windows(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield where to cut a text for the scanner: at line ends, and hard in lines that are too long.

    The scanner's time grows with the square of the number of matches in one input; see
    `WINDOW_BYTES`.
    """
    start = 0
    while start < len(content):
        end = min(start + WINDOW_BYTES, len(content))
        if end < len(content):
            end = content.rfind(b"\n", start, end) + 1 or end
        yield start, end
        start = end


def _scan(content: bytes, window_start: int, window_end: int) -> Iterator[Found]:
    detector = _detector()
    window = content[window_start:window_end]
    for finding in detector.scanner.scan(window, timeout=SCAN_LIMIT_S):
        if not finding.visible and finding.rule_id not in _SECRET_HELPERS:
            continue
        place = finding.location
        start, end = place["start_offset"], place["end_offset"]
        if window[start:end].decode(errors="replace") != finding.secret:
            continue  # the scanner looked at another encoding of the text
        match = Found(window_start + start, window_start + end, "secret", finding.rule_id)
        decided = _decide(content, match, detector.by_name)
        if decided is not None:
            yield decided


class _Detector(NamedTuple):
    scanner: Scanner
    by_name: frozenset[str]
    """Rules that go by a name before the value, so that any value may follow."""


@cache
def _detector() -> _Detector:
    """Return the process's scanner. It never opens a connection: only validators do."""
    from kingfisher_sdk import Rules, Scanner

    folder = cache_dir() / "rules"
    with contextlib.suppress(OSError):  # without a folder the scanner compiles its rules each time
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    rules = Rules([RULES], confidence="medium", cache_dir=folder)
    ids = [str(rule["id"]) for rule in rules.metadata()]
    by_name = {rule for rule in ids if _ASSIGNED in str(rules.detail(rule)["detection_regex"])}
    scanner = Scanner(rules, base64=False, dedup=False, redact=False)
    return _Detector(scanner, frozenset(by_name | _ASSIGNMENTS))


def _decide(content: bytes, match: Found, by_name: frozenset[str]) -> Found | None:
    """Return what of a match is a secret, or None."""
    start, end, _, rule = match
    value = content[start:end].decode(errors="replace")
    before = content[max(0, start - _CONTEXT_BYTES) : start].decode(errors="ignore")
    if secret_values.STAND_IN.search(value):
        return None
    line = before.rpartition("\n")[2]
    if rule in by_name:
        part = value.strip("\"'`") if secret_values.is_assigned(value, before=line) else None
    elif rule in _URL_PASSWORDS:
        part = value if secret_values.is_url_password(value, before=line) else None
    else:
        part = secret_values.secret_part(value)
    if part is None:
        return None
    offset = start + len(value[: value.index(part)].encode())
    return Found(offset, offset + len(part.encode()), "secret", rule)


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
