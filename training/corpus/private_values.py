"""Which e-mail and IP addresses in source code are somebody's, and which only look like one.

Candidates are found by what none of them lacks: `@`, dots between digits, a colon between
hexadecimal digits. Then the text around them decides. Precision counts as much as recall: `a@b.T`
is a product of matrices, `4.0.30.1` may be a version.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BEFORE_BYTES = 160
_AFTER_BYTES = 24
_CONTEXT_CHARS = 48  # how far to the left a word may stand that tells what a number is

_GENERIC_TLDS = (
    "com net org edu gov mil int info biz name pro aero coop museum jobs mobi travel tel asia cat "
    "post arpa app dev page blog cloud online site store shop tech xyz club email live news world "
    "group team agency company digital media network systems services solutions software studio "
    "design space today life website academy center community technology engineering science host "
    "hosting security support tools works zone art global foundation institute university school "
    "google microsoft amazon apple berlin london paris nyc tokyo wien hamburg koeln amsterdam eus "
    "gal scot wales bzh swiss ngo ong law legal health bank codes chat lol fun top vip win work "
    "link click ltd inc llc gmbh consulting ventures capital finance "
)
_COUNTRY_TLDS = (
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs "
    "bt bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee "
    "eg er es et eu fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk "
    "hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la "
    "lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my "
    "mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro "
    "rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj "
    "tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw "
)
MAIL_TLDS = frozenset((_GENERIC_TLDS + _COUNTRY_TLDS).split())
"""Top-level domains that mail comes from: all of countries, and of the generic ones those that are
not rather an attribute or a suffix in code (`this@Outer.run`, `fonts@1.zip`).
Source: IANA root zone database."""

_RESERVED_DOMAINS = ("example.com", "example.net", "example.org")  # RFC 2606, section 3
_RESERVED_TLDS = ("example", "test", "invalid", "localhost")  # RFC 2606, section 2
_PROTOCOL_DOMAINS = ("openssh.com", "libssh.org")  # names of algorithms: RFC 4251, section 6
_NO_REPLY = re.compile(r"no[-_.]?reply|do[-_.]?not[-_.]?reply|mailer-daemon", re.IGNORECASE)
_NO_REPLY_DOMAINS = ("users.noreply.github.com", "noreply.github.com", "noreply.gitlab.com")
_CLONE_USERS = ("git", "hg", "svn", "gitea", "gitlab")  # `git@host:group/project`
_LABELS = frozenset(
    ("this", "super", "return", "break", "continue", "self")
)  # Kotlin's `this@Outer`
_URL_USER = re.compile(r"://(?:[^\s/@:\"'`<>]*:)?$")


def is_private_email(address: str, *, before: str, after: str) -> bool:
    """Whether an address is somebody's.

    Args:
        address: The candidate.
        before: Text to its left, some dozens of characters or up to the start.
        after: Text to its right, likewise.
    """
    user, _, domain = address.lower().rpartition("@")
    tld = domain.rpartition(".")[2]
    if tld not in MAIL_TLDS:
        return False
    if _is_reserved(user, domain) or user in _LABELS or ".." in address:
        return False
    if user in _CLONE_USERS or _URL_USER.search(before) or re.match(r":\d{2,5}\b", after):
        return False  # a place to log in to or to clone from
    return not _is_expression(address, before, after)


def _is_reserved(user: str, domain: str) -> bool:
    if domain.rpartition(".")[2] in _RESERVED_TLDS:
        return True
    names = (*_RESERVED_DOMAINS, *_PROTOCOL_DOMAINS, *_NO_REPLY_DOMAINS)
    if any(domain == name or domain.endswith("." + name) for name in names):
        return True
    return _NO_REPLY.search(user) is not None


def _is_expression(address: str, before: str, after: str) -> bool:
    """Whether code or a path goes on around the candidate: `x = a@b.to(c)`, `y@z.id[0]`."""
    if after[:1] in {"(", "[", "{", "_", "=", "@"} or before[-1:] in {"@", "$", "/", "\\"}:
        # A backslash may also be an escape such as `\n` whose letter was taken for the user's.
        return before[-1:] != "\\" or after[:1] in {"(", "[", "{", "_", "=", "@"}
    if after[:1] == "/" and not after.startswith(("/>", "//", "/*")):
        return True  # `@types+react@17.0.7.io/x`, `module@host.org/path`
    user, _, domain = address.rpartition("@")
    short = max(len(user), len(domain.partition(".")[0])) == 1 and domain.count(".") == 1
    return short and before[-1:] not in {"'", '"', "<", ":"}


# RFC 6890 and the registry it founded, with the multicast and reserved upper eighth.
_IPV4_NOT_GLOBAL = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
)  # fmt: skip
_IPV6_GLOBAL = ipaddress.IPv6Network("2000::/3")
_IPV6_NOT_GLOBAL = tuple(
    ipaddress.IPv6Network(network) for network in ("2001:db8::/32", "3fff::/20", "2002::/16")
)
PUBLIC_RESOLVERS = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "1.0.0.1", "1.0.0.2", "1.0.0.3", "1.1.1.1", "1.1.1.2", "1.1.1.3", "4.2.2.1", "4.2.2.2",
        "4.2.2.3", "4.2.2.4", "8.8.4.4", "8.8.8.8", "9.9.9.9", "9.9.9.10", "9.9.9.11",
        "149.112.112.112", "208.67.220.220", "208.67.222.222", "64.6.64.6", "64.6.65.6",
        "77.88.8.8", "77.88.8.1", "94.140.14.14", "94.140.15.15", "114.114.114.114",
        "223.5.5.5", "223.6.6.6",
        "2001:4860:4860::8888", "2001:4860:4860::8844", "2606:4700:4700::1111",
        "2606:4700:4700::1001", "2620:fe::fe", "2620:fe::9", "2620:119:35::35", "2620:119:53::53",
    )
)  # fmt: skip
"""Well-known open resolvers: they name a service, nobody's machine."""

_VERSION_BEFORE = re.compile(
    r"(?:version|\bver\b|release|revision|\brev\b|build|assembly|section|\bsec\b|§|chapter|clause"
    r"|appendix|table|figure|\boid\b|\brfc ?\d+|\bspec\b)[^\n]{0,24}$"
    r"|(?:[=~<>^!]=|~>|\^|[A-Za-z][-/@+])\s*[\"']?$",
    re.IGNORECASE,
)
_OID_ARCS = ("1.2.", "1.3.", "2.5.", "2.16.")  # ISO and joint arcs of object identifiers
_ADDRESS_BEFORE = re.compile(
    r"(?:\bip|ip[_v\-]?[46]?\b|addr|host|server|dns|gateway|(?<![a-z])peer|listen|bind|subnet|cidr|ping|connect"
    r"|proxy|://)[^\n]{0,24}$",
    re.IGNORECASE,
)
_ADDRESS_AFTER = re.compile(r":\d{2,5}\b|/[12]?\d\b|/3[012]\b")
_SMALL_OCTET = 16  # three of them make a version; of random addresses one in a thousand


def is_private_ipv4(address: str, *, before: str, after: str) -> bool:
    """Whether a dotted quad is the address of somebody's machine, and no version or section.

    Quads with three small numbers are taken for versions, sections or object identifiers unless
    the line says that they are addresses.

    Args:
        address: The candidate.
        before: Text to its left, some dozens of characters or up to the start.
        after: Text to its right, likewise.
    """
    if before[-1:] in {".", "_"} or re.match(r"-?\.\d|\.\*|[_A-Za-z]", after):
        return False
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    if not _is_global(parsed):
        return False
    line = before.rpartition("\n")[2][-_CONTEXT_CHARS:]
    return not _is_number(parsed, line, after)


@lru_cache(maxsize=4096)
def _is_global(address: ipaddress.IPv4Address) -> bool:
    if address in PUBLIC_RESOLVERS:
        return False
    return not any(address in network for network in _IPV4_NOT_GLOBAL)


def _is_number(quad: ipaddress.IPv4Address, line: str, after: str) -> bool:
    """Whether a quad is a version, a section, an object identifier, or made up."""
    octets = sorted(quad.packed)
    if octets[3] < _SMALL_OCTET or octets[0] == octets[3]:
        return True  # 1.2.3.4, 7.7.7.7
    if quad.packed.endswith(b"\0\0") or _VERSION_BEFORE.search(line):
        return True
    if octets[2] >= _SMALL_OCTET and not str(quad).startswith(_OID_ARCS):
        return False
    return _ADDRESS_BEFORE.search(line) is None and _ADDRESS_AFTER.match(after) is None


def is_private_ipv6(address: str, *, before: str, after: str) -> bool:
    """Whether a run of hexadecimal groups is the address of somebody's machine.

    Args:
        address: The candidate.
        before: Text to its left, some dozens of characters or up to the start.
        after: Text to its right, likewise.
    """
    if before[-1:] in {":", ".", "_", "%"} or re.match(r"[\w:]|\.\d", after):
        return False
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return False
    if parsed in PUBLIC_RESOLVERS or parsed not in _IPV6_GLOBAL:
        return False
    if any(parsed in network for network in _IPV6_NOT_GLOBAL):
        return False
    # `x[2048::2]` is a slice: two groups count only where a string or a prefix length shows.
    num_groups = sum(1 for group in address.split(":") if group)
    return num_groups > 2 or before[-1:] in {"'", '"'} or after[:1] in {"'", '"', "/"}


class _Kind(NamedTuple):
    name: str
    anchor: re.Pattern[bytes]
    """What every candidate holds; starts with one literal byte, so that searching is fast."""
    left: re.Pattern[bytes]
    """What belongs to the candidate before the anchor."""
    is_private: Callable[..., bool]


_KINDS = (
    _Kind(
        "email",
        re.compile(
            rb"@[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,24}\b"
        ),
        re.compile(rb"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}\Z"),
        is_private_email,
    ),
    _Kind(
        "ipv4",
        re.compile(rb"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9])"),
        re.compile(rb"(?<![0-9A-Za-z])[0-9]{1,3}\Z"),
        is_private_ipv4,
    ),
    _Kind(
        "ipv6",
        re.compile(rb":[0-9a-fA-F]{0,4}:[0-9a-fA-F:]{0,34}"),
        re.compile(rb"(?<![0-9A-Za-z])[23][0-9a-fA-F]{3}\Z"),
        is_private_ipv6,
    ),
)


class Address(NamedTuple):
    """Where somebody's address stands."""

    start: int
    """Offset of its first byte."""
    end: int
    """Offset behind its last byte."""
    kind: str
    """`email`, `ipv4` or `ipv6`."""


def addresses(content: bytes) -> Iterator[Address]:
    """Yield what is somebody's in a text.

    Args:
        content: A text in UTF-8.
    """
    for kind in _KINDS:
        for match in kind.anchor.finditer(content):
            head = content[max(0, match.start() - _BEFORE_BYTES) : match.start()]
            left = kind.left.search(head[-70:])
            if left is None:
                continue
            start = match.start() - len(left[0])
            address = (left[0] + match[0]).decode()
            before = head[: len(head) - len(left[0])].decode(errors="ignore")
            after = content[match.end() : match.end() + _AFTER_BYTES].decode(errors="ignore")
            if kind.is_private(address, before=before, after=after):
                yield Address(start, match.end(), kind.name)
